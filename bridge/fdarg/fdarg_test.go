package fdarg_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"qmp-dbus-bridge/bridge/fdarg"
	"qmp-dbus-bridge/schema"
)

// files are descriptors of every kind that tests pass, by a letter.
type files struct {
	t    *testing.T
	path string
}

func newFiles(t *testing.T) files {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return files{t, path}
}

// open opens one for each letter: r, w, b for reading, writing and both; s a socket; p a path only.
func (f files) open(letters string) (fds []int) {
	for _, letter := range letters {
		var fd int
		var err error
		switch letter {
		case 's':
			fd, err = unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		default:
			mode := map[rune]int{'r': unix.O_RDONLY, 'w': unix.O_WRONLY, 'b': unix.O_RDWR, 'p': unix.O_PATH}[letter]
			fd, err = unix.Open(f.path, mode|unix.O_CLOEXEC, 0)
		}
		if err != nil {
			f.t.Fatal(err)
		}
		f.t.Cleanup(func() { unix.Close(fd) })
		fds = append(fds, fd)
	}
	return fds
}

var placeholder = regexp.MustCompile(`FD([0-9]+)(\+FD[0-9]+)*`)

// given are arguments in which FD0 stands for the descriptor 0, and FD0+FD1 for a list of two.
func given(text string) (arguments []byte, all []schema.Descriptor) {
	for {
		at := placeholder.FindStringIndex(text)
		if at == nil {
			return append(arguments, text...), all
		}
		arguments = append(arguments, text[:at[0]]...)
		for one := range strings.SplitSeq(text[at[0]:at[1]], "+") {
			index, _ := strconv.Atoi(one[2:])
			all = append(all, schema.Descriptor{Start: len(arguments), Index: uint32(index)})
		}
		arguments = append(arguments, `""`...)
		text = text[at[1]:]
	}
}

// names are N0, N1 and so on, of a list N0:N1.
func names(p fdarg.Placed) (list []string) {
	n := 0
	for _, a := range p.Args {
		var of []string
		for range a.Indexes {
			of = append(of, fmt.Sprintf("N%d", n))
			n++
		}
		list = append(list, strings.Join(of, ":"))
	}
	return list
}

