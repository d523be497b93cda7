package segment

import (
	"fmt"

	"millrace/internal/vfs"
)

// adopt takes over a journal file of an earlier boot.
func (s *Shard) adopt(sc *scanned, needed bool) error {
	f, err := s.o.FS.Open(sc.name, vfs.ReadWrite, true)
	if err != nil {
		return fmt.Errorf("segment: open %s: %w", sc.name, err)
	}
	jf := &jfile{name: sc.name, number: sc.number, f: f, size: sc.size}
	if needed {
		s.j.old = append(s.j.old, jf)
		return nil
	}
	if s.j.total+sc.size > s.o.JournalMax && s.j.total > 0 {
		if err := f.Close(); err != nil {
			return fmt.Errorf("segment: close %s: %w", sc.name, err)
		}
		if err := s.o.FS.Remove(sc.name); err != nil {
			return fmt.Errorf("segment: remove %s: %w", sc.name, err)
		}
		return nil
	}
	s.j.total += sc.size
	s.j.addFree(jf)
	return nil
}

// firstSize is how large a core's first journal file is: a small one is quickly made, and on
// a disk that is full there is something for every core, also when there are more than the
// reserve was made for.
func (op *opening) firstSize() int64 {
	size := min(op.o.JournalFile, firstJournalFile)
	free, err := op.o.FS.Free(op.o.journalDir())
	if each := floor(free / int64(op.cores+1)); err == nil && each < size {
		size = max(each, minJournalFile)
	}
	return size
}

// firstFile sees that there is a file to begin with.
func (s *Shard) firstFile(size int64) error {
	if len(s.j.free) > 0 {
		return nil
	}
	f, err := makeJournalFile(&s.o, s.newFileNumber(), size, s.boot)
	if err != nil {
		return err
	}
	s.j.total += size
	s.j.addFree(f)
	return nil
}

// Close closes all files. Drain first for a
// clean stop; without it the next Open replays the journal. No effect may be in
// flight.
func Close(shards []*Shard) error {
	var first error
	for _, s := range shards {
		if err := s.release(); err != nil && first == nil {
			first = err
		}
	}
	return first
}

// release closes files and gives memory back to the pool.
func (s *Shard) release() error {
	var first error
	note := func(err error) {
		if err != nil && first == nil {
			first = err
		}
	}
	j := &s.j
	files := append(append(append([]*jfile{}, j.free...), j.used...), j.old...)
	if j.cur != nil {
		files = append(files, j.cur)
	}
	for _, f := range files {
		note(f.f.Close())
	}
	if j.mk.on && j.mk.file.f != nil {
		note(j.mk.file.f.Close()) // without a header: the next start removes it
	}
	for g := s.files.first; g != nil; g = g.fd.next {
		note(g.fd.f.Close())
	}
	if s.clean.now != nil {
		s.clean.now.end()
		s.clean.now = nil
	}
	for _, l := range s.list {
		if l == nil {
			continue
		}
		for _, c := range l.tail.live() {
			s.pool.Release(c.buf)
		}
		l.tail = tail{}
	}
	s.releaseCold()
	for _, b := range s.cache.reserve {
		s.pool.Release(b)
	}
	s.cache = cache{}
	for _, g := range []*group{s.st.gather, s.st.flying, s.st.spare} {
		if g != nil {
			g.letGo(s.pool)
			s.pool.Release(g.buf)
		}
	}
	s.st = stager{}
	s.j = journal{}
	s.files = fileCache{}
	return first
}
