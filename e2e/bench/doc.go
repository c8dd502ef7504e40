// Command bench measures the bridge beside what it stands on, in one run on a real QEMU
// (TCG, an idle machine with firmware only) and a private dbus-daemon, and prints figures and
// goals as Markdown.
//
//	go run ./e2e/bench -bridge bin/qmp-dbus-bridge -qemu qemu-system-x86_64 [-rounds N] [-parts calls,large]
//
// Absolute times say more about a machine and its neighbours than about the bridge, so what
// counts are ratios and CPU time per call.
//
// # What the bridge is compared with
//
//   - raw QMP: the command written to a monitor of the same QEMU, the reply read.
//   - raw echo: the cheapest service there is on the same bus, another process of this
//     program: blocking sockets, prepared replies, one locked thread. A cached property Get
//     can hardly be faster.
//   - raw forwarder: the same service, with one blocking query-status round trip before each
//     reply. A forwarded call can hardly be faster.
//   - one signal through the bus, from one raw connection to another; and a raw relay, which
//     sends a prepared signal for each event.
//   - the bus alone, for the same large reply; and a raw forwarder of it, which sends a prepared
//     one after it has read QEMU's. A large call can hardly be faster.
//   - raw QMP query-status at the other end of a change: the bridge asks for it after STOP, which does not tell the status, before
//     it announces the properties. RESUME tells it.
//   - raw start: a process that does on raw sockets all that the bridge has to before it is
//     ready. A second machine has 64 drives, 64 CPUs and 8 network cards: there the bridge reads all that too.
//   - a file by its name, where it may be a descriptor. How many QMP commands either costs is counted by QEMU, a third one that
//     traces them, when all has been timed.
//
// The client is a raw one as well: prepared messages, one write(2), one read(2), nothing
// decoded but what tells replies apart, one locked thread.
//
// # How figures are taken
//
// The run is cut into rounds, a round into slices: each row makes some calls in each slice,
// and the order changes from slice to slice, so whatever the machine does meanwhile hits all
// rows alike. A ratio is of two rows in the same round; printed is the median of the rounds'
// ratios, beside the least and the greatest. CPU time is the kernel's count, in nanoseconds, of
// all threads of the serving process (QEMU for raw QMP).
//
// QEMU gives an event to one monitor after the other, so the raw event is read on the
// neighbours of the bridge's and the relay's monitors, in turn on either side, while whoever
// else would handle it is stopped. Who listens does so alone and counts from QEMU's own timestamp of the
// event; how late the raw listener was in the same round is subtracted.
//
// # What memory is
//
// Memory is the kernel's count for the bridge: RSS, of which the part called anonymous is its own, and the rest is pages of
// the program's file, which all bridges of a machine share and the kernel takes back where it needs them. PSS is RSS here, since
// one bridge alone shares with nobody. What the figures are made of (Linux 6.18, x86-64, Go 1.26; by smaps, clear_refs and
// runtime/metrics):
//
//   - idle, 8.3 MiB: 3.8 of the file, 2.7 heap, 1.4 what Go's runtime keeps about the heap, 0.4 its variables and stacks of
//     threads. Of the file 0.8 are used; the kernel maps 64 KiB around each page that is needed, and nothing tells
//     it not to. Of the heap 1.5 are objects, some 0.4 of that the schema's tables and 0.5 two buffers, the rest stacks and
//     room between objects.
//   - after small calls, 15 MiB: 7.8 of the file, which is most of it (9.4); 2.9 are used. 5.1 heap, since Go collects none
//     that is smaller than 4 MiB, and 1.8 about it. After large replies the heap is some 4 MiB larger.
//
// So the goals for PSS alone (5) and under load (10) are missed by pages of the program, of whose 9.4 MiB 3.5 are tables by
// which Go unwinds stacks and 1.5 are methods, with tables, that the linker keeps because kong finds some by name; and by the
// 4 MiB of heap: collecting earlier (GOGC=50) cost twice the CPU of large replies.
//
// # Where noise comes from
//
// Few cores: which one a process is woken on can double a round trip, in favour of one row
// for a whole round, and other work on the machine takes turns on them. The range behind a
// ratio shows it. The rows named pinned are of the same calls with each process kept on a core,
// so that every hand-over crosses between cores: slower, but steady, and what to look at for
// small differences. CPU time per call is steadier too, but grows when caches are shared with
// others. p99 is of some thousand calls a round and wants a quiet machine; of floods and
// starts it says nothing. How late the signal of an event is depends on how many cores are
// free while QEMU still works at it.
//
// A goal that is missed is printed, and no failure: the exit status tells only whether
// everything could be measured. Whatever was started is ended, by its process id, also then.
package main
