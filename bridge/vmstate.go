package bridge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"qmp-dbus-bridge/bridge/endpoint"
	"qmp-dbus-bridge/bridge/helper"
	"qmp-dbus-bridge/bridge/inventory"
	"qmp-dbus-bridge/qmp"
)

// VMState says that QEMU is to migrate the state of the helpers on the bus, by an object dbus-vmstate, which the bridge adds by its
// own right.
type VMState struct {
	// IDs are those of the helpers that must be there when it migrates; others are left out. Empty: all that queue
	// for org.qemu.VMState1, whoever they are. See Check.
	IDs []string
	// NewBus says that nobody was on the bus before: an object that a bridge has added before has lost its own.
	NewBus bool
}

// Check says what is wrong with the Ids, which are to be in QEMU's id-list: they are helper.MaxHelpers at most, of 1 to
// helper.MaxID bytes of UTF-8 without commas, each once. [Bridge.Join] fails where it does.
func (v *VMState) Check() error {
	if len(v.IDs) > helper.MaxHelpers {
		return fmt.Errorf("%d Ids; %d are the most", len(v.IDs), helper.MaxHelpers)
	}
	for i, id := range v.IDs {
		switch {
		case id == "":
			return errors.New("an Id is empty")
		case !utf8.ValidString(id):
			return fmt.Errorf("the Id %q is not UTF-8", id)
		case len(id) > helper.MaxID:
			return fmt.Errorf("an Id has %d bytes; %d are the most", len(id), helper.MaxID)
		case strings.Contains(id, ","):
			return fmt.Errorf("the Id %q has a comma, which QEMU takes for the end of one", id)
		case slices.Contains(v.IDs[:i], id):
			return fmt.Errorf("the Id %q is there twice", id)
		}
	}
	return nil
}

const (
	vmstateType   = "dbus-vmstate"
	vmstateObject = "qmp-dbus-bridge-vmstate" // the id of the bridge's
	objectsPath   = "/objects"                // where QEMU has all that object-add adds
)

// vmstate is QEMU's dbus-vmstate object, of which it can have one (backends/dbus-vmstate.c).
type vmstate struct {
	id      string // empty: there is none
	address string // of its bus
	ids     string // its id-list, empty if it has none
}

// ours tells whether it is on the bus at that address.
func (v vmstate) ours(address string) bool {
	theirs, err := endpoint.SocketPath(v.address)
	if err != nil {
		return false
	}
	here, err := endpoint.SocketPath(address)
	return err == nil && theirs == here
}

// setVMState gives QEMU its object, if there is to be one and it has none. newBus: one that the bridge has added before is of no use.
func (b *Bridge) setVMState(ctx context.Context, monitor *qmp.Conn, newBus bool) error {
	if b.config.VMState == nil {
		return nil
	}
	if err := b.config.VMState.Check(); err != nil {
		return fmt.Errorf("QEMU can't migrate the state of helpers: %w", err)
	}
	if monitor == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, b.config.Patience.QEMU)
	defer cancel()
	err := b.addVMState(ctx, monitor, newBus)
	switch {
	case errors.Is(err, qmp.ErrClosed): // it has gone, and is given one when it comes back
		return nil
	case err != nil:
		return fmt.Errorf("QEMU can't migrate the state of helpers: %w", err)
	}
	return nil
}

