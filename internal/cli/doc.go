// Package cli is the command line of millrace: the admin commands, which speak to
// any broker over Kafka's protocol, and what all commands share (exit codes, tables,
// JSON).
//
// Not its job: running a broker (cmd/millrace), judging a machine (cli/doctor), and
// private ways into a broker: what a command here can do, every Kafka client can.
//
// Data in: flags, MILLRACE_BROKERS, answers of brokers. Data out: tables with
// upper-case headings, or with --json one JSON document, on stdout; errors on stderr.
//
// Invariants:
//
//	I1  Stdout carries only the answer, so that it can be piped.
//	I2  Exit codes: 0 done, 1 refused or failed (also in part), 2 wrong use, 3 no
//	    broker reached.
//	I3  Client output is written in full before an error ends the command.
package cli
