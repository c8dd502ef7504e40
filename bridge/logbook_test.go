package bridge_test

import "strings"

// lines are those of a log that have a text.
func (l *logBuffer) lines(text string) (lines []string) {
	for line := range strings.Lines(l.String()) {
		if strings.Contains(line, text) {
			lines = append(lines, line)
		}
	}
	return lines
}
