package segment

import (
	"hash/crc32"

	"millrace/internal/arena"
	"millrace/internal/clock"
	"millrace/internal/invariant"
	"millrace/internal/mutant"
)

// group is what one journal write carries: a commit header and entries.
type group struct {
	buf     *arena.Buf
	mem     []byte // of buf
	n       int    // bytes used, header included; 0: not begun
	room    int    // bytes it may use: the buffer, or what is left of the file
	entries uint32
	crc     uint32 // of the entries so far, but for batches
	last    Seq    // last entry that is whole with this group
	touched []touch
	number  uint64

	// Large batches are not copied: the write gathers the tail's own blocks.
	pieces []piece          // behind what was staged, in the order of their entries
	placed int              // bytes of them
	border int              // from here on mem holds last blocks, which the tail still fills
	first  [batchFirst]byte // of the batch being placed
}

// piece is memory that a journal write gathers.
type piece struct {
	buf *arena.Buf // held for the write; nil: of the group's own memory
	mem []byte
}

// maxPieces of one write, with what was staged (IOV_MAX).
const maxPieces = 1024

// place puts a batch that lies at abs of the log's tail behind the entries. The last
// block is copied, so that nothing in flight ever changes. False: it does not fit.
func (g *group) place(l *Log, h *entryHeader, abs int64) bool {
	at, run := h.run()
	if int64(g.room-g.n) < entryHeaderSize+run {
		return false
	}
	live := l.tail.live()
	i := chunkOf(live, abs)
	end := abs + int64(h.total)
	if last := chunkOf(live, end-1); len(g.pieces)+last-i+3 > maxPieces {
		return false
	}
	invariant.Check((abs-live[i].abs)%block == at) // I8
	for ; abs < end; i++ {
		c := live[i]
		from, to := abs-c.abs, min(end-c.abs, int64(c.n))
		whole := floor(to)
		if from = floor(from); from < whole {
			c.buf.Hold()
			g.pieces = append(g.pieces, piece{c.buf, c.mem[from:whole]})
		}
		if whole < to {
			g.border -= block
			b := g.mem[g.border : g.border+block]
			clear(b[copy(b, c.mem[whole:to]):])
			g.pieces = append(g.pieces, piece{nil, b})
		}
		abs = c.abs + to
	}
	g.placed += int(run)
	g.room -= int(run)
	l.tail.read(end-int64(h.total), g.first[:])
	h.flags, h.from, h.length = flagFirst|flagPlaced, 0, h.total
	putEntryHeader(g.mem[g.n:], h, g.first[:])
	g.add(0, true)
	return true
}

// letGo gives the held pieces back.
func (g *group) letGo(p *arena.Pool) {
	for i := range g.pieces {
		if buf := g.pieces[i].buf; buf != nil {
			p.Release(buf)
		}
		g.pieces[i] = piece{}
	}
	g.pieces = g.pieces[:0]
}

// add takes an entry that was put behind the last one: a header and n bytes. summed:
// the bytes have no CRC of their own.
func (g *group) add(n int, summed bool) {
	end := g.n + entryHeaderSize
	if summed {
		end += n
	}
	g.crc = crc32.Update(g.crc, castagnoli, g.mem[g.n:end])
	g.n += entryHeaderSize + n
}

// touch is the new end of a log that a commit makes durable.
type touch struct {
	log *Log
	end int64 // offset
	abs int64
}

// pending is an entry that did not fit the group: its payload waits in the tail.
type pending struct {
	log  *Log // nil: dropped meanwhile
	h    entryHeader
	abs  int64 // of the payload in the log's tail
	end  int64 // log end offset once it is durable
	seq  Seq
	done uint32 // payload bytes staged
	void bool   // truncated meanwhile: its payload is gone
}

