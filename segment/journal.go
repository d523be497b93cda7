package segment

import (
	"path/filepath"
	"slices"

	"millrace/internal/arena"
	"millrace/internal/clock"
	"millrace/internal/invariant"
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
	mk       maker
	retryAt  clock.Instant // of making, after no space
	want     int64         // the largest request that had to wait for room
	minted   uint64        // journal files numbered by this shard
}

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

func journalDir(dir string) string { return filepath.Join(dir, "journal") }

// journalDir is where the journal files are; the mark of openings stays with the data.
func (o *Options) journalDir() string {
	if o.JournalDir != "" {
		return o.JournalDir
	}
	return journalDir(o.Dir)
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
