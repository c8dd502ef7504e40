package fdarg

// Use is what QEMU does with a descriptor.
type Use int

// The uses.
const (
	ByName Use = iota // it looks for one with a name (getfd), and takes it
	Once              // it opens a file by its name while it executes the command
	Node              // it opens it again as long as there is a block node of it
	Job               // it opens it until a job ends
)

// IsSet tells whether QEMU is given the descriptor as a set (add-fd), by whose name it is a file.
func (u Use) IsSet() bool { return u != ByName }

// SetPrefix is what the number of a set follows in its name as a file.
const SetPrefix = "/dev/fdset/"

// What a descriptor is decided as, in place of a name.
const (
	markerName = "fd:"
	markerSet  = SetPrefix
)

// member is where a command takes a descriptor, or a name of one.
type member struct {
	command string // empty for any
	path    string // from the arguments down; * stands for one part, ** for any number
	tag     string // member=value, as seen from the object that has the member; empty if that does not matter
	use     Use
	wants   want
	taken   bool   // QEMU has taken it, by name, when the command has succeeded
	prefix  bool   // its name has "fd:" before it
	list    bool   // of names, with colons between
	instead string // why a descriptor does no good there, and what does; empty where it does
}

const (
	noSet     = "QEMU does not open it as one of its sets of descriptors"
	elsewhere = "QEMU does not look for it among those of its monitor, or it was not tried"
	lasts     = "QEMU opens it again while it migrates; give the descriptor as uri"
)

// members are the places where QEMU looks for a descriptor by name (monitor_fd_param and monitor_get_fd in its sources of 10.0), and those
// where it opens a file that callers may want to pass. A place too many does no harm: nobody has a name there either.
var members = []member{
	{command: "add_client", path: "fdname", wants: socket, taken: true},

	{command: "chardev-add", path: "backend/data/addr/data/str", tag: "../type=fd", wants: socket, taken: true},
	{command: "chardev-add", path: "backend/data/out", tag: "../type=file", use: Once, wants: writeOnly},
	{command: "chardev-add", path: "backend/data/in", tag: "../type=file", use: Once, wants: readOnly},
	{command: "chardev-add", path: "backend/data/logfile", use: Once, wants: writeOnly},
	{command: "chardev-change", path: "backend/data/addr/data/str", tag: "../type=fd", wants: socket, taken: true},
	{command: "chardev-change", path: "backend/data/out", tag: "../type=file", use: Once, wants: writeOnly},
	{command: "chardev-change", path: "backend/data/logfile", use: Once, wants: writeOnly},

	{command: "nbd-server-start", path: "addr/data/str", tag: "../type=fd", wants: socket, taken: true},
	{command: "block-export-add", path: "addr/str", tag: "type=fd", wants: socket, taken: true},

	{command: "netdev_add", path: "fd", tag: "type=socket", wants: socket, taken: true},
	{command: "netdev_add", path: "local/str", tag: "type=fd", wants: socket, taken: true},
	{
		command: "netdev_add", path: "addr/str", tag: "type=fd",
		instead: "QEMU never takes it, and says nothing; type socket takes one as fd, and dgram as local",
	},
	// Not tried with what they are for: with another descriptor QEMU takes it and refuses it.
	{command: "netdev_add", path: "fd", tag: "type=tap", wants: anything},
	{command: "netdev_add", path: "fds", tag: "type=tap", wants: anything, list: true},
	{command: "netdev_add", path: "vhostfd", wants: anything},
	{command: "netdev_add", path: "vhostfds", tag: "type=tap", wants: anything, list: true},

	{command: "netdev_add", path: "sock-fds", tag: "type=af-xdp", wants: anything, list: true},

	// Not tried. Devices of VFIO and iommufd take one from 9.0 on.
	{command: "device_add", path: "vhostfd", wants: anything},
	{command: "device_add", path: "fd", wants: anything}, // of VFIO's devices and x-pci-proxy-dev
	{command: "device_add", path: "ebpf-rss-fds/*", wants: anything},
	{command: "object-add", path: "fd", tag: "qom-type=iommufd", wants: anything},
	{command: "object-add", path: "fd", tag: "qom-type=x-remote-object", wants: socket},

	{command: "migrate", path: "uri", wants: writable, prefix: true, taken: true},
	{command: "migrate", path: "channels/*/addr/str", tag: "type=fd", wants: writable, taken: true},
	{command: "migrate", path: "channels/*/addr/filename", tag: "transport=file", use: Once, instead: lasts},
	{command: "migrate-incoming", path: "uri", wants: readable, prefix: true, taken: true},
	{command: "migrate-incoming", path: "channels/*/addr/str", tag: "type=fd", wants: readable, taken: true},
	{command: "migrate-incoming", path: "channels/*/addr/filename", tag: "transport=file", use: Once, instead: lasts},
	{command: "migrate-recover", path: "uri", wants: readable, prefix: true, taken: true}, // not tried
	{command: "dump-guest-memory", path: "protocol", wants: writable, prefix: true, taken: true},

	{command: "screendump", path: "filename", use: Once, wants: writeOnly},
	{command: "object-add", path: "filename", tag: "qom-type=rng-random", use: Once, wants: readOnly},

	{command: "blockdev-add", path: "**/filename", tag: "driver=file", use: Node, wants: asNode},
	{command: "blockdev-add", path: "**/filename", tag: "driver=host_device", use: Node, wants: asNode},
	{command: "blockdev-create", path: "options/filename", tag: "driver=file", use: Job, wants: readWrite},

	{
		command: "object-add", path: "mem-path", use: Once,
		instead: noSet + "; memory-backend-memfd needs no file, and one that has a path can be given by that",
	},
	{command: "memsave", path: "filename", use: Once, instead: noSet + "; dump-guest-memory takes a descriptor as protocol"},
	{command: "pmemsave", path: "filename", use: Once, instead: noSet + "; dump-guest-memory takes a descriptor as protocol"},
	{command: "dump-skeys", path: "filename", use: Once, instead: noSet},
	{command: "dumpdtb", path: "filename", use: Once, instead: noSet},

	// An address of a socket, of any command: a name there is one of a descriptor's, if QEMU looks.
	{path: "**/str", tag: "type=fd", instead: elsewhere},
	{path: "**/data/str", tag: "../type=fd", instead: elsewhere},
}

// of are the members of each command, and those of any with the empty name.
var of = func() map[string][]*member {
	by := map[string][]*member{}
	for i := range members {
		m := &members[i]
		by[m.command] = append(by[m.command], m)
	}
	return by
}()
