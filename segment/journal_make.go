package segment

import (
	"fmt"
	"time"

	"millrace/internal/clock"
	"millrace/internal/mutant"
	"millrace/internal/vfs"
)

const (
	firstJournalFile = 8 << 20  // quickly made, so that a first start is
	maxGrowth        = 64 << 20 // of a file made because the ring runs short
	quickFill        = 10 * time.Second
	retrySpace       = time.Second

	// A file is prewritten in steps. Nobody waits for most files: small steps with
	// pauses keep the disk free for commits. Where the ring runs out, large ones.
	makeStep  = 256 << 10
	makeHurry = 8 << 20
	makePause = 2 * time.Millisecond
)

// maker is a journal file on its way.
type maker struct {
	on      bool
	running bool // a step is
	file    *jfile
	written int64
	next    clock.Instant // of the next step, unless somebody waits
}

// madeStep is what a step's job answers; whole: the file is ready.
type madeStep struct {
	file    *jfile
	written int64
	whole   bool
	err     error
}

// growJournal starts the making of a file when the ring runs short of free ones.
func (s *Shard) growJournal() {
	j := &s.j
	if j.mk.on {
		s.makeTurn()
		return
	}
	if s.now.Mono < j.retryAt || s.draining && s.quiet() {
		return
	}
	limit := max(s.o.JournalMax, 2*j.want+4*int64(len(s.st.gather.mem)))
	short := len(j.free) == 0 && (j.cur == nil || s.now.Mono.Sub(j.cur.begun) < quickFill ||
		j.cur.left() < j.cur.size/2)
	if !short && j.want <= s.room() {
		return
	}
	size := max(s.o.JournalFile, min(j.total/2, maxGrowth), 2*j.want)
	size = min(size, limit-j.total)
	size = floor(size)
	if size < fileHeaderSize+2*minRoom {
		return
	}
	number := s.newFileNumber()
	j.mk = maker{on: true, file: &jfile{name: journalName(s.o.journalDir(), number),
		number: number, size: size}}
	s.makeTurn()
}

// hurried says that the ring will soon be, or is, at its end.
func (s *Shard) hurried() bool {
	j := &s.j
	return j.want > s.room() || len(j.free) == 0 && (j.cur == nil || j.cur.left() < j.cur.size/2)
}

// makeTurn starts the next step when it is due. A stop ends it.
func (s *Shard) makeTurn() {
	m := &s.j.mk
	if m.running || s.now.Mono < m.next && !s.hurried() && !s.draining {
		return
	}
	m.running = true
	file, at, boot := m.file, m.written, s.boot
	if s.draining && s.quiet() {
		s.job(jobJournal, nil, func() any { return madeStep{err: file.abandon(s.o.FS)} })
		return
	}
	n := min(makeStep, file.size-at)
	if s.hurried() {
		n = min(makeHurry, file.size-at)
	}
	list, o := &s.shared.list, &s.o
	s.job(jobJournal, nil, func() any {
		if err := file.prewrite(o, at, n); err != nil {
			return madeStep{err: err}
		}
		if at+n < file.size {
			return madeStep{file: file, written: at + n}
		}
		if err := file.finish(o, boot); err != nil {
			return madeStep{err: err}
		}
		if err := list.add(o, file.number); err != nil {
			_ = file.f.Close()
			if noSpace(err) { // else the list may have it
				_ = o.FS.Remove(file.name)
			}
			return madeStep{err: err}
		}
		return madeStep{file: file, whole: true}
	})
}

// journalMade takes the answer of a step.
func (s *Shard) journalMade(m madeStep) {
	j := &s.j
	if m.err == nil && m.file != nil && !m.whole {
		j.mk.running, j.mk.written, j.mk.next = false, m.written, s.now.Mono.Add(makePause)
		return
	}
	j.mk = maker{}
	switch {
	case m.err != nil && !noSpace(m.err):
		s.fail("journal file", m.err)
	case m.err != nil:
		j.retryAt = s.now.Mono.Add(5 * retrySpace)
		s.o.Log.Warn("no space for another journal file", "err", m.err)
	case m.whole:
		j.total += m.file.size
		j.addFree(m.file)
		j.want = 0
	}
}

// nextMake is when growJournal has something to do for a file on its way.
func (s *Shard) nextMake() clock.Instant {
	m := &s.j.mk
	switch {
	case !m.on || m.running:
		return clock.Never
	case s.draining || s.hurried():
		return s.now.Mono
	}
	return m.next
}

// makeJournalFile makes a whole file. It blocks.
func makeJournalFile(o *Options, number uint64, size int64, boot uint64) (*jfile, error) {
	f := &jfile{name: journalName(o.journalDir(), number), number: number, size: size}
	if err := f.prewrite(o, 0, size); err != nil {
		return nil, err
	}
	if err := f.finish(o, boot); err != nil {
		return nil, err
	}
	return f, nil
}

// prewrite creates the file if it is not there yet and writes n zero bytes at at, so that
// its blocks are allocated and later writes change no metadata. It blocks.
func (f *jfile) prewrite(o *Options, at, n int64) error {
	if f.f == nil {
		file, err := o.FS.Open(f.name, vfs.Create, true)
		if err != nil {
			return fmt.Errorf("segment: create %s: %w", f.name, err)
		}
		f.f = file
		if err := f.f.Preallocate(0, f.size); err != nil && noSpace(err) {
			return f.broken(o.FS, err)
		}
	}
	mem, done := aligned(int(min(n, 1<<20)))
	defer done()
	clear(mem)
	for end := at + n; at < end; at += int64(len(mem)) {
		if _, err := f.f.WriteAt(mem[:min(int64(len(mem)), end-at)], at); err != nil {
			return f.broken(o.FS, err)
		}
	}
	if err := f.f.Sync(); err != nil { // a flush of little is short
		return f.broken(o.FS, err)
	}
	return nil
}

// finish writes the header: a file without one is removed by the next start.
func (f *jfile) finish(o *Options, boot uint64) error {
	mem, done := aligned(fileHeaderSize)
	defer done()
	clear(mem)
	putFileHeader(mem, o.Directory, f.number, f.size, boot)
	if _, err := f.f.WriteAt(mem, 0); err != nil {
		return f.broken(o.FS, err)
	}
	if err := f.f.Sync(); err != nil {
		return f.broken(o.FS, err)
	}
	if mutant.SkipDirSync {
		return nil
	}
	if err := o.FS.SyncDir(o.journalDir()); err != nil {
		_ = f.f.Close()
		return fmt.Errorf("segment: sync %s: %w", o.journalDir(), err)
	}
	return nil
}

// broken gives a file up that could not be made.
func (f *jfile) broken(fs vfs.FS, err error) error {
	_ = f.abandon(fs)
	return fmt.Errorf("segment: prewrite %s: %w", f.name, err)
}

// abandon removes a file that is not whole.
func (f *jfile) abandon(fs vfs.FS) error {
	if f.f == nil {
		return nil
	}
	err := f.f.Close()
	if e := fs.Remove(f.name); err == nil {
		err = e
	}
	return err
}
