package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
)

// commandStatus is the shortest form that QEMU takes: it acts at the closing brace.
const (
	commandStatus = `{"execute":"query-status"}`
	commandSchema = `{"execute":"query-qmp-schema"}`
)

// monitor is a raw QMP client past its handshake.
type monitor struct {
	*stream
	searched int // bytes behind start in which there is no end of a line
	version  string
}

func dialMonitor(path string) (*monitor, error) {
	s, err := dialStream(path)
	if err != nil {
		return nil, err
	}
	m := &monitor{stream: s}
	if err := m.handshake(); err != nil {
		return nil, fmt.Errorf("monitor %s: %w", path, joinClose(err, s.fd))
	}
	return m, nil
}

func (m *monitor) handshake() error {
	line, err := m.line()
	if err != nil {
		return err
	}
	var greeting struct {
		QMP struct {
			Version struct {
				QEMU struct{ Major, Minor, Micro int }
			}
		}
	}
	if err := json.Unmarshal(line, &greeting); err != nil {
		return fmt.Errorf("greeting: %w", err)
	}
	v := greeting.QMP.Version.QEMU
	m.version = fmt.Sprintf("%d.%d.%d", v.Major, v.Minor, v.Micro)
	return m.call([]byte(`{"execute":"qmp_capabilities"}`))
}

// call executes a prepared command and passes over its reply.
func (m *monitor) call(command []byte) error {
	if err := m.write(command); err != nil {
		return err
	}
	_, err := m.reply()
	return err
}

// line reads a line, which is valid until the next read.
func (m *monitor) line() ([]byte, error) {
	for {
		if i := bytes.IndexByte(m.buf[m.start+m.searched:m.end], '\n'); i >= 0 {
			n := m.searched + i + 1
			m.searched = 0
			return m.take(n), nil
		}
		m.searched = m.end - m.start
		if err := m.more(); err != nil {
			return nil, err
		}
	}
}

// Beginnings of lines, as QEMU writes them.
var (
	returnLine = []byte(`{"return"`)
	eventLine  = []byte(`{"timestamp"`)
)

// reply reads the next line that is no event.
func (m *monitor) reply() ([]byte, error) {
	for {
		line, err := m.line()
		switch {
		case err != nil:
			return nil, fmt.Errorf("QMP: %w", err)
		case bytes.HasPrefix(line, returnLine):
			return line, nil
		case !bytes.HasPrefix(line, eventLine):
			return nil, fmt.Errorf("QMP: %s", bytes.TrimSpace(line))
		}
	}
}

// event reads up to the next event, which is valid until the next read.
func (m *monitor) event() ([]byte, error) {
	for {
		line, err := m.line()
		if err != nil {
			return nil, fmt.Errorf("QMP event: %w", err)
		}
		if bytes.HasPrefix(line, eventLine) {
			return line, nil
		}
	}
}

// eventTime is when QEMU says that an event was.
func eventTime(line []byte) (time.Time, error) {
	var event struct {
		Timestamp struct{ Seconds, Microseconds int64 }
	}
	if err := json.Unmarshal(line, &event); err != nil {
		return time.Time{}, fmt.Errorf("QMP event: %w", err)
	}
	if event.Timestamp.Seconds == 0 {
		return time.Time{}, fmt.Errorf("QMP event without a timestamp: %s", line)
	}
	return time.Unix(event.Timestamp.Seconds, event.Timestamp.Microseconds*1000), nil
}
