// Package rest tells when a process that was busy has come to rest, so that it can give back the memory that it needs no more.
//
//	stop := rest.Watch(releaseMemory)
//	defer stop()
//
// Go's runtime gives the heap back by itself, but minutes later, and never the pages of the program. What a process does is seen
// by how much it allocates, so nothing is counted where calls pass.
package rest
