package schema_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"

	"qmp-dbus-bridge/schema"
	"qmp-dbus-bridge/schema/wire"
)

// invoke is a call of a method as busctl takes it: method, signature, values.
type invoke string

// arguments returns what the table makes of it, or the error's text.
func (i invoke) arguments(t *testing.T, table *schema.Table) (string, error) {
	t.Helper()
	words := splitShell(string(i))
	command := table.Method(words[0])
	if command == nil {
		t.Fatalf("no method %s", words[0])
	}
	signature := ""
	d := body(t, "", func(*wire.Encoder) {})
	if len(words) > 1 {
		signature = words[1]
		d = body(t, signature, func(e *wire.Encoder) { encodeList(t, e, signature, words[2:]) })
	}
	got, err := command.AppendArguments([]byte("# "), d, signature, nil)
	if err != nil && string(got) != "# " {
		t.Errorf("%s leaves %q", i, got)
	}
	return strings.TrimPrefix(string(got), "# "), err
}

func TestAppendArguments(t *testing.T) {
	table := benchTable(t)
	for in, want := range map[invoke]string{
		// the four forms
		"BlockResize xa{sv} 1 1 node-name s d":             `{"size":1,"node-name":"d"}`,
		"BlockResize a{sv} 2 node-name s d size x 1":       `{"node-name":"d","size":1}`,
		"BlockResize a{sv} 2 node-name v v s d size v t 1": `{"node-name":"d","size":1}`,
		"BlockResize ya{sv} 7 0":                           `{"size":7}`,
		"BlockResize n -7":                                 `{"size":-7}`,
		"BlockResize v q 9":                                `{"size":9}`,
		"Cont":                                             `{}`,
		"Cont a{sv} 0":                                     `{}`,
		"Balloon xa{sv} 1 0":                               `{"value":1}`,
		"Balloon a{sx} 1 value 1":                          `{"value":1}`,
		"QueryBlock":                                       `{}`,
		"Migrate s exec:true":                              `{"uri":"exec:true"}`,
		"Migrate sa{sv} exec:true 1 detach b true":         `{"uri":"exec:true","detach":true}`,
		"Migrate a{ss} 1 uri exec:true":                    `{"uri":"exec:true"}`,
		"MigrateIncoming s defer":                          `{"uri":"defer"}`,
		"NbdServerStart a{sv}a{sv} 2 type s unix data a{sv} 1 path s /x 0":                `{"addr":{"type":"unix","data":{"path":"/x"}}}`,
		"NbdServerStart a{sv} 1 addr a{sv} 2 type s unix data a{ss} 1 path /x":            `{"addr":{"type":"unix","data":{"path":"/x"}}}`,
		"MigrateSetCapabilities aa{sv} 1 2 capability s events state b true":              `{"capabilities":[{"capability":"events","state":true}]}`,
		"MigrateSetCapabilities a{sv} 1 capabilities aa{sv} 0":                            `{"capabilities":[]}`,
		"ChardevAdd sa{sv} c 2 type s null data a{sv} 0":                                  `{"id":"c","backend":{"type":"null","data":{}}}`,
		"ChardevAdd a{sv} 2 id s c backend a{sv} 2 data a{sv} 0 type s null":              `{"id":"c","backend":{"data":{},"type":"null"}}`,
		"XBlockdevAmend ssa{sv} j n 1 driver s raw":                                       `{"job-id":"j","node-name":"n","options":{"driver":"raw"}}`,
		"XBlockdevAmend ssa{sv}a{sv} j n 2 driver s luks state s active 1 force b true":   `{"job-id":"j","node-name":"n","options":{"driver":"luks","state":"active"},"force":true}`,
		"BlockdevReopen aa{sv} 1 2 driver s raw file s f":                                 `{"options":[{"driver":"raw","file":"f"}]}`,
		"DeviceAdd sa{sv} virtio-rng-pci 3 id s r x-any av 2 i 1 g '' nested a{si} 1 a 1": `{"driver":"virtio-rng-pci","id":"r","x-any":[1,null],"nested":{"a":1}}`,
		"DeviceAdd a{sv} 2 driver s d zz d 0.5":                                           `{"driver":"d","zz":0.5}`,

		// unions, also with the tag behind its members, and alternates
		"BlockdevAdd a{sv} 3 file a{sv} 2 filename s /x driver s file node-name s d driver s qcow2": `{"file":{"filename":"/x","driver":"file"},"node-name":"d","driver":"qcow2"}`,
		"BlockdevAdd a{sv} 2 file s f driver v v s raw":                                             `{"file":"f","driver":"raw"}`,
		"BlockdevAdd sa{sv} qcow2 3 node-name s d file s p backing g ''":                            `{"driver":"qcow2","node-name":"d","file":"p","backing":null}`,
		"BlockdevAdd sa{sv} qcow2 2 file s p overlap-check s all":                                   `{"driver":"qcow2","file":"p","overlap-check":"all"}`,
		"BlockdevAdd sa{sv} qcow2 2 file s p overlap-check a{sv} 1 template s cached":               `{"driver":"qcow2","file":"p","overlap-check":{"template":"cached"}}`,
		"NetdevAdd ssa{sv} n user 2 ipv6 b false hostfwd aa{ss} 1 1 str tcp::1-:22":                 `{"id":"n","type":"user","ipv6":false,"hostfwd":[{"str":"tcp::1-:22"}]}`,
		"NetdevAdd ssa{sv} n stream 1 addr a{ss} 3 port 1 type inet host h":                         `{"id":"n","type":"stream","addr":{"port":"1","type":"inet","host":"h"}}`,
		"ObjectAdd ssa{sv} memory-backend-ram m 1 size t 16777216":                                  `{"qom-type":"memory-backend-ram","id":"m","size":16777216}`,
		"BlockDirtyBitmapMerge ssas d b 1 c":                                                        `{"node":"d","target":"b","bitmaps":["c"]}`,
		"BlockDirtyBitmapMerge ssav d b 2 s c a{ss} 2 node d name e":                                `{"node":"d","target":"b","bitmaps":["c",{"node":"d","name":"e"}]}`,
		"XBlockdevSetIothread sga{sv} n '' 0":                                                       `{"node-name":"n","iothread":null}`,
		"QomSet sso / p /a/b":                                                                       `{"path":"/","property":"p","value":"/a/b"}`,
		"QomSet ssd / p 1":                                                                          `{"path":"/","property":"p","value":1.0}`,
		"Memsave xxs -139637976727552 16 /m":                                                        `{"val":-139637976727552,"size":16,"filename":"/m"}`,
		"Memsave tts 18446744073709551615 16 /m":                                                    `{"val":18446744073709551615,"size":16,"filename":"/m"}`,
	} {
		if got, err := in.arguments(t, table); got != want || err != nil {
			t.Errorf("%s = %s, %v, want %s", in, got, err, want)
		}
	}
}

