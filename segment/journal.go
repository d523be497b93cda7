package segment

import (
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"millrace/internal/arena"
	"millrace/internal/clock"
	"millrace/internal/invariant"
	"millrace/internal/mutant"
	"millrace/internal/vfs"
)

// jfile is one file of the journal: prewritten once, then only overwritten, so that
// no write on the way to an acknowledgement changes metadata.
type jfile struct {
	name    string
	number  uint64
	f       vfs.File
	size    int64
	pos     int64 // where the next commit goes
	lastSeq uint64
	begun   clock.Instant
}

func (f *jfile) left() int64 { return f.size - f.pos }

// journal is the ring of a shard's files. A file goes free → cur → used → free.
type journal struct {
	cur      *jfile
	free     []*jfile
	used     []*jfile // oldest first; they wait for a sweep
	old      []*jfile // of earlier boots; they wait until every core has swept once
	flyingIn *jfile   // file of the write in flight
	resume   bool     // that write has to be gone on with

	total    int64 // bytes of cur, free and used
	usedSize int64
	freeSize int64
	making   bool
	retryAt  clock.Instant // of making, after no space
	want     int64         // the largest request that had to wait for room
	minted   uint64        // journal files numbered by this shard
}

const (
	firstJournalFile = 8 << 20  // quickly made, so that a first start is
	maxGrowth        = 64 << 20 // of a file made because the ring runs short
	quickFill        = 10 * time.Second
	retrySpace       = time.Second
)

// nextFile takes a free file as the current one. False: there is none.
func (s *Shard) nextFile() bool {
	j := &s.j
	if j.cur != nil { // also without another: a sweep gives it back
		j.used = append(j.used, j.cur)
		j.usedSize += j.cur.size
		j.cur = nil
	}
	if len(j.free) == 0 {
		return false
	}
	f := j.free[0]
	copy(j.free, j.free[1:])
	j.free = j.free[:len(j.free)-1]
	j.freeSize -= f.size
	f.pos, f.lastSeq, f.begun = fileHeaderSize, s.st.commits, s.now.Mono
	j.cur = f
	return true
}

func (j *journal) addFree(f *jfile) {
	j.free = append(j.free, f)
	j.freeSize += f.size
}

// recycle frees the first n used files (I5), but for one that a slow write is still on its
// way to, and those behind it: the next sweep has them.
func (j *journal) recycle(n int) {
	invariant.Check(n <= len(j.used))
	if i := slices.Index(j.used[:n], j.flyingIn); i >= 0 {
		n = i
	}
	for _, f := range j.used[:n] {
		j.usedSize -= f.size
		j.addFree(f)
	}
	k := copy(j.used, j.used[n:])
	clear(j.used[k:])
	j.used = j.used[:k]
}

// room is how many bytes of entries the journal can take before a file comes back.
func (s *Shard) room() int64 {
	j := &s.j
	n := j.freeSize - int64(len(j.free))*(fileHeaderSize+minRoom)
	if j.cur != nil {
		n += j.cur.left() - minRoom
	}
	return n - int64(s.st.gather.n+s.st.gather.placed) - s.st.backlog
}

// growJournal starts the making of a file when the ring runs short of free ones.
func (s *Shard) growJournal() {
	j := &s.j
	if j.making || s.now.Mono < j.retryAt || s.draining && s.quiet() {
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
	j.making = true
	fs, dir, id, boot := s.o.FS, s.o.journalDir(), s.o.Directory, s.boot
	number, list, o := s.newFileNumber(), &s.shared.list, &s.o
	s.job(jobJournal, nil, func() any {
		m := makeJournalFile(fs, dir, id, number, size, boot)
		if m.err != nil {
			return m
		}
		if err := list.add(o, number); err != nil {
			_ = m.file.f.Close()
			if noSpace(err) { // else the list may have it
				_ = fs.Remove(m.file.name)
			}
			return madeFile{err: err}
		}
		return m
	})
}

// freeSooner ends the current file early when a request waits for more room than
// the free ones have: a sweep can then give it back.
func (s *Shard) freeSooner() {
	j := &s.j
	if j.want > s.room() && len(j.used) == 0 && len(j.free) > 0 && j.cur != nil &&
		j.cur.pos > fileHeaderSize && s.st.gather.n == 0 {
		s.nextFile()
	}
}

func (s *Shard) newFileNumber() uint64 {
	s.j.minted++
	return uint64(s.id)<<16 | s.j.minted&0xffff
}

// madeFile is what the job answers.
type madeFile struct {
	file *jfile
	err  error
}

func (s *Shard) journalMade(m madeFile) {
	j := &s.j
	j.making = false
	if m.err != nil {
		if !noSpace(m.err) {
			s.fail("journal file", m.err)
			return
		}
		j.retryAt = s.now.Mono.Add(5 * retrySpace)
		s.o.Log.Warn("no space for another journal file", "err", m.err)
		return
	}
	j.total += m.file.size
	j.addFree(m.file)
	j.want = 0
}

func journalDir(dir string) string { return filepath.Join(dir, "journal") }

// journalDir is where the journal files are; the mark of openings stays with the data.
func (o *Options) journalDir() string {
	if o.JournalDir != "" {
		return o.JournalDir
	}
	return journalDir(o.Dir)
}

// makeJournalFile creates a file and writes all of it, so that its blocks are
// allocated and later writes change no metadata. It blocks.
func makeJournalFile(fs vfs.FS, dir string, id [16]byte, number uint64, size int64,
	boot uint64) madeFile {
	name := journalName(dir, number)
	f, err := fs.Open(name, vfs.Create, true)
	if err != nil {
		return madeFile{err: fmt.Errorf("segment: create %s: %w", name, err)}
	}
	if err := prewrite(f, id, number, size, boot); err != nil {
		_ = f.Close()
		_ = fs.Remove(name)
		return madeFile{err: fmt.Errorf("segment: prewrite %s: %w", name, err)}
	}
	made := madeFile{file: &jfile{name: name, number: number, f: f, size: size}}
	if mutant.SkipDirSync {
		return made
	}
	if err := fs.SyncDir(dir); err != nil {
		_ = f.Close()
		return madeFile{err: fmt.Errorf("segment: sync %s: %w", dir, err)}
	}
	return made
}

func prewrite(f vfs.File, id [16]byte, number uint64, size int64, boot uint64) error {
	mem, done := aligned(1 << 20)
	defer done()
	clear(mem)
	if err := f.Preallocate(0, size); err != nil && noSpace(err) {
		return err
	}
	putFileHeader(mem, id, number, size, boot)
	for off := int64(0); off < size; off += int64(len(mem)) {
		n := min(int64(len(mem)), size-off)
		if _, err := f.WriteAt(mem[:n], off); err != nil {
			return err
		}
		if off == 0 {
			clear(mem[:fileHeaderSize])
		}
	}
	return f.Sync()
}

// aligned is memory for direct transfers of blocking jobs.
func aligned(n int) (mem []byte, done func()) {
	p := arena.New(int64(arena.SizeFor(n)))
	b := p.Get(n)
	if b == nil {
		panic("segment: the kernel gives no memory")
	}
	return b.Mem[:n], func() {
		p.Release(b)
		_ = p.Close()
	}
}
