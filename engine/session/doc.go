// Package session keeps Kafka's incremental fetch sessions (KIP-227): a fetcher
// names its partitions once, later requests carry only what changed, and
// answers only the partitions that have news.
//
// Not its job: sockets, clocks, reading records, resolving topics. The engine
// walks a request's partitions into a Session, walks the Session's partitions to
// read, and asks Respond for each result whether it belongs in the answer.
//
// One Cache belongs to one core. A session id carries the core's number, so ids
// are unique in the broker; a client that comes back on another core is told
// FETCH_SESSION_ID_NOT_FOUND and starts a new session, as KIP-227 provides.
//
//	in    Begin(header) · Put / Forget per partition of the request · Seal
//	out   First / Next: the partitions to read, in turn · Respond: answer it? · End
//
// Invariants:
//
//	I1  A session id is positive and id mod cores = core.
//	I2  The epoch is 1 after creation and grows by one a request; after MaxInt32 comes 1.
//	I3  A partition occurs once in a session; the order is that of arrival, and a
//	    partition that was answered with records goes to the end: everyone has a turn.
//	I4  A session is in the cache, or held by one request and unknown to all others.
//	I5  At most Slots sessions and MaxPartitions partitions are cached.
//
// A request for a session whose partitions are known allocates nothing.
package session
