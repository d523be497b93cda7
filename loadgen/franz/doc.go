// Package franz makes loads by franz-go, a client library as users have it, so that no figure
// rests on a client that is home-made. It also makes and removes topics for both clients.
//
// Not its job: measuring (measure does), deciding what a load is (workload does), being cheap.
//
// In: a checked Workload and a measure.Collector. Out: what the collector was told, and errors
// that ended the load early.
//
// Invariants:
//
//	F1  A message's latency begins when the schedule wanted it sent; a library whose buffer is
//	    full delays the message, not its clock.
//	F2  Consumers have their partitions and offsets before the first message is sent: no message of
//	    the run is missed because a group was still being formed.
//	F3  The library retries what the protocol calls retriable; what it gives up is counted as an
//	    error of the run. Nothing is retried here.
//	F4  A load ends: a broker that acknowledges nothing for stallLimit ends it with an error.
package franz