// What is taken, as what it is decided and run.
func TestPlace(t *testing.T) {
	f := newFiles(t)
	for _, test := range []struct{ command, arguments, fds, decided, named string }{
		{"add_client", `{"protocol":"vnc","fdname":FD0,"tls":true}`, "s", `{"protocol":"vnc","fdname":"fd:","tls":true}`, `{"protocol":"vnc","fdname":"N0","tls":true}`},
		{"migrate", `{"uri":FD0}`, "w", `{"uri":"fd:"}`, `{"uri":"fd:N0"}`},
		{"migrate", `{"uri":FD0}`, "s", `{"uri":"fd:"}`, `{"uri":"fd:N0"}`},
		{"migrate", `{"channels":[{"channel-type":"main","addr":{"transport":"socket","type":"fd","str":FD0}}]}`, "b", `{"channels":[{"channel-type":"main","addr":{"transport":"socket","type":"fd","str":"fd:"}}]}`, `{"channels":[{"channel-type":"main","addr":{"transport":"socket","type":"fd","str":"N0"}}]}`},
		{"migrate-incoming", `{"uri":FD0}`, "r", `{"uri":"fd:"}`, `{"uri":"fd:N0"}`},
		{"dump-guest-memory", `{"paging":false,"protocol":FD0}`, "w", `{"paging":false,"protocol":"fd:"}`, `{"paging":false,"protocol":"fd:N0"}`},
		{"chardev-add", `{"id":"c","backend":{"type":"socket","data":{"addr":{"type":"fd","data":{"str":FD0}},"server":false}}}`, "s", `{"id":"c","backend":{"type":"socket","data":{"addr":{"type":"fd","data":{"str":"fd:"}},"server":false}}}`, `{"id":"c","backend":{"type":"socket","data":{"addr":{"type":"fd","data":{"str":"N0"}},"server":false}}}`},
		{"chardev-add", `{"id":"c","backend":{"type":"file","data":{"out":FD1,"in":FD0}}}`, "rw", `{"id":"c","backend":{"type":"file","data":{"out":"/dev/fdset/","in":"/dev/fdset/"}}}`, `{"id":"c","backend":{"type":"file","data":{"out":"/dev/fdset/N0","in":"/dev/fdset/N1"}}}`},
		{"chardev-add", `{"id":"c","backend":{"type":"null","data":{"logfile":FD0}}}`, "w", `{"id":"c","backend":{"type":"null","data":{"logfile":"/dev/fdset/"}}}`, `{"id":"c","backend":{"type":"null","data":{"logfile":"/dev/fdset/N0"}}}`},
		{"nbd-server-start", `{"addr":{"type":"fd","data":{"str":FD0}}}`, "s", `{"addr":{"type":"fd","data":{"str":"fd:"}}}`, `{"addr":{"type":"fd","data":{"str":"N0"}}}`},
		{"block-export-add", `{"type":"vhost-user-blk","id":"e","node-name":"n","addr":{"type":"fd","str":FD0}}`, "s", `{"type":"vhost-user-blk","id":"e","node-name":"n","addr":{"type":"fd","str":"fd:"}}`, `{"type":"vhost-user-blk","id":"e","node-name":"n","addr":{"type":"fd","str":"N0"}}`},
		{"netdev_add", `{"type":"socket","id":"n","fd":FD0}`, "s", `{"type":"socket","id":"n","fd":"fd:"}`, `{"type":"socket","id":"n","fd":"N0"}`},
		{"netdev_add", `{"type":"dgram","id":"n","local":{"type":"fd","str":FD0}}`, "s", `{"type":"dgram","id":"n","local":{"type":"fd","str":"fd:"}}`, `{"type":"dgram","id":"n","local":{"type":"fd","str":"N0"}}`},
		{"netdev_add", `{"type":"tap","id":"n","fds":FD0+FD2,"vhostfds":FD1+FD3}`, "brbr", `{"type":"tap","id":"n","fds":"fd:","vhostfds":"fd:"}`, `{"type":"tap","id":"n","fds":"N0:N1","vhostfds":"N2:N3"}`},
		{"device_add", `{"driver":"vhost-vsock-pci","vhostfd":FD0}`, "b", `{"driver":"vhost-vsock-pci","vhostfd":"fd:"}`, `{"driver":"vhost-vsock-pci","vhostfd":"N0"}`},
		{"screendump", `{"filename":FD0,"device":"\"\\"}`, "w", `{"filename":"/dev/fdset/","device":"\"\\"}`, `{"filename":"/dev/fdset/N0","device":"\"\\"}`},
		{"object-add", `{"qom-type":"rng-random","id":"r","filename":FD0}`, "r", `{"qom-type":"rng-random","id":"r","filename":"/dev/fdset/"}`, `{"qom-type":"rng-random","id":"r","filename":"/dev/fdset/N0"}`},
		{"blockdev-add", `{"driver":"file","filename":FD0}`, "b", `{"driver":"file","filename":"/dev/fdset/"}`, `{"driver":"file","filename":"/dev/fdset/N0"}`},
		{"blockdev-add", `{"driver":"host_device","read-only":true,"filename":FD0}`, "r", `{"driver":"host_device","read-only":true,"filename":"/dev/fdset/"}`, `{"driver":"host_device","read-only":true,"filename":"/dev/fdset/N0"}`},
		{"blockdev-add", `{"driver":"qcow2","read-only":true,"file":{"driver":"file","filename":FD0}}`, "r", `{"driver":"qcow2","read-only":true,"file":{"driver":"file","filename":"/dev/fdset/"}}`, `{"driver":"qcow2","read-only":true,"file":{"driver":"file","filename":"/dev/fdset/N0"}}`},
		{"blockdev-add", `{"driver":"qcow2","file":{"driver":"file","filename":FD1},"backing":{"driver":"raw","file":{"driver":"file","filename":FD0}}}`, "rb", `{"driver":"qcow2","file":{"driver":"file","filename":"/dev/fdset/"},"backing":{"driver":"raw","file":{"driver":"file","filename":"/dev/fdset/"}}}`, `{"driver":"qcow2","file":{"driver":"file","filename":"/dev/fdset/N0"},"backing":{"driver":"raw","file":{"driver":"file","filename":"/dev/fdset/N1"}}}`},
		{"blockdev-add", `{"driver":"raw","auto-read-only":true,"file":{"driver":"file","filename":FD0}}`, "r", `{"driver":"raw","auto-read-only":true,"file":{"driver":"file","filename":"/dev/fdset/"}}`, `{"driver":"raw","auto-read-only":true,"file":{"driver":"file","filename":"/dev/fdset/N0"}}`},
		{"blockdev-add", `{"driver":"raw","read-only":true,"file":{"driver":"file","read-only":false,"filename":FD0}}`, "b", `{"driver":"raw","read-only":true,"file":{"driver":"file","read-only":false,"filename":"/dev/fdset/"}}`, `{"driver":"raw","read-only":true,"file":{"driver":"file","read-only":false,"filename":"/dev/fdset/N0"}}`},
		{"blockdev-create", `{"job-id":"j","options":{"driver":"file","filename":FD0,"size":1}}`, "b", `{"job-id":"j","options":{"driver":"file","filename":"/dev/fdset/","size":1}}`, `{"job-id":"j","options":{"driver":"file","filename":"/dev/fdset/N0","size":1}}`},
		{"stop", `{}`, "", `{}`, `{}`},
	} {
		arguments, all := given(test.arguments)
		p, err := fdarg.Place(test.command, arguments, all, f.open(test.fds))
		if err != nil || string(p.Decided) != test.decided {
			t.Errorf("Place(%s %s) = %s, %v, want %s", test.command, test.arguments, p.Decided, err, test.decided)
			continue
		}
		if got := p.Named(names(p)); string(got) != test.named {
			t.Errorf("%s %s is run as %s, want %s", test.command, test.arguments, got, test.named)
		}
	}
}

