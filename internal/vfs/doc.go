// Package vfs is the seam for files: the real file system, one in memory that
// can crash, and one that injects faults.
//
// Not its job: hot reads and writes. Those are netio ops on File.Fd; what is here
// is cold (open, preallocate, rename, sync, list) and runs on helpers, never on
// a core.
//
// Data: names are full paths. Errors are *fs.PathError around a syscall.Errno, so
// that errors.Is(err, fs.ErrNotExist) and errors.Is(err, syscall.ENOSPC) work on
// all three.
//
// What is promised after a power loss, and what Mem therefore takes away:
//
//	I1  A file's bytes are durable after Sync, or after a write with RWF_DSYNC (that
//	    range). Before it every 512-byte sector is there or not by itself.
//	I2  A file's size is durable after Sync. Preallocated space then reads as zero
//	    bytes: the size says nothing about where the data end.
//	I3  A create, remove or rename is durable after SyncDir of the directory; Sync of
//	    the file is not enough. A rename happens wholly or not at all.
//	I4  After a Sync that failed the bytes are lost, although without O_DIRECT reads still
//	    see them and a second Sync succeeds (measured on ext4): never retry.
//	I5  After Crash or Kill every open File is dead: fs.ErrClosed.
package vfs
