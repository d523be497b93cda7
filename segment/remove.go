package segment

import (
	"errors"
	"io/fs"
	"path/filepath"
	"time"

	"millrace/internal/clock"
	"millrace/internal/vfs"
)

// remover deletes files a step at a time. A file of a gigabyte that is unlinked at once
// has the file system free, and perhaps discard, all of its blocks in one transaction:
// journal writes wait behind that for hundreds of milliseconds. So it is shortened from
// its end, and unlinked when little is left. Names say that it is on its way out
// (….deleted, …-delete): a start goes on where a crash ended it.
type remover struct {
	queue   []string // files, and directories with all that is in them
	running bool     // a step is
	next    clock.Instant
}

const (
	// removeBytes and removeFiles bound one step.
	removeBytes = 32 << 20
	removeFiles = 256
	// removePause is between two steps.
	removePause = 20 * time.Millisecond
)

// removal is what a job that deletes answers: what is left to do.
type removal struct {
	left []string
	err  error
}

// removeLater deletes files and directories, whose names say already that they go.
func (s *Shard) removeLater(paths ...string) { s.rm.queue = append(s.rm.queue, paths...) }

// removable is how much a job may delete that begins now.
func (s *Shard) removable() removeBudget {
	m := &s.rm
	if m.running || len(m.queue) > 0 || s.now.Mono < m.next {
		return removeBudget{}
	}
	m.next = s.now.Mono.Add(removePause)
	return removeBudget{removeBytes, removeFiles}
}

// removeTurn starts the next step when it is due. While space is short, or the process
// stops, there is no pause: somebody waits for it.
func (s *Shard) removeTurn() {
	m := &s.rm
	if m.running || len(m.queue) == 0 || s.now.Mono < m.next && !s.full && !s.draining {
		return
	}
	m.running = true
	files, paths := s.o.FS, m.queue
	m.queue = nil
	s.job(jobStep, nil, func() any {
		left, err := removeSome(files, paths, removeBudget{removeBytes, removeFiles})
		return removal{left, err}
	})
}

// removeStepped takes the answer of a step.
func (s *Shard) removeStepped(r removal) {
	m := &s.rm
	m.running = false
	m.next = s.now.Mono.Add(removePause)
	m.queue = append(r.left, m.queue...)
	s.noteRemoval(r.err)
}

// removed takes the answer of a job that renamed what is to go, and began with it.
func (s *Shard) removed(r removal) {
	s.keep.jobs--
	s.removeLater(r.left...)
	s.noteRemoval(r.err)
}

func (s *Shard) noteRemoval(err error) {
	if err != nil {
		s.o.Log.Warn("deleting files failed: the next start does it", "err", err)
	}
}

// nextRemoval is when removeTurn has something to do.
func (s *Shard) nextRemoval() clock.Instant {
	switch {
	case len(s.rm.queue) == 0 || s.rm.running:
		return clock.Never
	case s.draining:
		return s.now.Mono
	}
	return s.rm.next
}

// allRemoved says that nothing is left to delete.
func (s *Shard) allRemoved() bool {
	k := &s.keep
	waiting := len(k.starts) + len(k.removed) + len(k.drops) + len(s.clean.removal)
	return waiting+len(s.rm.queue) == 0 && !s.rm.running
}

// removeBudget is what a step may still delete.
type removeBudget struct {
	bytes int64
	files int
}

// removeSome deletes from the front of the list until the budget is used up, and
// returns what is left. What cannot be deleted is dropped, with the first error.
func removeSome(files vfs.FS, paths []string, b removeBudget) (left []string, err error) {
	for len(paths) > 0 && b.bytes > 0 && b.files > 0 {
		over, one := b.remove(files, paths[0])
		if one != nil && err == nil {
			err = one
		}
		if !over && one == nil {
			break
		}
		paths = paths[1:]
	}
	return paths, err
}

// remove deletes a file or a directory, or what it may of it.
func (b *removeBudget) remove(files vfs.FS, path string) (over bool, err error) {
	info, err := files.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return true, err
	}
	if !info.IsDir() {
		return b.removeFile(files, path, info.Size())
	}
	names, err := files.List(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return true, err
	}
	for _, name := range names {
		if b.bytes <= 0 || b.files <= 0 {
			return false, nil
		}
		if over, err := b.remove(files, filepath.Join(path, name)); !over || err != nil {
			return over, err
		}
	}
	b.files--
	return true, files.RemoveAll(path)
}

// removeFile unlinks a file, or shortens it when it is larger than what may go.
func (b *removeBudget) removeFile(files vfs.FS, path string, size int64) (over bool, err error) {
	b.files--
	if size <= b.bytes {
		b.bytes -= size
		return true, notMissing(files.Remove(path))
	}
	f, err := files.Open(path, vfs.ReadWrite, false)
	if err != nil {
		return true, notMissing(err)
	}
	err = f.Truncate(size - b.bytes)
	if e := f.Close(); err == nil {
		err = e
	}
	b.bytes = 0
	return false, err
}

func notMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// renameDeleted gives the files of segments names that say that they go. Where they will
// be shortened the names are made durable first: a power loss must not show a part
// of a segment under its old name.
func renameDeleted(sh *shared, files vfs.FS, gone []syncItem) (paths []string, err error) {
	for _, g := range gone {
		large := false
		err := sh.inDir(files, g.dir, g.id, false, func() error {
			for _, ending := range endings {
				name := segmentPath(g.dir, g.base, ending)
				info, err := files.Stat(name)
				if err != nil {
					continue // an index that never was
				}
				if err := files.Rename(name, name+endDeleted); err != nil {
					continue
				}
				large = large || info.Size() > removeBytes
				paths = append(paths, name+endDeleted)
			}
			if large {
				return files.SyncDir(g.dir)
			}
			return nil
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return paths, err
		}
	}
	return paths, nil
}
