// Command chaos runs the real broker under load, breaks it many times, and lets
// package checker judge what clients saw.
//
//	go run ./test/chaos -f kill|power|eio|enospc|recreate|storm|soak -n N -io uring|epoll|both
//
//	kill      kill -9 at random moments over one data directory; engines and the number
//	          of cores change from life to life
//	power     a power loss: ext4 and xfs, half of the rounds each, on a loop device over a
//	          disk with a volatile cache; the cache is dropped and the filesystem shut down
//	          without a log flush
//	eio       blocks of the disk fail, one site of the broker's I/O a round, on a broker of
//	          its own: writes, flushes and reads of journals, segments, indexes,
//	          checkpoints, the quorum's log and state, the filesystem's own journal
//	enospc    a small disk is filled and freed under load; every fourth time the broker is
//	          stopped and started while it is full
//	recreate  a topic is deleted and created again under load, with a kill -9 in it
//	storm     kill -9 amid CreateTopics, DeleteTopics, CreatePartitions: what was
//	          acknowledged stands, and the disk holds no more than the metadata says
//	soak      mixed load with retention and clean restarts, N minutes: nothing lost, and
//	          memory, descriptors, goroutines and threads do not grow
//
// What power really tests: the broker's O_DIRECT writes reach the device also without a
// sync, so that a loop device on a plain file would lose only metadata. Here the loop
// device stands on a file served through FUSE by this program, whose writes stay in
// memory until the loop device passes on a flush (RWF_DSYNC, fdatasync and the
// filesystem's own journal end in one). The cut drops the unflushed blocks, or an
// arbitrary half of their 512-byte sectors, as a disk may write back in any order; the
// filesystem is shut down by its ioctl without a log flush, before or after; then the
// broker is killed, everything is taken apart and mounted anew. The disk refuses writes
// from the cut on, so an acknowledgement after it shows as a loss. -device plain leaves
// the ioctl alone. With -mutant the broker is built with the tag mutant_nosync, which
// leaves out the sync of commits: the run passes when that is caught.
//
// How blocks fail: without device-mapper or nbd in the kernel, the same disk of ours under
// the loop device answers EIO itself. Which blocks a file has, the filesystem tells
// (FIEMAP); what is written anew each time is known by its first bytes. A fault bites once
// or for good; a flush that failed has lost what it was to save, fails for all others for a
// moment too, and may succeed afterwards, as on Linux: who tried again would acknowledge
// what is gone. While the broker serves, the first error ends it: exit code 74 with the
// reason, at once, and after the repair (with a power loss in half of the rounds)
// everything acknowledged is there. An error of reading old records is the reader's alone.
//
// With -mutant the broker is one that waits out errors of segments and checkpoints
// (internal/mutant): it must be caught.
//
// What a full disk must not end: fetch, heartbeats, commits, changes of the metadata that
// make it smaller, a stop, a start. Produce is refused with KAFKA_STORAGE_ERROR, and taken
// again within 10 s of space coming back.
//
// Not its job: faults inside the process (internal/sim), foreign clients (test/compat).
//
// Data in: the broker's binary, a seed. Data out: a line a round with -v, findings, one
// line of JSON with figures and seed, and "N passed, N failed". Exit code 1 when
// anything failed. Without root, loop devices, mkfs or /dev/fuse a machine has no disk that
// loses power, fails or fills up: the run then says "skipped" and leaves with 0; a
// filesystem that alone is missing is left out and noted.
//
// Invariants:
//
//	I1  A round counts only if its fault bit: the process was alive and records were on
//	    their way, for power the disk lost writes or the filesystem was shut down, for eio
//	    an I/O of the site failed, for enospc produce was refused.
//	I2  Processes, mounts, loop devices and directories are gone at the end, also after
//	    a failure or an interrupt; -keep keeps directories of failed runs.
//	I3  The seed decides everything that this program decides. It cannot decide timing.
package main
