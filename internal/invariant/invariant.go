// Package invariant turns a bug into a panic at the place where it shows.
//
// Not its job: errors of the world (a disk, a peer) or of a client: those are
// values. Checks stay on in production; they are per batch, never per byte.
package invariant

import "fmt"

// Check panics when a rule that only a bug can break is broken.
//
//go:inline
func Check(ok bool) {
	if !ok {
		panic("invariant broken")
	}
}

// Checkf is Check with words; use it off the hot path, where boxing is no matter.
func Checkf(ok bool, format string, args ...any) {
	if !ok {
		panic(fmt.Sprintf("invariant broken: "+format, args...))
	}
}
