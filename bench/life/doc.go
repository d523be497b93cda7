// Package life starts, kills and stops broker processes on a data directory that stays, and
// measures how long they take: for the benchmarks of restarts and of many partitions.
//
// Not its job: load (loadgen makes it), what is asked of the figures.
//
// In: a program, a directory, arguments. Out: times, resident memory, open files.
//
// Invariants:
//
//	L1  A start is timed from the moment the process is made until a Probe succeeds, which is
//	    tried every few milliseconds: what a client sees, not what the program says.
//	L2  Kafka gets the same probes; its own wait for a port is within the time.
//	L3  No process outlives the benchmark.
package life
