// Package child is processes that we started and may have to end, by their ids alone: the
// sandbox (package sandbox) leaves no other way, since a process descriptor, by which package os signals,
// can stand for anybody's process.
//
// An id is free for another process as soon as we have asked how ours ended. So a Child notes the end
// before that, and no signal is sent after.
//
//	c, err := child.Start(exec.Command("qemu-system-x86_64"))
//	go func() { ended <- c.Wait() }()
//	err = c.Signal(unix.SIGTERM)
package child
