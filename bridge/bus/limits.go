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

const (
	// maxMessage is the largest that the bridge sends (endpoint.MaxSent), bytes: dbus-daemon
	// disconnects the sender of a larger one. It also bounds what a caller can
	// have half sent.
	maxMessage = 32 << 20
	// maxOutgoing is how much may wait for one reader that doesn't read, bytes,
	// plus the message that goes over it; what comes then is dropped for that
	// reader. 8 MiB hold some 20 000 events. dbus-broker multiplies it by
	// maxUserConnections to a quota of 32 bits.
	maxOutgoing = 8 << 20
	// maxIncoming is how much of one sender may be in the daemon, bytes, what
	// waits for slow readers included; past it the daemon stops reading
	// from that sender. So that the slow readers of one uid can't stop the bridge, it is
	// more than maxUserConnections*maxOutgoing and the messages over it.
	maxIncoming = 4 << 30
	// maxMessageFDs is twice what the bridge takes (16), so that it is the
	// bridge that answers: dbus-daemon disconnects.
	maxMessageFDs = 32
	// maxQueuedFDs is how many descriptors of one sender, or for one reader, may
	// be under way: as many as the bridge holds for all its callers.
	maxQueuedFDs = 256
	// maxConnections and maxUserConnections: a GUI, a monitoring agent and 200
	// shell commands at once of each of four uids.
	maxConnections     = 1024
	maxUserConnections = 256
	// maxIncomplete connections may be authenticating, each for authTimeout
	// at most (milliseconds).
	maxIncomplete = 64
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