// The arguments that a caller may get wrong, and what it is told: the place first.
func TestAppendArgumentsErrors(t *testing.T) {
	table := benchTable(t)
	for in, want := range map[invoke]string{
		// wrong types
		"BlockdevAdd sa{sv} qcow2 1 file a{sv} 2 driver s file filename i 1": "blockdev-add.file.filename: expected string, got int",
		"BlockResize sa{sv} 128M 0":                "block_resize.size: expected int, got string",
		"BlockResize b true":                       "block_resize.size: expected int, got bool",
		"BlockResize d 5":                          "block_resize.size: expected int, got number",
		"BlockResize d 18446744073709551616":       "block_resize.size: expected int, got number",
		"BlockResize v as 0":                       "block_resize.size: expected int, got array",
		"BlockResize g ''":                         "block_resize.size: expected int, got null",
		"BlockResize xa{sv} 1 1 node-name g s":     "block_resize.node-name: expected string, got signature",
		"BlockResize xa{sv} 1 1 node-name ay 1 7":  "block_resize.node-name: expected string, got array",
		"BlockResize xa{sv} 1 1 node-name a{sv} 0": "block_resize.node-name: expected string, got object",
		"BlockResize xa{sv} 1 1 node-name h 0":     "block_resize.node-name: expected string, got file descriptor",
		"SetLink si n 1":                           "set_link.up: expected bool, got int",
		"InputSendEvent a{sv}a{sv} 0 0":            "input-send-event.events: expected array, got object",
		"InputSendEvent as 1 x":                    "input-send-event.events[0]: expected object, got string",
		"InputSendEvent aa{sv} 2 2 type s rel data a{sv} 2 axis s x value i 1 2 type s btn data i 1": "input-send-event.events[1].data: expected object, got int",
		"InputSendEvent aa{sv} 1 2 type s rel data a{sv} 2 axis s x value d 1":                       "input-send-event.events[0].data.value: expected int, got number",
		"BlockdevAdd sa{sv} qcow2 1 file i 1":                                                        "blockdev-add.file: expected object or string, got int",
		"BlockdevAdd sa{sv} qcow2 2 file s f backing b true":                                         "blockdev-add.backing: expected object or string or null, got bool",
		"BlockdevAdd sa{sv} qcow2 2 file s f backing g s":                                            "blockdev-add.backing: expected the empty signature for null, got the signature 's'",
		"BlockdevAdd sa{sv} blkdebug 2 image s i set-state a{sv} 0":                                  "blockdev-add.set-state: expected array, got object",
		"QomSet ssd / p NaN": "qom-set.value: NaN is not a JSON number",
		"QomSet ssh / p 0":   "qom-set.value: a file descriptor has no place here",

		// values
		"SetAction a{sv} 1 reboot s halt":                                  "set-action.reboot: 'halt' is not one of reset, shutdown",
		"BlockdevAdd sa{sv} qcow2 2 file s f overlap-check s most":         "blockdev-add.overlap-check: 'most' is not one of none, constant, cached, all",
		"NetdevAdd ss n usr":                                               "netdev_add.type: 'usr' is not one of none, nic, user, tap, l2tpv3, socket, stream, dgram, vde, bridge, hubport, netmap, vhost-user, vhost-vdpa",
		"BlockdevAdd sa{sv} raw 1 file a{sv} 2 filename s f driver s none": "blockdev-add.file.driver: " + notOneOf(t, table, "none"),
		"BlockdevAdd sa{sv} raw 1 file a{sv} 2 driver u 1 filename s f":    "blockdev-add.file.driver: expected string, got int",
		"QomGet ss / a\ufffe":                                              "qom-get.property: the string has the noncharacter U+FFFE, which QEMU refuses",
		"DeviceAdd sa{sv} d 1 a\ufdd0 s x":                                 "device_add.a\ufdd0: the string has the noncharacter U+FDD0, which QEMU refuses",
		"SetAction a{sv} 1 reboot s " + invoke(strings.Repeat("r", 70)):    "set-action.reboot: '" + strings.Repeat("r", 64) + "...' is not one of reset, shutdown",

		// members
		"BlockResize xa{sv} 1 1 nod-name s d":                                      "block_resize.nod-name: unknown member; there are device, node-name",
		"Balloon xa{sv} 1 1 x i 1":                                                 "balloon.x: unknown member; there are none",
		"Cont a{sv} 1 x i 1":                                                       "cont.x: unknown member; there are none",
		"BlockdevAdd sa{sv} null-co 1 filename s f":                                "blockdev-add.filename: unknown member; there are node-name, discard, cache, active, read-only, auto-read-only, force-share, detect-zeroes, size, latency-ns, read-zeroes",
		"BlockdevAdd sa{sv} raw 1 file a{sv} 2 driver s file file s f":             "blockdev-add.file.file: unknown member; there are driver, node-name, discard, cache, active, read-only, auto-read-only, force-share, detect-zeroes, filename, pr-manager, locking, aio, aio-max-batch, drop-cache, x-check-cache-dropped",
		"BlockResize a{sv} 1 node-name s d":                                        "block_resize.size: missing",
		"BlockdevAdd sa{sv} qcow2 0":                                               "blockdev-add.file: missing",
		"BlockdevAdd sa{sv} raw 1 file a{sv} 1 driver s file":                      "blockdev-add.file.filename: missing",
		"BlockdevAdd a{sv} 1 node-name s d":                                        "blockdev-add.driver: missing",
		"BlockdevAdd sa{sv} raw 1 file a{sv} 1 filename s f":                       "blockdev-add.file.driver: missing",
		"DeviceAdd a{sv} 1 id s d":                                                 "device_add.driver: missing",
		"MigrateSetCapabilities aa{sv} 2 2 capability s events state b true 0":     "migrate-set-capabilities.capabilities[1].capability: missing",
		"BlockResize xa{sv} 1 1 size x 1":                                          "block_resize.size: given as an argument and in the dictionary",
		"BlockdevAdd sa{sv} raw 1 driver s raw":                                    "blockdev-add.driver: given as an argument and in the dictionary",
		"BlockResize xa{sv} 1 2 node-name s d node-name s d":                       "block_resize.node-name: given twice",
		"BlockdevAdd sa{sv} raw 1 file a{ss} 3 driver file driver file filename f": "blockdev-add.file.driver: given twice",
		"DeviceAdd sa{sv} d 2 x i 1 x i 2":                                         "device_add: key 'x' is there twice",
		"QomSet ssa{sv} / p 2 x i 1 x i 2":                                         "qom-set.value: key 'x' is there twice",
		"BlockResize a{iv} 0":                                                      "block_resize.size: expected int, got object",
		"SetAction a{us} 1 1 x":                                                    "set-action: expected arguments (a{sv} options), got 'a{us}'",
		"BlockdevAdd sa{sv} raw 1 file a{us} 0":                                    "blockdev-add.file: expected strings as keys, got D-Bus type 'a{us}'",

		// forms
		"BlockResize":                   "block_resize: expected arguments (x size, a{sv} options), got none",
		"BlockResize xs 1 a":            "block_resize: expected arguments (x size, a{sv} options), got 'xs'",
		"BlockResize xa{sv}a{sv} 1 0 0": "block_resize: expected arguments (x size, a{sv} options), got 'xa{sv}a{sv}'",
		"Cont s x":                      "cont: expected no arguments, got 's'",
		"Migrate ss a b":                "migrate: expected arguments (a{sv} options), got 'ss'",
		"Migrate i 1":                   "migrate.uri: expected string, got int",
		"Migrate sa{sv} a 1 uri s b":    "migrate.uri: given as an argument and in the dictionary",
		"NbdServerStart a{ss} 1 type x": "nbd-server-start.type: unknown member; there are handshake-max-seconds, tls-creds, tls-authz, max-connections, addr",
		"QomGet as 2 a b":               "qom-get: expected arguments (s path, s property), got 'as'",
	} {
		got, err := in.arguments(t, table)
		if argument, ok := errors.AsType[*schema.ArgumentError](err); !ok || argument.Error() != want {
			t.Errorf("%s = %s, %v, want %s", in, got, err, want)
		}
	}
}

