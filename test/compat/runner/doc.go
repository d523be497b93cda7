// Command runner installs foreign Kafka clients and runs them against a fresh broker.
//
// Not its job: knowing what a client checks. A suite is a program that gets BOOTSTRAP, FIXTURE,
// PREFIX and ESSENTIAL by environment and prints tab-separated lines "VERSION v" and
// "CASE name PASS|FAIL|SKIP detail"; cases of command line tools are driven from here.
//
// In: the broker's binary (or another command), package registries. Out: a table, the logs of
// what failed, an exit code.
//
// Invariants:
//
//	R1  All that is installed goes below the cache directory; nothing of the machine changes.
//	R2  Every process started has ended and every temporary file is gone when runner returns,
//	    but for the logs of a failed run.
//	R3  A suite that says nothing, dies or exceeds its time has failed.
//	R4  What a client wrote is read again by franz-go and compared byte for byte with the
//	    fixture: a client agreeing with itself is not enough.
package main
