package segment

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"millrace/internal/invariant"
	"millrace/protocol"
)

// A log goes from one core to another in steps that the engine drives:
//
//	BeginMove   its bytes are written while it is appended to as ever, and the shard waits
//	            for a moment without a sweep: then it is MoveReady, and none begins.
//	FreezeMove  nothing is appended from now on. What is in flight ends, and one job makes
//	            durable: its segments, their indexes, and then, in the book of moves, its
//	            record as one of the other core. That is the commit point: MoveDone.
//	TakeMoved   this shard forgets the log, Adopt of the other makes it from the record.
//
// Before the commit point it can be called off (CancelMove). A crash at any point leaves it
// with one of the two: recovery believes the record with the most moves, and journal entries
// of fewer moves are those of a core that had it before.

// MoveStage is how far the shard's move has come.
type MoveStage uint8

const (
	MoveNone MoveStage = iota
	MoveFlushing
	MoveReady
	MoveSettling // frozen
	MoveWriting
	MoveDone   // it belongs to the other core
	MoveFailed // it does not, and stays
)

// moving is the move out of a shard: one at a time.
type moving struct {
	log   *Log
	to    int
	stage MoveStage
	news  bool // the engine has yet to see the stage
	last  Seq  // staged when it was frozen
	rec   logRecord
}

// moveBehind is how many bytes a log that is still appended to may have that are in no file
// yet: the rest is written when it is frozen.
const moveBehind = 256 << 10

func (m *moving) enter(stage MoveStage) { m.stage, m.news = stage, true }

// holdsSweeps says that no sweep may begin: its job would change the log's files.
func (m *moving) holdsSweeps() bool { return m.stage >= MoveReady && m.stage <= MoveDone }

// frozen says that nothing may change in the log.
func (s *Shard) frozen(l *Log) bool {
	return s.move.log == l && s.move.stage >= MoveSettling && s.move.stage <= MoveDone
}

// BeginMove begins to bring a log to another core. False: another move is on its way.
func (s *Shard) BeginMove(l *Log, to int) bool {
	invariant.Check(l.shard == s && !l.dropped && to != s.core && to < s.cores)
	if s.move.log != nil || s.draining || s.err != nil {
		return false
	}
	s.move = moving{log: l, to: to}
	s.move.enter(MoveFlushing)
	return true
}

// FreezeMove ends appends to a log that is MoveReady. All that was appended is answered.
func (s *Shard) FreezeMove() {
	invariant.Check(s.move.stage == MoveReady)
	s.move.last = s.st.seq
	s.move.enter(MoveSettling)
}

// MoveStage is how far the move has come; a call shows that it is known.
func (s *Shard) MoveStage() MoveStage {
	s.move.news = false
	return s.move.stage
}

// CancelMove leaves the log where it is. False: it is too late for that.
func (s *Shard) CancelMove() bool {
	if s.move.stage == MoveWriting || s.move.stage == MoveDone {
		return false
	}
	l := s.move.log
	s.move = moving{}
	if l != nil && !l.dropped {
		s.keep.soon = true // retention has left it out
	}
	return true
}

// moveTurn moves a move on.
func (s *Shard) moveTurn() {
	m := &s.move
	switch m.stage {
	case MoveFlushing, MoveReady, MoveSettling:
	default:
		return
	}
	l := m.log
	if l.dropped || s.draining {
		m.enter(MoveFailed)
		return
	}
	switch m.stage {
	case MoveFlushing:
		if l.tail.end-l.flushedAbs > moveBehind {
			s.flushTo(l, l.tail.end)
		} else if s.stopsCleaning(l) && s.sw.state == sweepIdle {
			m.enter(MoveReady)
		}
	case MoveSettling:
		if s.settled(l) {
			s.writeMove()
		}
	}
}

// stopsCleaning ends a compaction of the log, and says whether there is none.
func (s *Shard) stopsCleaning(l *Log) bool {
	if t := s.clean.now; t != nil && t.log == l {
		t.stop = true
		return false
	}
	return !l.clean.swapping
}

// settled says that nothing is in flight of a frozen log, and all its whole blocks are in
// files.
func (s *Shard) settled(l *Log) bool {
	k := &s.keep
	ours := func(g *seg) bool { return g.log == l }
	switch {
	case s.st.durable < s.move.last, s.sw.state != sweepIdle, !s.stopsCleaning(l),
		slices.Contains(k.starts, l), slices.ContainsFunc(k.removed, ours),
		slices.ContainsFunc(s.clean.removal, func(r replaced) bool { return r.log == l }):
		return false
	}
	invariant.Check(l.queued == 0)
	if c := l.tail.last(); c != nil && l.flushedAbs < c.abs+int64(c.ready()) {
		s.flushTo(l, l.tail.end)
		return false
	}
	for _, c := range l.tail.live() {
		if c.flying > 0 {
			return false
		}
	}
	return !l.busy() && !s.isRead(l)
}

