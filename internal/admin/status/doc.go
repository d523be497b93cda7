// Package status is the shape of what a broker tells about itself: counters and
// gauges that the cores keep, and the state of partitions and groups at one
// moment.
//
// Not its job: collecting, rendering, HTTP. It is a leaf that imports nothing of
// the project, so that the engine can fill it and internal/admin can show it.
//
// Data in: a core counts into its own Core value (single writer, plain fields)
// and hands out a copy when asked. Data out: a Snapshot of copies.
//
// Invariants:
//
//	I1  Counters only grow while the process lives.
//	I2  Nothing here is shared between threads: a Snapshot is made of copies.
//	I3  Observe and Add allocate nothing.
package status
