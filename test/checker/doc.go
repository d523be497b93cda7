// Package checker judges a history: what producers meant to send, what the broker
// acknowledged, what consumers read, and what groups committed. It finds what a log
// must never do and says where.
//
// Not its job: talking to a broker, causing faults, deciding when a run is over.
//
// Data in: calls on a History, from any goroutine, in the order in which the caller
// learned of things (Intend before sending, Ack after the answer, Read for every record
// a consumer was given). Data out: Anomalies, each with a kind, a place and words.
//
// Rules:
//
//	I1  A record acknowledged is read, at the offset that the acknowledgement named.
//	I2  A record of an idempotent producer is in its log at most once.
//	I3  The first copies of a producer's records stand in the order of its sending.
//	I4  Offsets are dense from the log's start to its end, for every reader.
//	I5  What was read once at an offset stands there for good, and never vanishes.
//	I6  A record that nobody sent is never read, nor one of another topic, partition or
//	    incarnation of the topic, nor one whose bytes differ from what was sent.
//	I7  A group's committed offset never goes below one that was acknowledged or read,
//	    and is never one that nobody committed.
//
//	I8  Of a compacted log (Compacted) every key's newest record is one acknowledged last or
//	    later, at its offset, or the key was deleted; what a later one replaced never
//	    returns.
//
// The other rules hold for logs without compaction, transactions and retention within the
// run. The kinds follow Jepsen's workload for Kafka; it is a checker of our own.
package checker
