// Package workload says what a load is: every option with its one name, on the command line and
// in scenario files, its default, its text form and what it may be.
//
// Not its job: making the load (raw and franz do), measuring it, printing.
//
// In: flags as text, YAML scenario files, the workload files of the OpenMessaging Benchmark. Out:
// checked Workloads, and what both clients must agree on: when a message is due (Schedule), how
// large it is, which key it has, what its bytes are, and the stamp that a reader checks.
//
// Invariants:
//
//	W1  An option has one row in the table of options.go; flags, YAML, Map and help come from it.
//	W2  Parsing what Text printed gives the same value again.
//	W3  The same seed gives the same arrivals, sizes, keys and bytes, whichever client sends them.
//	W4  No secret is in Map, Text of a password is never its value.
//	W5  A Workload that passed Check can be run by the client that it names.
package workload
