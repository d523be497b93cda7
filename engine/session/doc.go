// Package session keeps Kafka's incremental fetch sessions (KIP-227): a fetcher
// names its partitions once, later requests carry only what changed, and
// answers only the partitions that have news.
//
// Not its job: sockets, clocks, reading records, resolving topics. The engine
// opens each Fetch request, walks the partitions to read, and asks Respond for
// each result whether it belongs in the answer.
//
// One Cache belongs to one core. A session id carries the core's number, so ids
// are unique in the broker; a client that comes back on another core is told
// FETCH_SESSION_ID_NOT_FOUND and starts a new session, as KIP-227 provides.
//
//	in    Open(now, version, request) → Ticket
//	out   Ticket.First, Partition.Next: what to read, in turn · Ticket.Respond: answer
//	      it? · Ticket.ID: the answer's session id · End(ticket)
//
// Invariants:
//
//	I1  A session id is positive and id mod Cores = Core.
//	I2  The epoch is 1 after creation and grows by one a request; after MaxInt32 comes 1.
//	I3  A partition occurs once in a session; the order is that of arrival, and a
//	    partition that was answered with records goes to the end: everyone has a turn.
//	I4  A session is in the cache, or held by the tickets of requests still unanswered.
//	I5  At most Slots sessions and MaxPartitions partitions are cached.
//
// A request for partitions that its session knows allocates nothing, nor does a request
// without a session once as large a one was served before.
package session
