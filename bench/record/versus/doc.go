// Command versus is the side by side of record of Millrace and a real Apache Kafka.
//
//	versus
//
// Not its job: the course, judging and publishing (bench/record). Here stand the sides, the loads
// with their goals, Kafka's own tools as foreign clients, and loads that start and kill brokers.
//
// In: bin/millrace, bin/loadgen, bench/scenarios; the environment of record.NewPlan, and
// MILLRACE_ARGS (more arguments of the broker), GB (written before a recovery). Out:
// bench/results/kafka*, a part of docs/BENCHMARKS.md, pictures.
package main
