package vfs

import (
	"errors"
	"io/fs"
)

// ErrLocked says that somebody else holds the lock.
var ErrLocked = errors.New("vfs: locked by another process")

// BlockSize is what memory, offset and length of a transfer on a Direct file are
// multiples of.
const BlockSize = 4096

// Mode of an open.
type Mode uint8

const (
	ReadOnly Mode = iota
	ReadWrite
	Create // read and write, created if absent; the caller syncs the directory
)

// File is an open file. Methods block: only helpers call them (Fd and Size of a
// cached value excepted).
type File interface {
	// Fd is what netio ops name. An in-memory file's number means something only
	// to the simulator's ring.
	Fd() int32
	// Direct says whether the file was opened with O_DIRECT: then memory, offset
	// and length of every transfer are multiples of 4096.
	Direct() bool
	Name() string
	ReadAt(p []byte, off int64) (int, error)
	WriteAt(p []byte, off int64) (int, error)
	Size() (int64, error)
	Truncate(size int64) error
	// Preallocate makes [off, off+n) allocated and extends the size to cover it.
	Preallocate(off, n int64) error
	Sync() error // fdatasync
	Close() error
}

// FS is a file system. Names are full paths.
type FS interface {
	// Open opens a file; with direct it tries O_DIRECT and falls back to buffered
	// where the file system has none (File.Direct tells).
	Open(name string, mode Mode, direct bool) (File, error)
	MkdirAll(dir string) error
	Remove(name string) error
	RemoveAll(name string) error
	Rename(from, to string) error
	List(dir string) ([]string, error) // sorted; a missing directory is an fs.ErrNotExist
	Stat(name string) (fs.FileInfo, error)
	SyncDir(dir string) error
	// SyncFS makes everything on the file system that holds dir durable (syncfs).
	SyncFS(dir string) error
	ReadFile(name string) ([]byte, error)
	// WriteFile replaces name atomically and durably: temporary file, fdatasync,
	// rename, directory sync.
	WriteFile(name string, data []byte) error
	// Lock takes an exclusive advisory lock (flock); the second taker gets ErrLocked.
	Lock(name string) (unlock func() error, err error)
	// Free is the space left to this user, in bytes.
	Free(dir string) (int64, error)
}

// ByFd is an FS whose open files can be read and written by number, for the
// simulator's ring. Errors are a bare syscall.Errno.
type ByFd interface {
	FS
	ReadFd(fd int32, p []byte, off int64) (int, error)
	WriteFd(fd int32, p []byte, off int64, dsync bool) (int, error)
	SyncFd(fd int32) error
}
