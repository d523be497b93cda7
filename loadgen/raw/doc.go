// Package raw makes a load at a very low cost of its own: requests are encoded before it begins,
// sent as they are, and only what tells success from failure is read of the answers. Threads, each
// with one epoll over its connections, serve everything.
//
// Not its job: being a Kafka client. It has no groups' protocol, no idempotence, no TLS, and it
// repeats no request that failed: the client franz does all that. Topics exist before Run.
//
// In: a checked workload.Workload. Out: a result.Run.
//
// # When messages are due, and from when their latency counts
//
// Every connection of a producer is a stream with its share of the rate. Without linger the
// messages of a batch are due together: a batch is what arrives by the schedule, constant or
// Poisson, and one response latency per batch stands for all its messages. With linger messages
// are due one by one; a batch leaves when it is full or when its first message has waited so long,
// and the response latency of every single message counts from its own due time. While the
// broker holds a connection up (in-flight requests), messages stay due: they leave later, in
// fuller batches, and their latency has the wait in it. One batch is gathered at a time on each
// connection, for one partition after the other, as clients do with messages that have no key.
//
// A load of a number of messages without a warm-up sends so many and no more (whole batches).
//
// With rate max a batch is due when its connection is free; response and service are then equal.
//
// End-to-end latency is of every message, from the due time that its stamp carries.
//
// # Templates
//
// The batches of a connection are made before the load by drawing sizes, keys and bytes from the
// seed, as many as there may be requests in flight, one for each partition at least, and enough
// for distributions to show: messages repeat after that. Times are renewed when they are older
// than a second. Stamps are patched into values and the checksum is made anew; where records are
// compressed and carry stamps, or linger cuts batches, they are encoded as they leave, which is
// the only way here that costs more than a copy.
//
// Invariants:
//
//	L1  Answers arrive in the order of the requests of their connection, with their correlation
//	    ids; anything else ends the run.
//	L2  Latency counts from the due time: a late answer delays no later message's clock.
//	L3  What failed is counted as an error, by its code, and never as done; nothing is repeated.
//	L4  A topic that is gone, or ten seconds in which every request fails, end the run early; what
//	    was measured until then is kept and the result says why.
//	L5  No allocation per request once the load runs (but for compression as it leaves).
//	L6  A reader of a load that writes ends when it has read all that was acknowledged.
package raw
