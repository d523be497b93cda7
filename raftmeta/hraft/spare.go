package hraft

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"

	walfs "github.com/hashicorp/raft-wal/fs"
	"github.com/hashicorp/raft-wal/metadb"
	"github.com/hashicorp/raft-wal/types"
)

const (
	// spareFiles are put aside, each large enough for what mending a segment makes.
	spareFiles = 4
	// stateBytes are allocated for raft-wal's list of segments, which is far smaller.
	stateBytes = 1 << 20

	keepSize = 1 // FALLOC_FL_KEEP_SIZE
)

// spareFS is raft-wal's file system with space put aside: files that hold nothing become
// segments when the disk has no room for new ones. Without them a full disk would be a
// failed write, and that is the end of the process (I3). For the same reason segments get
// more blocks than their size: the append that fills one goes beyond it.
type spareFS struct {
	*walfs.FS
	dir  string
	size int64        // of a spare file
	over int64        // blocks of a segment beyond its size
	left atomic.Int32 // spare files that are there

	allocate func(f *os.File, size int64) error
}

func newSpareFS(dir string, size int) *spareFS {
	s := &spareFS{FS: walfs.New(), dir: dir, size: int64(3*size + 8192), over: int64(size),
		allocate: allocate}
	for i := range spareFiles {
		if st, err := os.Stat(s.name(i)); err == nil && st.Size() == s.size {
			s.left.Add(1)
		}
	}
	return s
}

// name is long, so that the directory has blocks of its own: in one that still fits its
// inode, as xfs has them, a rename to a longer name may need space.
func (s *spareFS) name(i int) string {
	return filepath.Join(s.dir, fmt.Sprintf("spare-%d", i)+strings.Repeat("-", 200))
}

// Create makes a segment's file; without space for it, out of a spare one.
func (s *spareFS) Create(dir, name string, limit uint64) (types.WritableFile, error) {
	path, size := filepath.Join(dir, name), int64(limit)+s.over
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o644)
	if err == nil {
		if err = s.allocate(f, size); err == nil {
			return &newFile{File: f, dir: dir}, nil
		}
		err = errors.Join(err, f.Close(), os.Remove(path))
	}
	if !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EDQUOT) || size > s.size {
		return nil, err
	}
	for i := range spareFiles {
		if os.Rename(s.name(i), path) != nil {
			continue
		}
		s.left.Add(-1)
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			return nil, err
		}
		if err := f.Truncate(size); err != nil {
			return nil, errors.Join(err, f.Close())
		}
		return &newFile{File: f, dir: dir}, nil
	}
	return nil, err
}

// yield gives a spare file up.
func (s *spareFS) yield() bool {
	for i := range spareFiles {
		if os.Remove(s.name(i)) == nil {
			s.left.Add(-1)
			return true
		}
	}
	return false
}

// refill makes the spare files that are missing. It may fail: they are for a bad day.
func (s *spareFS) refill() error {
	for i := range spareFiles {
		if st, err := os.Stat(s.name(i)); err == nil && st.Size() == s.size {
			continue
		}
		f, err := os.OpenFile(s.name(i), os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o644)
		if err != nil {
			return err
		}
		if err := errors.Join(s.allocate(f, s.size), f.Close()); err != nil {
			return errors.Join(err, os.Remove(s.name(i)))
		}
		s.left.Add(1)
	}
	return nil
}

// allocate gives a new file its size, and blocks where the file system can.
func allocate(f *os.File, size int64) error {
	for {
		err := syscall.Fallocate(int(f.Fd()), 0, 0, size)
		switch {
		case errors.Is(err, syscall.EINTR):
		case errors.Is(err, syscall.EOPNOTSUPP), errors.Is(err, syscall.ENOSYS):
			return f.Truncate(size)
		case err != nil:
			return &os.PathError{Op: "preallocate", Path: f.Name(), Err: err}
		default:
			return nil
		}
	}
}

// newFile syncs its directory with its first sync.
type newFile struct {
	*os.File
	dir    string
	synced atomic.Bool
}

// Sync makes the file durable, and at first its name.
func (f *newFile) Sync() error {
	if err := f.File.Sync(); err != nil || f.synced.Swap(true) {
		return err
	}
	d, err := os.Open(f.dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// reserveState allocates blocks behind the end of the list of segments, so that it can
// grow on a full disk. Without them it may still do without: that is no error.
func reserveState(dir string) {
	f, err := os.OpenFile(filepath.Join(dir, metadb.FileName), os.O_RDWR, 0)
	if err != nil {
		return
	}
	_ = syscall.Fallocate(int(f.Fd()), keepSize, 0, stateBytes)
	_ = f.Close()
}
