package socket

// writePiece is how much one blocking write takes: larger than the usual
// socket buffer (net.core.wmem_default, 208 KiB), small enough for Queued to
// follow.
const writePiece = 256 << 10 // bytes

// drain is the writer goroutine: it writes, waiting as long as that takes, until
// the queue is empty or the connection has ended.
func (c *Conn) drain() {
	defer c.users.Done()
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.ended == nil && len(c.out.segments) > 0 {
		c.write(c.out.take())
		if c.ended == nil && c.out.empty() && c.onDrain != nil {
			c.mu.Unlock()
			c.onDrain() // may Send; this goroutine is still the writer
			c.mu.Lock()
		}
	}
	c.writer = false
	c.idle.Broadcast()
}

// write writes one segment. The lock is held, but not while writing.
func (c *Conn) write(s segment) {
	for len(s.data) > 0 && c.ended == nil {
		c.mu.Unlock()
		n, err := transmit(c.fd, s.data[:min(len(s.data), writePiece)], s.fds, 0)
		closeAll(s.fds)
		c.mu.Lock()
		if err != nil {
			if c.ended == nil {
				c.fail(err)
			}
			return
		}
		if c.ended == nil {
			c.out.written(n, len(s.fds))
		}
		s.data, s.fds = s.data[n:], nil
	}
}
