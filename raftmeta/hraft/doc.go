// Package hraft agrees on commands through hashicorp/raft; it is the only importer of it.
//
// Not its job: what commands mean (raftmeta), locking the data directory (the caller does,
// before Open), more than one voter (the transport is in memory).
//
// Data in: commands by Propose. Data out: images, published in the order of the log.
//
// Invariants:
//
//	I1  done is called once per proposal, after the image that contains it was published.
//	I2  OnImage sees images in order of their index; every published image, or one later.
//	I3  The first failed write of log, vote, term or segment ends the process: the library
//	    would go on, and the kernel may already have dropped the bytes. Nothing is retried.
//	I4  A kill at any moment leaves a directory that Open can open.
//	I5  A log that was longer once is not silently started over: Open refuses.
//
//	I6  A full disk never is a failed write. What makes the image grow is refused while the
//	    disk has less than MinFree left; other commands, with which it can be emptied, use
//	    space that was put aside (spare-N), and are refused before that is used up.
//
// Log and stable store are raft-wal's (one fdatasync per batch of entries; term and vote in
// its bolt file), snapshots raft's file store. raft-boltdb was measured beside it on ext4:
// one durable append 0.3–0.9 ms against 0.08–0.23 ms, opening 8 000 entries 1–10 ms against
// 2–7 ms. A lone voter does not wait for election timers: it is told to stand at once, and
// is ready in 2–50 ms; idle it wakes three times a second.
package hraft
