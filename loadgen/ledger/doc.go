// Package ledger accounts for every message of a run: which ones were acknowledged, which ones
// came back, in which order, and whether they still are what was written.
//
// Not its job: writing or reading messages; it is told of both.
//
// In: the numbers of messages sent, acknowledged and aborted, and what readers received with its
// offsets. Out: result.Verified.
//
// Invariants:
//
//	B1  Only what was acknowledged is expected; what failed may be there or not.
//	B2  A number that comes at a second offset is a duplicate. An offset that is read a second
//	    time is not: a group that was rebalanced does so.
//	B3  Within a partition the numbers of a producer grow with the offsets, or it is disorder.
//	B4  A message of another run on the same topic is counted apart and never judged, unless a
//	    Reading without a Book judges all runs by what they left behind.
//
// Memory: two words for each stretch of numbers without a hole, for each producer and partition.
package ledger