// stager gathers entries into groups and groups into commits.
type stager struct {
	gather  *group
	flying  *group // nil: no write in flight
	spare   *group
	queue   []pending // from qhead on
	qhead   int
	backlog int64  // payload bytes in queue
	seq     Seq    // last staged
	durable Seq    // last durable
	number  uint64 // groups begun
	commits uint64 // sequence of the last commit

	off     int64 // of flying in its file
	written int   // bytes of flying that are in the file
	padded  int   // bytes of flying to write, with what it gathers
	vec     [][]byte
	syncing bool // flying is written, its sync is due or in flight

	issued clock.Instant // when the last commit was sent off
	ended  bool          // it is durable: the next turn tells how long it took
}

// minRoom is the least that a commit is begun for: header, entry header and some.
const minRoom = 2 * block

// begin makes the gathering group ready to take entries; false: no journal space.
func (s *Shard) begin() bool {
	g := s.st.gather
	if g.n > 0 {
		return true
	}
	if s.j.cur == nil || s.j.cur.left() < minRoom {
		if !s.nextFile() {
			return false
		}
	}
	left := s.j.cur.left()
	if s.st.flying != nil && s.j.flyingIn == s.j.cur {
		invariant.Check(s.j.cur.pos == s.st.off+int64(s.st.padded))
	}
	s.st.number++
	g.number = s.st.number
	g.room = int(min(int64(len(g.mem)), left))
	g.n, g.placed, g.border = commitHeaderSize, 0, len(g.mem)
	g.entries, g.crc, g.touched = 0, 0, g.touched[:0]
	return true
}

// stage takes one entry. Its payload is b, which lies at abs of the log's tail.
//
//hot:noalloc
func (s *Shard) stage(l *Log, h *entryHeader, b []byte, abs, end int64) Seq {
	st := &s.st
	st.seq++
	h.total, h.seq = uint32(len(b)), st.seq
	if st.qhead == len(st.queue) && s.begin() && s.stageWhole(l, h, b, abs) {
		s.wholeEntry(st.gather, l, st.seq, end, abs+int64(len(b)))
		return st.seq
	}
	st.backlog += int64(len(b))
	l.queued++
	st.push(pending{log: l, h: *h, abs: abs, end: end, seq: st.seq})
	s.pump()
	return st.seq
}

// stageWhole puts an entry into the gathering group. False: it does not fit.
func (s *Shard) stageWhole(l *Log, h *entryHeader, b []byte, abs int64) bool {
	g := s.st.gather
	if h.kind == kindAppend && len(b) >= s.o.PlaceMin && g.place(l, h, abs) {
		return true
	}
	if g.room-g.n < entryHeaderSize+len(b) {
		return false
	}
	h.flags, h.from, h.length = flagFirst, 0, h.total
	putEntryHeader(g.mem[g.n:], h, b[:min(len(b), batchFirst)])
	copy(g.mem[g.n+entryHeaderSize:], b)
	g.add(len(b), !h.whole())
	return true
}

func (st *stager) push(p pending) {
	if len(st.queue) == cap(st.queue) && st.qhead > 0 {
		n := copy(st.queue, st.queue[st.qhead:])
		clear(st.queue[n:])
		st.queue, st.qhead = st.queue[:n], 0
	}
	st.queue = append(st.queue, p)
}

// wholeEntry notes that the last fragment of an entry is in g.
func (s *Shard) wholeEntry(g *group, l *Log, seq Seq, end, abs int64) {
	g.entries++
	g.last = seq
	if l.dropped {
		return
	}
	l.stagedAbs = max(l.stagedAbs, abs)
	if l.touchGroup == g.number && int(l.touchAt) < len(g.touched) {
		t := &g.touched[l.touchAt]
		t.end, t.abs = max(t.end, end), max(t.abs, abs)
		return
	}
	l.touchGroup, l.touchAt = g.number, int32(len(g.touched))
	g.touched = append(g.touched, touch{l, end, abs})
}

