// Package compact is the cleaning of one log as Apache Kafka defines it: of all records
// with one key the last stays, tombstones go when their time is over, records of aborted
// transactions go, and markers go after everything they decide.
//
// Not its job: choosing when to clean, putting the new segments in place of the old ones,
// and keeping anything for the next time. It opens no file by itself and reads no clock.
//
// Data in: the log's segments in order (Source), opened by the caller's functions, and
// the offset from which on it was not cleaned before. Data out: new segment files (Group),
// one after another, each in place of one or more old ones.
//
// A Round goes in small steps, so that its caller may pause it, throttle it or give it
// up between any two:
//
//	survey   which transactions were aborted, and which are not yet decided: headers of
//	         all that is to be cleaned, in full only what can hold transactions
//	map      key → last offset, over the part that is dirty, as far as memory goes
//	rewrite  every segment from the first one on, batch by batch, through the filter
//
// Rules that are Kafka's own (org.apache.kafka.storage.internals.log.Cleaner): a record
// behind the last offset of the map stays; a record without a key goes; a tombstone that
// is the last of its key stays until the delete horizon of its batch, which the first
// cleaning that sees it sets; of an active producer the last batch stays, even without
// records; so does the batch that ends at the bound of the round.
//
// Invariants:
//
//	I1  Offsets, base and last offsets of batches, producers and sequences never change.
//	I2  No record is removed unless a later one of its key lies below the log's bound,
//	    or its tombstone is old enough, or its transaction was aborted, or it has no key.
//	I3  A marker stays while any batch of its transaction is there.
//	I4  Memory is bounded: the offset map by what it was given, buffers by the largest
//	    batch, which no segment's length exceeds.
package compact