// What is refused, and where and why.
func TestPlaceRefuses(t *testing.T) {
	f := newFiles(t)
	const node = `{"driver":"raw",%s"file":{"driver":"file","filename":FD0}}`
	for _, test := range []struct{ command, arguments, fds, want string }{
		{"blockdev-add", `{"driver":"raw","file":{"driver":"file","filename":FD0,"locking":FD1}}`, "bb", "blockdev-add.file.locking: no file descriptor is taken here; blockdev-add takes them as filename (driver=file), filename (driver=host_device)"},
		{"blockdev-add", `{"driver":"nbd","server":{"type":"fd","str":FD0}}`, "s", "blockdev-add.server.str: a file descriptor is of no use here"},
		{"blockdev-add", `{"driver":"raw","file":{"driver":"vvfat","filename":FD0}}`, "b", "blockdev-add.file.filename: no file descriptor is taken here"},
		{"block_resize", `{"device":FD0}`, "b", "block_resize.device: no file descriptor is taken here; block_resize takes none"},
		{"getfd", `{"fdname":"x"}`, "r", "getfd: the file descriptor 0 of the message is no argument; give it as fd in Call, or by Getfd and AddFd"},
		{"netdev_add", `{"type":"stream","id":"n","addr":{"type":"fd","str":FD0}}`, "s", "netdev_add.addr.str: a file descriptor is of no use here: QEMU never takes it"},
		{"object-add", `{"qom-type":"memory-backend-file","mem-path":FD0}`, "b", "object-add.mem-path: a file descriptor is of no use here: QEMU does not open it"},
		{"memsave", `{"val":0,"size":1,"filename":FD0}`, "w", "memsave.filename: a file descriptor is of no use here"},
		{"pmemsave", `{"val":0,"size":1,"filename":FD0}`, "w", "pmemsave.filename: a file descriptor is of no use here"},
		{"migrate", `{"channels":[{"addr":{"transport":"file","filename":FD0}}]}`, "w", "migrate.channels.0.addr.filename: a file descriptor is of no use here"},
		{"screendump", `{"filename":FD0+FD1}`, "ww", "screendump.filename: 2 file descriptors for one name"},
		{"screendump", `{"filename":FD0}`, "ww", "screendump: the file descriptor 1 of the message is no argument; screendump takes them as filename"},
		{"screendump", `{}`, "w", "screendump: the file descriptor 0 of the message is no argument"},
		{"screendump", `{"filename":FD1}`, "w", "screendump.filename: the message has 1 file descriptors, and this is number 1"},
		{"netdev_add", `{"type":"tap","id":"n","fds":FD0+FD0}`, "b", "netdev_add: the file descriptor 0 of the message is given twice"},
		{"screendump", `{"filename":FD0}`, "p", "screendump.filename: the descriptor is only of a path (O_PATH)"},
		{"screendump", `{"filename":FD0}`, "b", "screendump.filename: the descriptor is open for both (O_RDWR), and QEMU takes one here that is open for writing only (O_WRONLY)"},
		{"screendump", `{"filename":FD0}`, "r", "screendump.filename: the descriptor is open for reading only (O_RDONLY)"},
		{"object-add", `{"qom-type":"rng-random","filename":FD0}`, "b", "object-add.filename: the descriptor is open for both"},
		{"blockdev-add", fmt.Sprintf(node, ""), "r", "blockdev-add.file.filename: the descriptor is open for reading only (O_RDONLY), and QEMU takes one here that is open for both (O_RDWR)"},
		{"blockdev-add", fmt.Sprintf(node, `"read-only":true,`), "b", "blockdev-add.file.filename: the descriptor is open for both"},
		{"blockdev-add", fmt.Sprintf(node, `"auto-read-only":true,`), "w", "blockdev-add.file.filename: the descriptor is open for writing only"},
		{"migrate", `{"uri":FD0}`, "r", "migrate.uri: the descriptor is not open for writing"},
		{"migrate-incoming", `{"uri":FD0}`, "w", "migrate-incoming.uri: the descriptor is not open for reading"},
		{"add_client", `{"protocol":"vnc","fdname":FD0}`, "b", "add_client.fdname: the descriptor is no socket"},
	} {
		arguments, all := given(test.arguments)
		_, err := fdarg.Place(test.command, arguments, all, f.open(test.fds))
		var wrong *schema.ArgumentError
		if !errors.As(err, &wrong) || !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("Place(%s %s) with %s: %v, want %s", test.command, test.arguments, test.fds, err, test.want)
		}
	}
}

