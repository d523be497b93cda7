// Package sim runs the broker's cores under a seeded scheduler with a simulated
// disk, network and clock, in one goroutine. docs/SIMULATION.md tells what is run.
//
// Not its job: the real rings and the kernel; test/ and netio's own tests cover
// those. Many seeds at once: test/sim.
//
// A World owns time and chance. What would take time in reality is an event at a
// random later instant: the completion of an op, a helper's job, bytes on their way
// to a client. The world takes the earliest event, moves the clock there and lets it
// happen; cores turn when something has come in for them, as their driver would let
// them. So a seed decides everything, and a run can be repeated.
//
// Data: ops and jobs come from cores through Ring, completions go back. Files are
// vfs.Mem; a crash may come at any event, and inside a job at any call of the file
// system.
//
// Invariants:
//
//	I1  Nothing here reads a clock, uses another source of chance, ranges over a map
//	    or starts a goroutine. Two runs of a seed have the same trace.
//	I2  Memory that a write names is looked at when it completes, or now and then when
//	    it begins: who changes it or gives it back between is found out (with
//	    arena.Pool.Poison).
//	I3  An op in flight at a crash may have happened wholly, in part or not at all.
package sim
