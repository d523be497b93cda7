// Command chaos runs the real broker under load, breaks it many times, and lets
// package checker judge what clients saw.
//
//	go run ./test/chaos -f kill|power|recreate|storm -n N -io uring|epoll|both
//
//	kill      kill -9 at random moments over one data directory; engines and the number
//	          of cores change from life to life
//	power     a power loss: ext4 on a loop device over a disk with a volatile cache; the
//	          cache is dropped and the filesystem shut down without a log flush
//	recreate  a topic is deleted and created again under load, with a kill -9 in it
//	storm     kill -9 amid CreateTopics, DeleteTopics, CreatePartitions: what was
//	          acknowledged stands, and the disk holds no more than the metadata says
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
// Not its job: faults inside the process (internal/sim), foreign clients (test/compat).
//
// Data in: the broker's binary, a seed. Data out: a line a round with -v, findings, one
// line of JSON with figures and seed, and "N passed, N failed". Exit code 1 when
// anything failed. A machine without root, loop devices or /dev/fuse cannot lose power:
// the run then says "skipped" and leaves with 0.
//
// Invariants:
//
//	I1  A round counts only if its fault bit: the process was alive and records were on
//	    their way, and for power the disk lost writes or the filesystem was shut down.
//	I2  Processes, mounts, loop devices and directories are gone at the end, also after
//	    a failure or an interrupt; -keep keeps directories of failed runs.
//	I3  The seed decides everything that this program decides. It cannot decide timing.
package main
