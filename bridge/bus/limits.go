package bus

// limits of the bus. The bridge has limits of its own that answer a caller with
// LimitsExceeded; the bus's come after those, since what it does is cruder: it
// disconnects, stops reading or drops.
var limits = []struct {
	name  string
	value int64
}{
	{"max_message_size", maxMessage},
	{"max_incoming_bytes", maxIncoming},
	{"max_outgoing_bytes", maxOutgoing},
	{"max_message_unix_fds", maxMessageFDs},
	{"max_incoming_unix_fds", maxQueuedFDs},
	{"max_outgoing_unix_fds", maxQueuedFDs},
	{"max_completed_connections", maxConnections},
	{"max_incomplete_connections", maxIncomplete},
	{"max_connections_per_user", maxUserConnections},
	{"max_names_per_connection", maxNames},
	{"max_match_rules_per_connection", maxMatchRules},
	{"max_replies_per_connection", maxReplies},
	{"max_pending_service_starts", 1}, // nothing is activatable
	{"auth_timeout", authTimeout},
	{"pending_fd_timeout", fdTimeout},
	// reply_timeout stays unlimited, dbus-daemon's default: a QMP command may
	// take as long as it does (dump-guest-memory), the bridge answers each call
	// once, and a slot is free again when either side leaves.
}

// maxMemory bounds what dbus-daemon may have in memory, bytes (RLIMIT_DATA): its own limits are for
// each connection. It is more than one user's 256 connections can hold by half-sent messages (4 MiB each),
// by full queues (2 MiB) and by the replies that go over those (0.7 MiB, QEMU's schema): 1.7 GiB.
// Several users can fill it together. Then dbus-daemon (1.14.10) stops reading from whom it
// has no room for, ends new connections, and goes on when one of them goes.
//
// Measured while one user holds 250 half-sent messages of the largest size: from 5 MiB to 1018. When that
// was 32 MiB and memory unbounded: 3.1 GiB after 20 s, of the 8 GiB to come.
const maxMemory = 2 << 30

const (
	// maxMessage leaves room for the largest that the bridge sends (endpoint.MaxSent, 4 MiB), and for a
	// call that is a little larger than it takes (endpoint.MaxMessage, 4 MiB), so that it is
	// the bridge that answers, bytes: dbus-daemon disconnects the sender of a larger one. It also
	// bounds what a caller can have half sent.
	maxMessage = 4<<20 + 64<<10
	// maxOutgoing is how much may wait for one reader that doesn't read, bytes,
	// plus the message that goes over it; what comes then is dropped for that
	// reader, and calls are refused, whoever makes them. 2 MiB hold some 8000 events. The bridge reads
	// faster than dbus-daemon writes, so more is of use only against large calls: of an
	// administrator's calls, while a viewer sends calls of 4 MiB from 64 connections, these were refused (1.14.10,
	// 2 cores, busy otherwise): with 1 MiB 15 to 28 of 100, 2 MiB 4 to 20, 4 MiB 8, 8 MiB 5. But it is also what such
	// a flood may have dbus-broker hold, and all calls wait behind that: dbus-broker multiplies it by maxUserConnections to
	// a quota of each user, and in a flood of calls of 32 KiB an administrator's call took 0.3 s with 1 MiB, 0.7 s with 2, 1.7 s
	// with 8.
	maxOutgoing = 2 << 20
	// maxIncoming is how much of one sender may be in the daemon, bytes, what
	// waits for slow readers included; past it the daemon stops reading
	// from that sender. So that the slow readers of one uid can't stop the bridge, it is
	// more than maxUserConnections*maxOutgoing and the messages over it. So it can't also keep one uid from filling
	// the queue to the bridge: for that it would have to be less than maxOutgoing/maxUserConnections, for
	// the limit is one for all, and the daemon counts a message until its last reader has it.
	maxIncoming = 4 << 30
	// maxMessageFDs is twice what the bridge takes (16), so that it is the
	// bridge that answers: dbus-daemon disconnects.
	maxMessageFDs = 32
	// maxQueuedFDs is how many descriptors of one sender, or for one reader, may
	// be under way: as many as the bridge holds for all its callers.
	maxQueuedFDs = 256
	// maxConnections and maxUserConnections: a GUI, a monitoring agent and 200
	// shell commands at once of each of two uids. With maxIncomplete they are fewer than the
	// 1024 descriptors that a process may have where its limit can't be raised.
	maxConnections     = 640
	maxUserConnections = 256
	// maxIncomplete connections may be authenticating, each for authTimeout
	// at most (milliseconds). Who reaches the socket can hold them all, granted
	// or not, and then dbus-daemon takes no connection; more of them or less time only change how often he
	// has to connect. That door is closed by Config.Group.
	maxIncomplete = 128
	authTimeout   = 5000
	// maxNames of one connection: its unique name and what the policy lets it own.
	maxNames = 8
	// maxMatchRules of one connection; GDBus clients add one for each name,
	// signal and proxy, QEMU has some 60 events.
	maxMatchRules = 512
	// maxReplies that one caller may be waiting for: four times the calls that
	// the bridge queues for one sender (256).
	maxReplies = 1024
	// fdTimeout is how long a message's descriptors may be incomplete,
	// milliseconds.
	fdTimeout = 5000
)