// TestUnknownMemberOfMany: an error lists 64 members, and counts one more.
func TestUnknownMemberOfMany(t *testing.T) {
	for members, want := range map[int]string{64: ", m63", 65: ", m63 and 1 more"} {
		var fields []any
		for i := range members {
			fields = append(fields, map[string]any{"name": fmt.Sprint("m", i), "type": "int", "default": nil})
		}
		b := newBuilder(t)
		b.add(map[string]any{"meta-type": "object", "name": "many", "members": fields})
		b.command("cmd", "many", "object{}")
		_, err := invoke("Cmd a{sv} 1 x i 1").arguments(t, parseTable(t, b.json()))
		if err == nil || !strings.HasPrefix(err.Error(), "cmd.x: unknown member; there are m0, m1, ") || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("of %d members: %v, want the end %q", members, err, want)
		}
	}
}

// notOneOf is what an unknown driver is told.
func notOneOf(t *testing.T, table *schema.Table, driver string) string {
	t.Helper()
	_, err := invoke("BlockdevAdd s "+driver).arguments(t, table)
	if !strings.Contains(err.Error(), " is not one of blkdebug, blklogwrites, ") {
		t.Errorf("BlockdevAdd s %s: %v", driver, err)
	}
	_, text, _ := strings.Cut(err.Error(), ": ")
	return text
}

