// Package segment maps offsets to bytes: it keeps the records of every partition
// of one core, durable before they are acknowledged and readable for as long as
// retention says.
//
// Not its job: sockets, requests, replication, and doing its own I/O. It describes
// reads and writes (Effects); the engine performs them and reports back through
// IODone and JobDone. It reads no clock and starts no goroutine, but for Open.
//
// Data in: validated record batches. They are stamped with offset and epoch and
// copied twice: into the shard's journal (one aligned, durable, sequential write per
// turn for all partitions) and into the partition's hot tail (memory in log order).
// Data out: extents of the hot tail, or of stretches read back from segment files,
// which are written from the tail later and in large pieces. Formats: docs/FORMATS.md.
//
// A large batch is copied once: the journal write gathers the tail's own blocks.
//
// A sweep writes out what the tails hold, notes every log in a checkpoint file, and
// by this gives old journal files back. What does not fill a 4 KiB block stays in
// the tail and travels in the checkpoint.
//
// Invariants:
//
//	I1  Start ≤ Stable ≤ High ≤ Written ≤ End and Durable ≤ Written.
//	I2  Offsets are dense and only grow, but for Truncate above High.
//	I3  An entry is acknowledged only when its last fragment, and every commit
//	    before it, is durable. One journal write is in flight per shard.
//	I4  Acknowledged bytes are rewritten only while a second copy of them is durable
//	    in the journal or in the checkpoint.
//	I5  A journal file is reused only when a durable checkpoint covers all it holds.
//	I6  Every byte of a log is in its tail or in its segment file; chunks of the tail
//	    are a suffix of the log without holes.
//	I7  After the first failed write or sync nothing is acknowledged any more.
//	I8  Chunks begin at multiples of 4096 of their segment, so that memory, file
//	    offset and length of every transfer fit O_DIRECT.
//	I9  Memory that a journal write names is held and does not change until it is
//	    done: what the tail still fills is copied.
//	I10 A log is one shard's. It becomes another's by one durable record (move.go), and
//	    only then is anything of it written or acknowledged there.
package segment
