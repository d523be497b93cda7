package segment

import (
	"path/filepath"
	"time"

	"millrace/internal/clock"
	"millrace/internal/invariant"
	"millrace/internal/mutant"
	"millrace/internal/vfs"
)

// keeper enforces retention and rolls idle segments by age; deletes run as jobs.
type keeper struct {
	due     clock.Instant // of the coming walk
	next    clock.Instant // when tend has to be called
	at      int           // log to look at; len(list): the round is over
	running bool
	soon    bool // a configuration changed
	clock   clock.Steady
	wall    int64 // of this round
	removed []*seg
	starts  []*Log // with a new start that is not yet durable
	drops   []*Log // dropped, their directories not yet removed
	jobs    int    // removals that run
}

const (
	// keepEvery is how often retention looks at all logs, as Kafka's
	// log.retention.check.interval.ms would; segments of idle logs roll with it.
	keepEvery = 10 * time.Second
	keepLogs  = 64 // looked at per turn
	// expireProducers is producer.id.expiration.ms.
	expireProducers = 24 * 3600 * 1000
)

// tend does what is due of retention and removals.
func (s *Shard) tend() {
	k := &s.keep
	s.applyStarts()
	if s.clean.cfg == (CleanerConfig{}) {
		s.clean.cfg = DefaultCleaner()
	}
	s.tendRound()
	s.removeReplaced()
	if !k.running && (s.now.Mono >= k.due || k.soon) && !s.draining {
		k.running, k.soon, k.at = true, false, 0
		k.wall = k.clock.Wall(s.now)
	}
	if k.running {
		for n := 0; n < keepLogs && k.at < len(s.list); k.at++ {
			if l := s.list[k.at]; l != nil && l.marks.End > 0 && !s.frozen(l) {
				s.tendLog(l)
				n++
			}
		}
		if k.at >= len(s.list) {
			k.running = false
			s.keepReserve()
			s.choose()
			k.due = s.now.Mono.Add(s.clean.every())
		}
	}
	if s.draining {
		k.due = s.now.Mono.Add(keepEvery)
	}
	k.next = min(k.due, s.roundWake())
	if len(k.removed)+len(k.drops) > 0 && s.sw.state != sweepWriting {
		s.startRemovals()
	}
	s.removeTurn()
}

// tendLog rolls by age and deletes by time and by size.
func (s *Shard) tendLog(l *Log) {
	now := s.keep.wall
	l.producers.Expire(now, expireProducers)
	if g := l.active(); g != nil && !g.sealed && l.aged(g, -1, now) {
		l.seal()
	}
	s.consider(l)
	if !l.cfg.Delete {
		return
	}
	start := l.marks.Start
	left := l.bytes
	for i, g := range l.segs {
		if g.end > l.marks.High || g.size == 0 && !g.sealed {
			break
		}
		old := l.cfg.RetentionMillis >= 0 && now-g.newest() > l.cfg.RetentionMillis
		big := l.cfg.RetentionBytes >= 0 && left-g.size >= l.cfg.RetentionBytes
		if !old && !big {
			break
		}
		if i == len(l.segs)-1 && !g.sealed {
			if !old {
				break // bytes count whole segments only; the active one stays
			}
			l.seal()
		}
		start = g.end
		left -= g.size
	}
	if start > l.marks.Start {
		s.SetStart(l, start)
	}
}

// newest is the time retention counts from: that of the records, or of writing when
// they have none.
func (g *seg) newest() int64 {
	if g.maxTime >= 0 {
		return g.maxTime
	}
	return g.created
}

// SetStart moves the log's start: DeleteRecords, or retention. Whole segments below
// it are deleted.
func (s *Shard) SetStart(l *Log, offset int64) Seq {
	offset = min(offset, l.marks.High)
	if offset <= l.marks.Start {
		return s.st.durable
	}
	invariant.Check(!s.frozen(l))
	h := entryHeader{kind: kindStart, tp: l.TP, offset: offset, moves: uint16(l.moves)}
	seq := s.st.durable
	if !mutant.UnloggedStart {
		seq = s.stage(l, &h, nil, l.tail.end, 0)
	}
	l.setStart(offset)
	if l.startSeq == 0 {
		s.keep.starts = append(s.keep.starts, l)
	}
	l.startSeq = seq
	return seq
}

// setStart moves the marks; segments stay until the entry that says so is durable.
func (l *Log) setStart(offset int64) {
	l.marks.Start = max(l.marks.Start, offset)
	l.marks.Stable = max(l.marks.Stable, l.marks.Start)
	l.epochs.TruncateStart(l.marks.Start)
}

// applyStarts drops the segments below starts that are durable now: before that a
// power loss would bring them back.
func (s *Shard) applyStarts() {
	k := &s.keep
	if len(k.starts) == 0 {
		return
	}
	kept := k.starts[:0]
	for _, l := range k.starts {
		if l.dropped {
			continue
		}
		if l.startSeq > s.st.durable && !mutant.RemoveEarly || l.clean.swapping {
			kept = append(kept, l)
			continue
		}
		l.startSeq = 0
		s.dropSegments(l)
	}
	clear(k.starts[len(kept):])
	k.starts = kept
}

// startAt moves the start without a journal entry (replay).
func (l *Log) startAt(offset int64) {
	l.setStart(offset)
	l.shard.dropSegments(l)
}

