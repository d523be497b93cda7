// Package batch reads and writes record batches of Kafka's format, magic 2.
//
// Not its job: choosing offsets or epochs, keeping producer state, and any I/O.
// Data in: bytes of a Produce request, a segment or a journal. Data out: views over
// the same bytes, codes for clients, and, on cold paths only, new batches.
//
// Layout, big-endian; the CRC-32C covers from attributes to the end:
//
//	 0 baseOffset i64        21 attributes i16        43 producerId i64
//	 8 batchLength i32 (*)   23 lastOffsetDelta i32   51 producerEpoch i16
//	12 leaderEpoch i32       27 baseTimestamp i64     53 baseSequence i32
//	16 magic i8              35 maxTimestamp i64      57 count i32
//	17 crc u32                                        61 records, perhaps compressed
//	(*) bytes after itself: Size − 12
//
//	attributes: 0–2 codec, 3 timestamp type, 4 transactional, 5 control,
//	6 delete horizon, 7–15 unused
//
// Invariants:
//
//	I1  A View that Next returned has at least HeaderSize bytes and is exactly as
//	    long as its batchLength says, so accessors cannot go out of bounds.
//	I2  Base offset and leader epoch lie before the CRC: Stamp never rehashes.
//	I3  Nothing allocates by a length or count that was not checked against the
//	    bytes that remain, and nothing inflates beyond the caller's cap.
package batch
