// Package load runs the load generator as a process of its own and makes of its result the few
// figures that experiments compare.
//
// Not its job: choosing loads, starting brokers, judging figures.
//
// In: the generator's program, a broker's address and process, the arguments of a load. Out: a
// Report.
package load