func (b *Bridge) addVMState(ctx context.Context, monitor *qmp.Conn, newBus bool) error {
	now, err := findVMState(ctx, monitor)
	ids := strings.Join(b.config.VMState.IDs, ",")
	switch {
	case err != nil:
		return forLog(err)
	case now.id == vmstateObject && (newBus || !now.ours(b.address) || now.ids != ids):
		if _, err := monitor.Execute(ctx, qmp.Command{Name: "object-del", Arguments: withMember(nil, "id", vmstateObject)}); err != nil {
			return fmt.Errorf("object-del: %w", forLog(err))
		}
	case now.id != "" && !now.ours(b.address):
		return fmt.Errorf("its object %s of type %s is on another bus: remove it by object-del, or from QEMU's command line", inventory.Text(now.id), vmstateType)
	case now.id != "":
		return nil
	}
	arguments := map[string]string{"qom-type": vmstateType, "id": vmstateObject, "addr": b.address}
	if ids != "" {
		arguments["id-list"] = ids
	}
	text, err := json.Marshal(arguments)
	if err != nil {
		return err
	}
	if _, err := monitor.Execute(ctx, qmp.Command{Name: "object-add", Arguments: text}); err != nil {
		return fmt.Errorf("object-add of type %s: %w; has this QEMU that type, and can its user reach the bus %s (docs/bus.md)?", vmstateType, forLog(err), b.address)
	}
	b.log.Info("QEMU migrates the state of helpers", "object", vmstateObject, "ids", ids)
	if ids == "" {
		b.log.Warn("any helper can end QEMU when it migrates, by an Id that another has: say whose state migrates, by --vmstate=ID,ID")
	}
	return nil
}

// vmstateReads are what is asked about the object, one command each.
var vmstateReads = []struct {
	property string
	into     func(*vmstate) *string
}{
	{"addr", func(v *vmstate) *string { return &v.address }},
	{"id-list", func(v *vmstate) *string { return &v.ids }},
}

// listObjects is the command that tells which objects there are.
var listObjects = qmp.Command{Name: "qom-list", Arguments: []byte(`{"path":"` + objectsPath + `"}`)}

// getProperty is the command that tells a property of the object.
func (v vmstate) getProperty(name string) qmp.Command {
	text, _ := json.Marshal(map[string]string{"path": objectsPath + "/" + v.id, "property": name}) // strings always can be
	return qmp.Command{Name: "qom-get", Arguments: text}
}

// readObjects finds the object among those that QEMU has told.
func readObjects(reply []byte) (vmstate, error) {
	var children []struct {
		Name string `json:"name"`
		Type string `json:"type"`
	}
	if err := json.Unmarshal(reply, &children); err != nil {
		return vmstate{}, fmt.Errorf("qom-list: %w", err)
	}
	for _, c := range children {
		if c.Type == "child<"+vmstateType+">" && len(c.Name) <= inventory.MaxName {
			return vmstate{id: c.Name}, nil
		}
	}
	return vmstate{}, nil
}

// findVMState asks QEMU for its object.
func findVMState(ctx context.Context, monitor *qmp.Conn) (vmstate, error) {
	type outcome struct {
		found vmstate
		err   error
	}
	found := make(chan outcome, 1)
	lookForVMState(monitor, func(v vmstate, err error) { found <- outcome{v, err} })
	select {
	case o := <-found:
		return o.found, o.err
	case <-ctx.Done():
		return vmstate{}, ctx.Err()
	}
}

// lookForVMState asks QEMU for its object, and calls then with that, on the goroutine that reads QEMU's answers. A QEMU that has no
// objects, as a qemu-storage-daemon, has none of this type.
func lookForVMState(monitor *qmp.Conn, then func(vmstate, error)) {
	monitor.Start(listObjects, func(reply qmp.Reply) {
		var refused *qmp.Error
		switch {
		case errors.As(reply.Err, &refused):
			then(vmstate{}, nil)
		case reply.Err != nil:
			then(vmstate{}, reply.Err)
		default:
			found, err := readObjects(reply.Return)
			if err != nil || found.id == "" {
				then(found, err)
				return
			}
			readVMState(monitor, found, 0, then)
		}
	})
}

// readVMState asks for what is not known of it, from that of vmstateReads on.
func readVMState(monitor *qmp.Conn, v vmstate, from int, then func(vmstate, error)) {
	if from == len(vmstateReads) {
		then(v, nil)
		return
	}
	read := vmstateReads[from]
	monitor.Start(v.getProperty(read.property), func(reply qmp.Reply) {
		err := reply.Err
		if err == nil {
			err = json.Unmarshal(reply.Return, read.into(&v))
		}
		if err != nil {
			then(v, fmt.Errorf("%s of an object %s: %w", read.property, vmstateType, err))
			return
		}
		readVMState(monitor, v, from+1, then)
	})
}
