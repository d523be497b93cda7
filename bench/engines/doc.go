// Command engines is the side by side of io_uring and epoll in the same binary: the only fair test
// of what the ring is worth.
//
//	engines
//
// Not its job: the course, judging and publishing (bench/record).
//
// In: bin/millrace, bin/loadgen, bench/scenarios; the environment of record.NewPlan, and
// MILLRACE_ARGS. Out: bench/results/engines*, a part of docs/BENCHMARKS.md, pictures.
package main
