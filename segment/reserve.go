package segment

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"millrace/internal/vfs"
)

// The reserve is space for the next start: on a full disk that one still needs a journal
// file for every core and a new journal/boot. It is a file of zeros that nobody reads.
type reserve struct {
	have bool
	busy bool // a job makes it
}

// reserveRoom is how many times its size must be free for the reserve to be made: what
// is left belongs to records first.
const reserveRoom = 4

func reserveName(dir string) string { return filepath.Join(journalDir(dir), "reserve") }

func (o *Options) reserveSize(cores int) int64 {
	return int64(cores)*min(o.JournalFile, firstJournalFile) + 16*block
}

// yieldReserve gives the reserve up if the disk has less left than this start may need.
func (op *opening) yieldReserve() error {
	free, err := op.o.FS.Free(op.o.Dir)
	if err != nil || free >= op.o.reserveSize(op.cores) {
		return nil // what is missing will say so itself
	}
	if err := op.o.FS.Remove(reserveName(op.o.Dir)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("segment: %w", err)
	}
	return nil
}

// keepReserve has the reserve made when it is missing and there is room for it.
func (s *Shard) keepReserve() {
	r := &s.reserve
	if s.core != 0 || r.have || r.busy {
		return
	}
	r.busy = true
	files, dir, size := s.o.FS, s.o.Dir, s.o.reserveSize(s.cores)
	s.job(jobReserve, nil, func() any { return makeReserve(files, dir, size) })
}

// makeReserve says whether the reserve is there. Without space there is none: that is
// no error.
func makeReserve(files vfs.FS, dir string, size int64) bool {
	name := reserveName(dir)
	if info, err := files.Stat(name); err == nil && info.Size() == size {
		return true
	}
	if free, err := files.Free(dir); err != nil || free < reserveRoom*size {
		return false
	}
	f, err := files.Open(name, vfs.Create, false)
	if err != nil {
		return false
	}
	err = f.Truncate(0) // one of another number of cores
	if err == nil {
		err = f.Preallocate(0, size)
	}
	if errors.Join(err, f.Close()) != nil {
		_ = files.Remove(name)
		return false
	}
	return true
}
