package bridge

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"qmp-dbus-bridge/qmp"
)

// question is a command of the bridge's own that is on its way, while others may be too.
type question struct {
	command string
	answer  chan qmp.Reply
}

// ask sends a command, or has it wait in the connection.
func ask(monitor *qmp.Conn, command qmp.Command) *question {
	q := &question{command.Name, make(chan qmp.Reply, 1)} // nobody may be left to take it
	monitor.Start(command, func(r qmp.Reply) {
		r.Return = bytes.Clone(r.Return)
		q.answer <- r
	})
	return q
}

// result waits for what QEMU returns. It is called once.
func (q *question) result(ctx context.Context) ([]byte, error) {
	select {
	case r := <-q.answer:
		return r.Return, r.Err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// read waits for the result and reads it. A QEMU that refuses the command leaves into as it is:
// qemu-storage-daemon has no commands about a VM, and before its machine is made
// (--preconfig) a QEMU can't tell its target.
func (q *question) read(ctx context.Context, into any) error {
	result, err := q.result(ctx)
	if _, refused := errors.AsType[*qmp.Error](err); refused {
		return nil
	}
	if err == nil {
		err = json.Unmarshal(result, into)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", q.command, err)
	}
	return nil
}
