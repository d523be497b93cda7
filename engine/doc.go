// Package engine is the broker's cores: requests in, answers out.
//
// A Core is a plain function: Step takes everything that happened since the last
// turn (completions, events) and gives what it wants done (ring operations, jobs).
// It reads no clock, takes no lock, starts no goroutine and touches no file. The
// driver (driver.go) is the only place where a core meets a thread; the simulator
// puts another one in its place.
//
// Not its job: offsets ⇄ file positions (segment), bytes ⇄ kernel (netio), what the
// cluster agreed on (raftmeta), the rules of groups and sessions (engine/group,
// engine/session).
//
// Data: frames → conn → api table → handler → partition (on this core, or through
// the mail to the core that owns it) → answer slot → conn → one send a turn.
//
// Invariants:
//
//	I1  Requests of one connection are dispatched in order and answered in order.
//	    Only Produce and Fetch overlap; every other request waits until the earlier
//	    ones are answered and holds up the later ones.
//	I2  A partition, a connection and a group belong to one core. Other cores reach
//	    them by mail only. Every core knows where a partition is; that changes only while
//	    no request on it is under way (move.go).
//	I3  No answer tells of records that a crash could take: produce answers wait for
//	    Shard.Durable, fetch answers end at Marks.High.
//	I4  Every request is answered exactly once, or its connection is closed.
//	I5  Mail is handled after the events that were posted before it was sent: an image
//	    reaches a core before requests that rely on it.
//	I6  Off-heap memory named by an op in flight is held until its completion.
//	I7  No use of memory may take all of it: what is received, held by readers or being
//	    cooked has a share (memory.go), so that storage can always go on.
package engine
