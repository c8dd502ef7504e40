package bus

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"time"
)

const (
	maxLogLine = 1024 // bytes of one line of dbus-daemon that are logged
	maxLogRate = 60   // lines of it a minute that are logged
)

// fdLimitComplaint is in what a dbus-daemon of root's says (1.14.10) that lacks CAP_SYS_RESOURCE, as in a container. It
// does no harm: maxConnections and maxIncomplete are made for the limit that processes have anyway.
const fdLimitComplaint = "Failed to set fd limit to"

// lineLogger is an io.Writer that logs each line written to it.
type lineLogger struct {
	logger *slog.Logger // nil: no log
	line   []byte       // what has come of the current line, maxLogLine at most
	minute time.Time    // when the current minute began
	lines  int          // said in it

	mu       sync.Mutex // guards lastLine, which is read while the daemon still writes
	lastLine string
}

func newLineLogger(logger *slog.Logger) *lineLogger {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	return &lineLogger{logger: logger}
}

// Write never fails, so that the daemon never waits for its log.
func (l *lineLogger) Write(p []byte) (int, error) {
	n := len(p)
	for {
		part, rest, whole := bytes.Cut(p, []byte{'\n'})
		l.line = append(l.line, part[:min(len(part), maxLogLine-len(l.line))]...)
		if !whole {
			return n, nil
		}
		l.flush()
		p = rest
	}
}

func (l *lineLogger) flush() {
	text := string(l.line)
	l.line = l.line[:0]
	if text == "" {
		return
	}
	l.mu.Lock()
	l.lastLine = text
	l.mu.Unlock()
	switch {
	case strings.Contains(text, fdLimitComplaint):
		l.logger.Debug("dbus-daemon says", "line", text)
	case l.admit(time.Now()):
		l.logger.Info("dbus-daemon says", "line", text)
	}
}

// admit lets maxLogRate lines a minute through, and tells how many it held back: callers
// can make the daemon complain of them as fast as they like.
func (l *lineLogger) admit(now time.Time) bool {
	if now.Sub(l.minute) >= time.Minute {
		l.tellRest()
		l.minute = now
	}
	l.lines++
	return l.lines <= maxLogRate
}

// tellRest tells how many lines of the current minute were held back. It is called when the daemon has
// ended, too.
func (l *lineLogger) tellRest() {
	if l.lines > maxLogRate {
		l.logger.Warn("dbus-daemon said more than is logged", "lines", l.lines-maxLogRate)
	}
	l.lines = 0
}

// last is the last whole line so far.
func (l *lineLogger) last() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lastLine
}