// may lets a caller name the descriptor mine, and the set 5.
var may = fdarg.Names{
	Name: func(name string) error {
		if name != "mine" {
			return errors.New("not yours")
		}
		return nil
	},
	Set: func(id int64) error {
		if id != 5 {
			return fmt.Errorf("not yours: %d", id)
		}
		return nil
	},
}

func TestCheck(t *testing.T) {
	for _, test := range []struct {
		command, arguments string
		ok                 bool
	}{
		{"screendump", `{"filename":"/srv/x"}`, true},
		{"screendump", `{"filename":"/dev/fdset/5"}`, true},
		{"screendump", `{"filename":"/dev/fdset/6"}`, false},
		{"screendump", `{"filename":"/dev/fdset/"}`, false}, // what a descriptor is decided as
		{"screendump", `{"filename":"/dev/fdset/05"}`, false},
		{"screendump", `{"filename":"/dev/fdset/ 5"}`, false},
		{"screendump", `{"filename":"/dev/fdset/+5"}`, false},
		{"screendump", `{"filename":"/dev/fdset/55555555555555555555"}`, false},
		{"screendump", `{"filename":FD0}`, true},
		{"human-monitor-command", `{"command-line":"screendump /dev/fdset/5; screendump /dev/fdset/6"}`, false},
		{"unknown", `{"a":[{"b":["/dev/fdset/6"]}]}`, false},
		{"unknown", `{"/dev/fdset/6":1}`, true}, // no value
		{"blockdev-add", `{"file":"json:{\"driver\":\"file\",\"filename\":\"/dev/fdset/5\"}"}`, true},
		{"blockdev-add", `{"file":"json:{\"driver\":\"file\",\"filename\":\"/dev/fdset/6\"}"}`, false},
		{"blockdev-add", `{"file":"json:{'filename':'\\/dev\\/fdset\\/6'}"}`, false},
		{"blockdev-add", `{"file":"json:{'filename':'\\u002fdev/fd\\u0073et/6'}"}`, false},
		{"blockdev-add", `{"file":"json:{'filename':'json:{\\\"filename\\\":\\\"/dev/fd\\\\u0073et/6\\\"}'}"}`, false},
		{"blockdev-add", `{"file":"\\\\a\\b\\"}`, true},
		{"blockdev-add", `{"file":"` + strings.Repeat(`\\u005c`, 100) + `"}`, true},
		{"blockdev-add", `{"file":"\\` + strings.Repeat(`u005c`, 15) + `"}`, true}, // each is decoded after the one before
		{"blockdev-add", `{"file":"\\` + strings.Repeat(`u005c`, 16) + `"}`, false},
		{"add_client", `{"protocol":"vnc","fdname":"mine"}`, true},
		{"add_client", `{"protocol":"vnc","fdname":"theirs"}`, false},
		{"add_client", `{"protocol":"vnc","fdname":"fd:"}`, false},
		{"add_client", `{"protocol":"vnc","fdname":""}`, false},
		{"add_client", `{"protocol":"vnc","fdname":FD0}`, true},
		{"migrate", `{"uri":"fd:mine"}`, true},
		{"migrate", `{"uri":"fd:theirs"}`, false},
		{"migrate", `{"uri":"fd:"}`, false},
		{"migrate", `{"uri":"tcp:x:1"}`, true},
		{"netdev_add", `{"type":"tap","fds":"mine:mine"}`, true},
		{"netdev_add", `{"type":"tap","fds":"mine:theirs"}`, false},
		{"netdev_add", `{"type":"tap","fds":"fd:"}`, false},
		{"netdev_add", `{"type":"stream","addr":{"type":"fd","str":"theirs"}}`, false},
		{"netdev_add", `{"type":"stream","addr":{"type":"unix","str":"theirs"}}`, true},
		{"blockdev-add", `{"driver":"nbd","server":{"type":"fd","str":"theirs"}}`, false},
		{"set_password", `{"protocol":"vnc","password":"theirs"}`, true},
		{"netdev_add", `{"type":"af-xdp","id":"n","sock-fds":"mine:theirs"}`, false},
		{"device_add", `{"driver":"x-pci-proxy-dev","fd":"theirs"}`, false},
		{"device_add", `{"driver":"vfio-ap","fd":"theirs"}`, false},
		{"device_add", `{"driver":"vfio-ccw","fd":"mine"}`, true},
		{"device_add", `{"driver":"virtio-net-pci","ebpf-rss-fds":["mine","theirs"]}`, false},
		{"object-add", `{"qom-type":"x-remote-object","id":"o","devid":"d","fd":"theirs"}`, false},
		{"migrate-recover", `{"uri":"fd:theirs"}`, false},
		{"device_add", `{"driver":"not known here","some-fds":"mine:theirs"}`, false},
		{"device_add", `{"driver":"not known here","fd":"mine"}`, true},
		{"blockdev-snapshot-sync", `{"snapshot-file":"json:{\"driver\":\"nbd\",\"server\":{\"type\":\"fd\",\"str\":\"theirs\"}}"}`, false},
		{"change-backing-file", `{"backing-file":"json:{'server.type':'fd','server.str':'theirs'}"}`, false},
		{"drive-mirror", `{"target":"json:{'server.type':'\\u0066d'}"}`, false},
		{"drive-mirror", `{"target":"json:{'file':'json:{\\\"server.type\\\":\\\"fd\\\"}'}"}`, false},
		{"drive-mirror", `{"target":"json:{'driver':'file','filename':'/x'}"}`, true},
		{"drive-mirror", `{"target":"'fd'"}`, true},
	} {
		arguments, all := given(test.arguments)
		if err := fdarg.Check(test.command, arguments, all, may); (err == nil) != test.ok {
			t.Errorf("Check(%s %s) = %v, want it to be %v", test.command, test.arguments, err, test.ok)
		}
	}
}