// pump moves waiting entries into the gathering group, in fragments where they are
// larger than what is left of it.
func (s *Shard) pump() {
	st := &s.st
	for st.qhead < len(st.queue) && s.begin() {
		p := &st.queue[st.qhead]
		g := st.gather
		left := p.h.total - p.done
		room := g.room - g.n - entryHeaderSize
		if room < 0 || room == 0 && left > 0 {
			return
		}
		if p.log.dropped || p.void {
			st.backlog -= int64(left) // nobody waits for it; its sequence still counts
			g.last = p.seq
			g.entries++
			p.h = entryHeader{kind: kindDrop, tp: p.log.TP, flags: flagFirst, seq: p.seq}
			putEntryHeader(g.mem[g.n:], &p.h, nil)
			g.add(0, true)
			st.pop()
			continue
		}
		if p.h.kind == kindAppend && p.done == 0 && int(left) >= s.o.PlaceMin {
			if g.place(p.log, &p.h, p.abs) {
				st.backlog -= int64(left)
				s.wholeEntry(g, p.log, p.seq, p.end, p.abs+int64(left))
				st.pop()
				continue
			}
			if g.entries > 0 && int(left) <= len(g.mem)/2 {
				return // into the next group, whole
			}
		}
		k := min(left, uint32(room))
		p.h.from, p.h.length, p.h.flags = p.done, k, 0
		if p.done == 0 {
			p.h.flags |= flagFirst
		}
		if k < left {
			p.h.flags |= flagMore
		}
		payload := g.mem[g.n+entryHeaderSize:][:k]
		if k > 0 { // else the tail may have been cut since
			p.log.tail.read(p.abs+int64(p.done), payload)
		}
		var first []byte
		if p.h.whole() {
			first = payload[:batchFirst]
		}
		putEntryHeader(g.mem[g.n:], &p.h, first)
		g.add(int(k), !p.h.whole())
		p.done += k
		st.backlog -= int64(k)
		if k < left {
			g.entries++
			return
		}
		s.wholeEntry(g, p.log, p.seq, p.end, p.abs+int64(p.h.total))
		st.pop()
	}
}

func (st *stager) pop() {
	st.queue[st.qhead].log.queued--
	st.queue[st.qhead] = pending{}
	st.qhead++
	if st.qhead == len(st.queue) {
		st.queue, st.qhead = st.queue[:0], 0
	}
}

// commit sends the gathered group off, if none is in flight.
func (s *Shard) commit(out *Effects) {
	st := &s.st
	if st.flying != nil {
		s.commitAgain(out)
		return
	}
	s.pump()
	g := st.gather
	if g.n == 0 || g.entries == 0 {
		return
	}
	f := s.j.cur
	st.commits++
	putCommitHeader(g.mem[:g.n], s.o.Directory, &commitHeader{
		mode: s.o.Durability, journal: s.id, sequence: st.commits,
		entries: g.entries, cores: uint16(s.cores), body: g.crc, placed: uint32(g.placed / block),
	})
	staged := int(ceil(int64(g.n)))
	clear(g.mem[g.n:staged])
	st.padded = staged + g.placed
	st.flying, st.gather = g, st.spare
	st.spare = nil
	st.off, st.written, st.syncing = f.pos, 0, false
	s.j.flyingIn = f
	f.pos += int64(st.padded)
	f.lastSeq = st.commits
	s.stats.Commits++
	s.stats.CommitBytes += uint64(st.padded)
	s.shared.written.Add(uint64(st.padded))
	s.stats.CommitSize.Observe(int64(st.padded))
	st.issued = s.now.Mono
	if s.steps.begin(); s.syncsCommits() && s.steps.inTwo() {
		s.stats.TwoSteps++
	}
	s.writeCommit(out)
	if mutant.AckEarly || mutant.HighEarly {
		s.promise(g)
	}
	s.pump()
}

