// Package spelling finds which of the known words somebody meant who wrote another.
//
//	spelling.Nearest("stpo", []string{"cont", "stop"}) // "stop"
//
// The words may come from anybody: what one that is not known costs is bounded by how long known ones are.
package spelling
