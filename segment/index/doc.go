// Package index is Kafka's .index and .timeindex of one segment: sparse tables from
// offset to file position and from timestamp to offset.
//
// Not its job: files, and deciding when to write. All is in file form in memory, so
// that what is to be written is a tail of Bytes.
//
// Formats, big endian (org.apache.kafka.storage.internals.log.OffsetIndex, TimeIndex):
//
//	.index      offset - base:4   position of the batch in the .log:4
//	.timeindex  timestamp:8       offset - base:4
//
// An entry of .index names the last offset of a batch and where that batch begins;
// one of .timeindex the greatest timestamp up to there and the last offset of the
// batch that has it. There is an entry for the first batch that begins more than
// index.interval.bytes behind the last entry; sealing adds one time entry more.
//
// Invariants:
//
//	I1  Offsets and positions of .index grow strictly.
//	I2  Timestamps of .timeindex grow strictly, its offsets do not fall.
//	I3  An index is a hint that can be rebuilt from the log; Parse refuses what
//	    breaks I1 or I2 instead of serving it.
package index