// isRead says that a reading or a search of the log is on its way.
func (s *Shard) isRead(l *Log) bool {
	ours := func(r *reading) bool { return r.log == l }
	if slices.ContainsFunc(s.rd.queue, ours) || slices.ContainsFunc(s.rd.indexing, ours) {
		return true
	}
	for _, g := range l.segs {
		for _, st := range g.cold {
			if st.filling || st.users > 0 || len(st.waiting) > 0 {
				return true
			}
		}
	}
	for i := range s.jobs {
		if f, ok := s.jobs[i].arg.(*finding); ok && f.log == l {
			return true
		}
	}
	return false
}

// moveResult is what the job of a move answers.
type moveResult struct {
	err  error
	void bool // it is certain that the book does not have it
}

// writeMove starts the job that makes the log durable as one of the other core.
func (s *Shard) writeMove() {
	m, l := &s.move, s.move.log
	var w sweep // of this log alone; its number 0 says that no checkpoint of ours holds it
	s.takeDown(&w, l)
	m.rec = w.rec
	m.rec.journal, m.rec.seq = makeJournalID(s.boot, m.to), 0
	m.rec.moves++
	t := &checkpointTask{
		weak: s.o.Durability == Write, workers: s.o.workers(checkpointWriters), sh: s.shared,
		fs: s.o.FS, dir: s.o.Dir, place: s.o.journalDir(), roots: s.o.roots(), index: w.index,
	}
	for _, g := range s.fl.dirty {
		if g.log != l || g.removed || !g.onDisk {
			continue
		}
		item := syncItem{dir: l.dir(), id: l.TP.Topic, base: g.base, truncate: -1}
		if g.sealed && !g.finished {
			item.truncate = g.size
		}
		t.sync = append(t.sync, item)
	}
	for _, g := range s.fl.fresh {
		if g.log == l && !g.removed {
			t.dirs = append(t.dirs, l.dir())
		}
	}
	m.enter(MoveWriting)
	sh, files, dir, id, rec := s.shared, s.o.FS, s.o.Dir, s.o.Directory, &m.rec
	s.job(jobMove, nil, func() any {
		if err := t.all(); err != nil {
			return moveResult{err, true}
		}
		void, err := sh.moves.put(files, dir, id, sh, rec)
		return moveResult{err, void}
	})
}

// moveWritten takes that job's answer.
func (s *Shard) moveWritten(r moveResult) {
	m := &s.move
	switch {
	case r.err == nil && !m.log.dropped:
		m.enter(MoveDone)
		return
	case r.err != nil && r.void && m.log.dropped && (noSpace(r.err) || errors.Is(r.err, fs.ErrNotExist)):
	case r.err != nil && r.void:
		s.trouble("move to another core", r.err)
	case r.err != nil: // the next start decides whose it is
		s.fail("move to another core", r.err)
	}
	m.enter(MoveFailed)
}

// Parcel is a log on its way to another core.
type Parcel struct {
	TP    protocol.TopicPartition
	Topic string
	rec   logRecord
	root  string
	clean logClean
}

// TakeMoved ends a move that is MoveDone: this shard has the log no more.
func (s *Shard) TakeMoved() *Parcel {
	m, l := &s.move, s.move.log
	invariant.Check(m.stage == MoveDone)
	p := &Parcel{TP: l.TP, Topic: l.Topic, rec: m.rec, root: l.root, clean: l.clean}
	s.leave(l)
	for _, g := range l.segs {
		s.closeFile(g)
	}
	s.move = moving{}
	return p
}

// MayAdopt says whether there is memory for what a log keeps in memory.
func (s *Shard) MayAdopt() bool { return s.memoryFor(minChunk, true) }

// Adopt takes a log over that was another core's. MayAdopt has said yes.
func (s *Shard) Adopt(p *Parcel, cfg LogConfig) *Log {
	invariant.Checkf(s.logs[p.TP] == nil, "segment: %s-%d is here already", p.Topic, p.TP.Partition)
	l := &Log{TP: p.TP, Topic: p.Topic, shard: s, cfg: cfg, slot: len(s.list), root: p.root}
	s.logs[p.TP] = l
	s.list = append(s.list, l)
	s.stats.Logs++
	rule := l.restore(&p.rec)
	invariant.Checkf(rule == "", "segment: %s-%d came with wrong %s", p.Topic, p.TP.Partition, rule)
	l.atEnd()
	l.clean = p.clean
	for i := range l.clean.swaps {
		l.clean.swaps[i].sweep = s.sw.number
	}
	s.shared.moves.arrived(p.TP, s.core, s.sw.number)
	return l
}

// atEnd: all of the log is durable.
func (l *Log) atEnd() {
	m := &l.marks
	m.Stable, m.High, m.Written, m.Durable = m.End, m.End, m.End, m.End
	l.highAbs = l.tail.end
}

func (st MoveStage) String() string {
	names := [...]string{"none", "flushing", "ready", "settling", "writing", "done", "failed"}
	if int(st) < len(names) {
		return names[st]
	}
	return fmt.Sprint(uint8(st))
}
