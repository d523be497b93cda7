package segment

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

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

func reserveName(journals string) string { return filepath.Join(journals, "reserve") }

// reserves are the directories that have one: where journal/boot is, and where the journal
// files are.
func (o *Options) reserves() []string {
	return slices.Compact([]string{filepath.Clean(journalDir(o.Dir)), filepath.Clean(o.journalDir())})
}

func (o *Options) reserveSize(cores int) int64 {
	return int64(cores)*min(o.JournalFile, firstJournalFile) + 16*block
}

// yieldReserve gives the reserve up if the disk has less left than this start may need.
func (op *opening) yieldReserve() error {
	for _, dir := range op.o.reserves() {
		free, err := op.o.FS.Free(dir)
		if err != nil || free >= op.o.reserveSize(op.cores) {
			continue // what is missing will say so itself
		}
		if err := op.o.FS.Remove(reserveName(dir)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("segment: %w", err)
		}
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
	files, dirs, size := s.o.FS, s.o.reserves(), s.o.reserveSize(s.cores)
	s.job(jobReserve, nil, func() any {
		have := true
		for _, dir := range dirs {
			have = makeReserve(files, dir, size) && have
		}
		return have
	})
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