// What QEMU 7.2 wants and later ones don't is not an argument but must be there.
func TestMandatoryByName(t *testing.T) {
	table := parseTable(t, string(readFile(t, "testdata/schemas/qmp-schema-7.2.22-x86_64.json")))
	if _, err := invoke("Migrate a{sv} 1 detach b true").arguments(t, table); err == nil || err.Error() != "migrate.uri: missing" {
		t.Errorf("Migrate without uri: %v", err)
	}
}

// An argument that the running QEMU doesn't have is refused, by name all goes on.
func TestNotSupported(t *testing.T) {
	table := tableOf(t, "block_resize", "object{device:str}", "object{}")
	if got := table.Method("BlockResize").InSignature(); got != "xa{sv}" {
		t.Errorf("signature %s, want the frozen one", got)
	}
	_, err := invoke("BlockResize xa{sv} 1 1 device s d").arguments(t, table)
	if !errors.Is(err, schema.ErrNotSupported) || !strings.HasPrefix(err.Error(), "block_resize.size: ") {
		t.Errorf("size: %v, want ErrNotSupported", err)
	}
	if got, err := invoke("BlockResize a{sv} 1 device s d").arguments(t, table); got != `{"device":"d"}` || err != nil {
		t.Errorf("by name: %s, %v", got, err)
	}
}