// commitAgain goes on with a write that was short, or with its sync.
func (s *Shard) commitAgain(out *Effects) {
	st := &s.st
	switch {
	case !s.j.resume:
	case st.syncing:
		s.j.resume = false
		id := s.newOp(op{kind: opCommitSync})
		out.IO = append(out.IO, IO{ID: id, Kind: IOSync, Fd: s.j.flyingIn.f.Fd()})
	default:
		s.writeCommit(out)
	}
}

func (s *Shard) writeCommit(out *Effects) {
	st := &s.st
	s.j.resume = false
	from := int(floor(int64(st.written))) // O_DIRECT takes whole blocks only
	id := s.newOp(op{kind: opCommit, n: int32(from)})
	io := IO{
		ID: id, Kind: IOWrite, Fd: s.j.flyingIn.f.Fd(), Off: st.off + int64(from),
		Dsync: s.syncsCommits() && !s.steps.inTwo(),
	}
	if g := st.flying; g.placed == 0 {
		io.Mem = g.mem[from:st.padded]
	} else {
		io.Vec = st.gatherFrom(from)
	}
	out.IO = append(out.IO, io)
}

// gatherFrom is what is to be written of the flying group from byte from on.
func (st *stager) gatherFrom(from int) [][]byte {
	g := st.flying
	v := st.vec[:0]
	staged := st.padded - g.placed
	if from < staged {
		v = append(v, g.mem[from:staged])
	}
	at := staged
	for _, p := range g.pieces {
		if end := at + len(p.mem); end > from {
			v = append(v, p.mem[max(from-at, 0):])
		}
		at += len(p.mem)
	}
	invariant.Check(at == st.padded)
	st.vec = v
	return v
}

// commitWritten is the completion of a journal write that began at from.
func (s *Shard) commitWritten(from, res int32) {
	st := &s.st
	switch {
	case again(res):
		s.j.resume = true
		return
	case res <= 0:
		s.latch("journal write", s.j.flyingIn.name, res)
		return
	}
	st.written = int(from + res)
	if st.written < st.padded && !mutant.ShortIsWhole {
		s.j.resume = true // short: go on where it stopped
		return
	}
	for _, t := range st.flying.touched {
		if !t.log.dropped {
			t.log.marks.Written = max(t.log.marks.Written, t.end)
		}
	}
	if s.syncsCommits() && s.steps.inTwo() {
		st.syncing, s.j.resume = true, true
		return
	}
	s.committed()
}

// syncsCommits: an acknowledgement waits for the device's cache to be flushed.
func (s *Shard) syncsCommits() bool { return syncCommits && s.o.Durability == Fsync }

func (s *Shard) commitSynced(res int32) {
	switch {
	case again(res), mutant.RetrySync && res < 0:
		s.j.resume = true
	case res < 0:
		s.latch("journal sync", s.j.flyingIn.name, res)
	default:
		s.committed()
	}
}

// committed ends a commit: what it carries is promised.
func (s *Shard) committed() {
	st := &s.st
	g := st.flying
	s.promise(g)
	clear(g.touched)
	g.n, g.entries = 0, 0
	g.letGo(s.pool)
	st.spare, st.flying, st.ended = g, nil, true
	s.j.flyingIn = nil
	s.pump()
}

// promise moves the marks of every log in the commit (I3).
func (s *Shard) promise(g *group) {
	st := &s.st
	if g.last > st.durable && !(mutant.HighEarly && st.written < st.padded) {
		st.durable = g.last
	}
	for i := range g.touched {
		t := &g.touched[i]
		l := t.log
		if l.dropped {
			continue
		}
		m := &l.marks
		m.Written, m.Durable = max(m.Written, t.end), max(m.Durable, t.end)
		if t.end > m.High {
			m.High, m.Stable = t.end, t.end
			l.highAbs = t.abs
			if !l.advanced {
				l.advanced = true
				s.advanced = append(s.advanced, l)
			}
		}
	}
}
