// Package producer is the state of the idempotent producers of one partition
// (KIP-98): who may append next, and what was a retry.
//
// Not its job: transactions. Their fields are kept, so that the format need not
// change when they come.
//
// Data: Check judges a batch before it is appended, Note remembers it when it is
// appended, durable or not. So a retry of a batch that is still on its way to the
// disk is a Duplicate too, and its answer waits until LastOffset is durable.
//
// The rules are those of Kafka 4.3 (ProducerAppendInfo, ProducerStateEntry):
//
//   - unknown producer: any sequence is accepted, its state may have expired;
//   - smaller epoch: StaleEpoch; larger epoch: the sequence begins at 0 again;
//   - the same first and last sequence as one of the last five batches: Duplicate;
//   - the sequence behind the last one, 0 behind 2^31-1: Accept; else OutOfOrder,
//     also for a retry that is older than five batches.
//
// Invariants:
//
//	I1  Batches of an entry are in order of offset, at most Window of them.
//	I2  Note of what was noted before changes nothing: replaying a log that overlaps
//	    a checkpoint is safe.
//	I3  At most MaxProducers are known; the one longest unseen makes room. Then, and
//	    after its expiry, a retry can no longer be told from a new batch.
//	I4  Check, and Note for a known producer, allocate nothing.
//
// Encoded, big endian: version:1 end:8 count:4, then per producer, the longest
// unseen first: id:8 epoch:2 coordinatorEpoch:4 lastTimestamp:8 seen:8 txnStart:8
// batches:1, then per batch lastSeq:4 count-1:4 lastOffset:8 timestamp:8.
package producer