// The members of a captured QEMU's commands that are called as those which name a descriptor are.
func TestCheckKnowsAll(t *testing.T) {
	named := regexp.MustCompile(`^(.*-)?(vhost)?fds?$|^fdname$`)
	uri := regexp.MustCompile(`^migrate`)
	for _, version := range []string{"7.2.22", "10.0.2"} {
		text, err := os.ReadFile("../../schema/testdata/schemas/qmp-schema-" + version + "-x86_64.json")
		if err != nil {
			t.Fatal(err)
		}
		var all []entity
		if err := json.Unmarshal(text, &all); err != nil {
			t.Fatal(err)
		}
		by := map[string]entity{}
		for _, e := range all {
			by[e.Name] = e
		}
		found := 0
		for _, e := range all {
			if e.Meta != "command" || e.Name == "getfd" || e.Name == "closefd" {
				continue
			}
			for _, one := range by[e.Arg].all(by) {
				value := "theirs"
				switch {
				case by[one.Type].JSON != "string":
					continue
				case one.Name == "uri" && uri.MatchString(e.Name):
					value = "fd:theirs"
				case !named.MatchString(one.Name):
					continue
				}
				found++
				arguments := fmt.Sprintf(`{%s"%s":"%s"}`, one.tag, one.Name, value)
				if fdarg.Check(e.Name, []byte(arguments), nil, may) == nil {
					t.Errorf("QEMU %s: %s %s passes", version, e.Name, arguments)
				}
			}
		}
		if found < 10 {
			t.Errorf("QEMU %s has %d such members", version, found)
		}
	}
}

