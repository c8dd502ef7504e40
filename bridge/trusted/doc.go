// Package trusted finds out whether a path leads only through directories that nobody can change but root and one user:
// then what is checked at its end is what is opened there afterwards.
//
//	file, err := trusted.OpenFile(path, os.O_RDONLY, owner, trusted.NoGroup)
//
// Each directory from the root on belongs to root or the user, and others can't write it; or it is sticky, as /tmp, where
// they can't replace what is somebody else's. Links are followed where they are root's or the user's, 40 at
// most. Access control lists show as the group's rights; capabilities, and who can mount, are not looked at.
//
// [RemoveSocket] makes room there for a socket.
package trusted
