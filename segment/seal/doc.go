// Package seal is the .sums file of a segment: checksums of what the CRC of Kafka's
// batches leaves out.
//
// That CRC begins behind base offset, length, leader epoch and magic, and says nothing
// of where a batch belongs. So a log is cut into pieces of whole batches, each at
// least 64 KiB long but for the last, and of every piece there is one sum: a CRC-32C
// over topic id, partition and base offset of the segment, XOR the position of the piece,
// carried on over the first 21 bytes of each of its batches. The last four of those are
// the batch's own CRC: with it the sum binds every byte of the piece.
//
// Not its job: files, and deciding when to write. Bytes is what is to be appended.
//
// Format, little-endian (docs/FORMATS.md):
//
//	header   magic:4 version:2 0:2 topic id:16 partition:4 0:4 base:8 0:4 crc:4
//	entry    end position:4 end offset - base:4 sum:4 check:4
//	trailer  magic:4 entries:4 log size:8 end offset:8 .index bytes:4 .timeindex bytes:4
//	         .index crc:4 .timeindex crc:4 0:4 crc:4
//
// Invariants:
//
//	I1  End positions grow strictly, end offsets do not fall; the first piece begins
//	    at 0, every other where the one before ends.
//	I2  The check of an entry and the CRC of the trailer begin with the header's CRC
//	    and the entry's number: nothing is taken from another segment or place.
//	I3  A file may be longer than what is known of it: what follows was written by a
//	    turn of which nothing became durable. A trailer stands only behind the sums of a
//	    sealed segment.
package seal