// entity is one of QEMU's schema.
type entity struct {
	Name, Tag string
	Meta      string `json:"meta-type"`
	Arg       string `json:"arg-type"`
	JSON      string `json:"json-type"`
	Members   []optional
	Variants  []struct{ Case, Type string }
}

// optional is a member of an object, and what tells that the object has it.
type optional struct {
	Name, Type string
	tag        string
}

// all are the members of an object, in each of its variants.
func (e entity) all(by map[string]entity) []optional {
	list := slices.Clone(e.Members)
	for _, v := range e.Variants {
		for _, m := range by[v.Type].Members {
			m.tag = fmt.Sprintf("%q:%q,", e.Tag, v.Case)
			list = append(list, m)
		}
	}
	return list
}

// FuzzCheck has any text stand where a name may: what names another's set, however it is written, is found as QEMU finds it.
func FuzzCheck(f *testing.F) {
	for _, text := range []string{"/dev/fdset/6", `json:{"filename":"\/dev\/fdset\/6"}`, `\u005cu002f`, "file:/dev/fdset/5", "/dev/fdset/"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		arguments, err := json.Marshal(map[string]any{"driver": "raw", "file": text})
		if err != nil {
			t.Skip(err)
		}
		if err := fdarg.Check("blockdev-add", arguments, nil, may); err == nil && strings.Contains(strings.ReplaceAll(text, "/dev/fdset/5", ""), "/dev/fdset/") {
			t.Errorf("%q passes", text)
		}
	})
}

// FuzzPlace has descriptors stand anywhere in any arguments: those that are run differ from those that were decided in the names only.
func FuzzPlace(f *testing.F) {
	for _, command := range []string{"blockdev-add", "netdev_add", "migrate", "screendump"} {
		f.Add(command, `{"driver":"file","filename":FD0,"type":"tap","fds":FD0+FD1,"uri":FD0}`)
		f.Add(command, `{"driver":"x","file":{"driver":"file","filename":FD1,"read-only":true}}`)
		f.Add(command, `{"filename":FD0,"a":["\"\\",{"":FD1}],"b":1e9,"c":null}`)
	}
	null, err := unix.Open(os.DevNull, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { unix.Close(null) })
	f.Fuzz(func(t *testing.T, command, text string) {
		arguments, all := given(text)
		canonical, err := schema.Canonical(nil, arguments, command)
		if err != nil || string(canonical) != string(arguments) {
			t.Skip("not what package schema writes")
		}
		_ = fdarg.Check(command, arguments, all, may)
		p, err := fdarg.Place(command, arguments, all, []int{null, null})
		if err != nil {
			return
		}
		list := names(p)
		named := p.Named(list)
		if !json.Valid(named) || !json.Valid(p.Decided) {
			t.Errorf("%s is decided as %s and run as %s", text, p.Decided, named)
		}
		if len(all) == 0 && string(named) != string(arguments) || (len(all) > 0) != (len(p.Args) > 0) {
			t.Errorf("%s is run as %s, with %d arguments", text, named, len(p.Args))
		}
	})
}