// dropSegments takes the segments below the start out of the log.
func (s *Shard) dropSegments(l *Log) {
	n := 0
	for n < len(l.segs) && l.segs[n].end <= l.marks.Start && l.segs[n].end > l.segs[n].base {
		if n == len(l.segs)-1 && !l.segs[n].sealed {
			break // the active one stays, as Kafka keeps it
		}
		n++
	}
	if n == 0 {
		return
	}
	for _, g := range l.segs[:n] {
		g.gone = true
		s.sw.again = s.sw.again || g.written < g.size // it was, or will be, noted as written
		l.bytes -= g.size
		s.stats.Segments--
		s.forget(g)
		s.keep.removed = append(s.keep.removed, g)
	}
	l.segs = append([]*seg(nil), l.segs[n:]...)
	for c := l.oldest(); c != nil && c.seg.gone; c = l.oldest() {
		l.tail.shift()
		s.letGo(c)
	}
	s.advanceFlushed(l)
}

func (l *Log) oldest() *chunk {
	if live := l.tail.live(); len(live) > 0 {
		return live[0]
	}
	return nil
}

// letGo frees a chunk that is no longer in a tail; one in flight is freed by its
// completion.
func (s *Shard) letGo(c *chunk) {
	if c.cached {
		s.uncache(c)
	}
	if c.flying == 0 {
		s.freeChunk(c)
		return
	}
	c.orphan = true
}

// startRemovals starts the jobs that delete files nobody uses any more.
func (s *Shard) startRemovals() {
	k := &s.keep
	var gone []syncItem
	kept := k.removed[:0]
	for _, g := range k.removed {
		if g.fd.pins > 0 || g.preparing || g.loading || g.log.dropped {
			if !g.log.dropped {
				kept = append(kept, g)
			}
			continue
		}
		s.closeFile(g)
		g.removed = true
		if !g.onDisk {
			continue
		}
		gone = append(gone, syncItem{dir: g.log.dir(), id: g.log.TP.Topic, base: g.base})
	}
	if len(gone) > 0 {
		sh, files, journals := s.shared, s.o.FS, s.o.journalDir()
		weak := s.o.Durability == Write // what moved the start is not durable yet
		budget := s.removable()
		k.jobs++
		s.job(jobRemove, nil, func() any {
			if weak && !mutant.WeakRemove {
				if err := files.SyncFS(journals); err != nil {
					return removal{err: err}
				}
			}
			return removeSegments(sh, files, gone, budget)
		})
	}
	clear(k.removed[len(kept):])
	k.removed = kept
	drops := k.drops[:0]
	for _, l := range k.drops {
		if l.busy() {
			drops = append(drops, l)
			continue
		}
		for _, g := range l.segs {
			s.closeFile(g)
		}
		sh, files, dir, id := s.shared, s.o.FS, l.dir(), l.TP.Topic
		budget := s.removable()
		k.jobs++
		s.job(jobRemove, nil, func() any {
			return removePartition(sh, files, dir, id.String(), budget)
		})
	}
	clear(k.drops[len(drops):])
	k.drops = drops
}

// busy says whether something in flight still names the log's files.
func (l *Log) busy() bool {
	for _, g := range l.segs {
		if g.fd.pins > 0 || g.preparing || g.loading {
			return true
		}
	}
	return false
}

// removeSegments renames first, so that a crash between leaves no half segment.
func removeSegments(sh *shared, files vfs.FS, gone []syncItem, b removeBudget) removal {
	paths, err := renameDeleted(sh, files, gone)
	if err != nil {
		return removal{paths, err}
	}
	left, err := removeSome(files, paths, b)
	return removal{left, err}
}

// removePartition removes a dropped topic's directory, if it is still that topic's:
// one of the same name may have taken its place.
func removePartition(sh *shared, files vfs.FS, dir, id string, b removeBudget) removal {
	gone := dir + "." + id + deletedDir
	if err := moveAway(sh, files, dir, id, gone); err != nil {
		return removal{err: err}
	}
	left, err := removeSome(files, []string{gone}, b)
	return removal{left, err}
}

func moveAway(sh *shared, files vfs.FS, dir, id, gone string) error {
	lock := sh.dir(dir)
	lock.Lock()
	defer lock.Unlock()
	have, ok, err := readMetadata(files, dir)
	if err != nil || !ok || have.String() != id {
		return err
	}
	if err := files.RemoveAll(gone); err != nil {
		return err
	}
	if err := files.Rename(dir, gone); err != nil {
		return err
	}
	return files.SyncDir(filepath.Dir(dir))
}

// Drop forgets a deleted topic's log; a helper removes its files.
func (s *Shard) Drop(l *Log) {
	h := entryHeader{kind: kindDrop, tp: l.TP, moves: uint16(l.moves)}
	s.stage(l, &h, nil, l.tail.end, 0)
	s.shared.drop(l.TP.Topic)
	s.shared.countRoot(l.root, -1)
	s.leave(l)
	s.keep.drops = append(s.keep.drops, l)
}

// leave takes a log out of the shard, with its memory. What is in flight of it ends without it.
func (s *Shard) leave(l *Log) {
	l.dropped = true
	delete(s.logs, l.TP)
	s.list[l.slot] = nil
	s.stats.Logs--
	s.stats.Segments -= len(l.segs)
	if l.swept {
		l.swept = false
		s.sw.waiting--
	}
	for c := l.oldest(); c != nil; c = l.oldest() {
		l.tail.shift()
		s.letGo(c)
	}
	for _, g := range l.segs {
		g.gone = true
		s.forget(g)
	}
	s.compactList()
}

// compactList closes the holes that dropped logs left, between two walks.
func (s *Shard) compactList() {
	s.holes++
	if s.holes < 64 || 2*s.holes < len(s.list) || s.sw.state == sweepWalking || s.keep.running {
		return
	}
	n := 0
	for _, l := range s.list {
		if l != nil {
			s.list[n], l.slot = l, n
			n++
		}
	}
	clear(s.list[n:])
	s.list, s.holes = s.list[:n], 0
}
