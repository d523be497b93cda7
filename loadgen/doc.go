// Package loadgen puts a measured load on a broker at a very low cost of its own.
//
// Not its job: being a Kafka client. Requests are encoded once, sent as they are, and only what
// tells success from failure is read of the answers; one thread with one epoll serves all
// connections, so that the broker and not the client is what a two-core machine is busy with.
//
// In: an address, a topic, a shape of load. Out: a Report.
//
// Invariants:
//
//	L1  Answers arrive in the order of the requests of their connection, with their correlation
//	    ids; anything else ends the run with an error.
//	L2  Under a paced load latency counts from the intended send time: a late answer delays no
//	    later request's clock, and how late requests left is reported beside it.
//	L3  Nothing before the end of the warm-up is in any figure.
//	L4  An error code in an answer ends the run: figures are of work that was done.
//	L5  No allocation per request once the run has begun.
package loadgen
