package socket

// segmentSize is up to where messages are gathered, for fewer and larger writes.
const segmentSize = 64 << 10 // bytes

// queue holds what waits to be written, in order.
type queue struct {
	segments []segment
	bytes    int // in segments, and taken but not yet written
	fds      int // likewise
}

// segment is a piece of the stream; its file descriptors go with its first byte.
// One with file descriptors is one message, so that it is plain whose they are.
type segment struct {
	data []byte
	fds  []int
}

func (q *queue) empty() bool { return q.bytes == 0 }

// add copies msg to the end and takes over fds.
func (q *queue) add(msg []byte, fds []int) {
	q.bytes += len(msg)
	q.fds += len(fds)
	if last := len(q.segments) - 1; last >= 0 && len(fds) == 0 {
		s := &q.segments[last]
		if len(s.fds) == 0 && len(s.data)+len(msg) <= segmentSize {
			s.data = append(s.data, msg...)
			return
		}
	}
	q.segments = append(q.segments, segment{append([]byte(nil), msg...), fds})
}

// take removes the first segment, which still counts until written is told of it.
func (q *queue) take() segment {
	s := q.segments[0]
	q.segments[0] = segment{}
	q.segments = q.segments[1:]
	if len(q.segments) == 0 {
		q.segments = nil
	}
	return s
}

func (q *queue) written(bytes, fds int) {
	q.bytes -= bytes
	q.fds -= fds
}

// discard closes the file descriptors and forgets everything.
func (q *queue) discard() {
	for _, s := range q.segments {
		closeAll(s.fds)
	}
	*q = queue{}
}