// A command that no frozen list has takes what is mandatory in this QEMU.
func TestUnknownCommand(t *testing.T) {
	for arguments, want := range map[string]string{
		"object{}":                         "",
		"object{a:str,b?:int,c:[[int]]}":   "saaxa{sv}",
		"object{a:any,b:null,c:[any]}":     "vvav",
		"object{a:alternate(int|str)}":     "v",
		"object{a?:str}":                   "a{sv}",
		"object{a:object{},b:enum(x)}":     "a{sv}s",
		"object{a:number,b:bool,c:[bool]}": "dbab",
	} {
		if got := tableOf(t, "x-new", arguments, "any").Method("XNew").InSignature(); got != want {
			t.Errorf("%s has signature %s, want %s", arguments, got, want)
		}
	}
}

// Before QEMU 6.0 object-add took an object's properties beside its members.
func TestObjectAddIsOpen(t *testing.T) {
	table := tableOf(t, "object-add", "object{qom-type:str,id:str,props?:any}", "object{}")
	got, err := invoke("ObjectAdd ssa{sv} memory-backend-ram m 1 size t 1").arguments(t, table)
	if want := `{"qom-type":"memory-backend-ram","id":"m","size":1}`; got != want || err != nil {
		t.Errorf("ObjectAdd = %s, %v, want %s", got, err, want)
	}
}

// Bytes after the arguments and a body cut short are nobody's argument.
func TestMalformedBody(t *testing.T) {
	command := benchTable(t).Command("balloon")
	for _, body := range []string{"\x01\x00\x00\x00\x00\x00\x00\x00\x00", "\x01\x00\x00\x00"} {
		d := wire.NewDecoder(binary.LittleEndian, "x", []byte(body), 0)
		_, err := command.AppendArguments(nil, &d, "x", nil)
		if _, ok := errors.AsType[*schema.ArgumentError](err); ok || err == nil || !strings.HasPrefix(err.Error(), "balloon") {
			t.Errorf("AppendArguments of %d bytes = %v", len(body), err)
		}
	}
}

// Call's dictionary is checked as a typed call's is.
func TestAppendMembers(t *testing.T) {
	table := benchTable(t)
	for in, want := range map[string]string{
		"block_resize a{sv} 2 size i 1 node-name s d": `{"size":1,"node-name":"d"}`,
		"cont a{sv} 0":                           `{}`,
		"cont v a{sv} 0":                         `{}`,
		"block_resize a{sv} 1 size s x":          "block_resize.size: expected int, got string",
		"block_resize a{sv} 0":                   "block_resize.size: missing",
		"getfd a{sv} 1 fdname s f":               `{"fdname":"f"}`,
		"device_add a{sv} 2 driver s d any i 1":  `{"driver":"d","any":1}`,
		"qmp_capabilities a{sv} 1 enable as 1 a": "qmp_capabilities.enable[0]: 'a' is not one of oob",
	} {
		words := splitShell(in)
		d := body(t, words[1], func(e *wire.Encoder) { encodeWords(t, e, words[1], words[2:]) })
		got, err := table.Command(words[0]).AppendMembers(nil, d, nil)
		if err != nil {
			got = []byte(err.Error())
		}
		if string(got) != want {
			t.Errorf("AppendMembers(%s) = %s, want %s", in, got, want)
		}
	}
}
