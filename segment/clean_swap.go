package segment

import (
	"slices"

	"millrace/internal/invariant"
	"millrace/segment/compact"
)

// A swap goes in four steps: the new segment is whole and durable under names of its own
// (*.cleaned); the book says so, which is its commit point; the log has it in place of
// the old ones; its files take their names. Open does what a crash left of the last two.

// beginSwap starts the commit of a group, unless its sources are not the log's any more.
func (s *Shard) beginSwap(t *cleaning, g *compact.Group) {
	l := t.log
	sources := t.segs[g.From:g.To]
	gone := slices.ContainsFunc(sources, func(x *seg) bool { return x.gone })
	if gone || l.dropped || s.draining {
		gen, base, place := t.out.gen, g.Base, t.place
		s.job(jobClose, nil, func() any {
			return place.in(func() error { return removeCleaned(place.files, place.dir, base, gen) })
		})
		t.stop = true // the next round begins with what is left
		return
	}
	l.clean.swapping = true
	t.next, t.old = g.To, sources
	t.swap = &swapRecord{gen: t.out.gen, seg: recordOf(g, sources)}
	t.out.sums.describe(&t.swap.seg)
	s.writeBook(t, l.clean.dirty, l.clean.plain, t.swap)
}

// writeBook starts the job that commits a swap, or ends a round.
func (s *Shard) writeBook(t *cleaning, dirty int64, plain bool, swap *swapRecord) {
	place, dir, id, tp := t.place, s.o.Dir, s.o.Directory, t.log.TP
	covered := s.covered(t.log)
	t.state = cleanCommitting
	s.job(jobClean, t, func() any {
		return cleaned{err: place.commit(dir, id, tp, swap, func(e *cleanEntry) {
			e.dirty, e.plain = dirty, plain
			e.swaps = slices.DeleteFunc(e.swaps, func(r swapRecord) bool {
				return slices.Contains(covered, r.gen)
			})
			if swap != nil {
				e.swaps = append(e.swaps, *swap)
			}
		})}
	})
}

// recordOf is the new segment as a checkpoint will have it.
func recordOf(g *compact.Group, sources []*seg) segRecord {
	return segRecord{
		base: g.Base, end: g.End, size: g.Size, created: sources[0].created, firstMax: g.First,
		maxTime: g.MaxTime, maxAt: g.MaxAt, lastTime: g.LastTime, offsets: g.Offsets,
		times: g.Times, sealed: true, finished: true, onDisk: true, gaps: true,
	}
}

// covered are the swaps of a log that the book need not keep: a durable checkpoint was
// begun after they were installed, and their files have their names.
func (s *Shard) covered(l *Log) (gens []uint64) {
	w := &s.sw
	l.clean.swaps = slices.DeleteFunc(l.clean.swaps, func(m swapMark) bool {
		whole := w.number > m.sweep+1 || w.number == m.sweep+1 && w.state == sweepIdle
		if m.done && whole {
			gens = append(gens, m.gen)
			return true
		}
		return false
	})
	return gens
}

// bookWritten takes the answer of that job: the swap is a fact.
func (s *Shard) bookWritten(t *cleaning, err error) {
	l := t.log
	switch {
	case err != nil:
		l.clean.swapping = false
		s.roundFailed(t, err)
	case t.swap == nil:
		s.roundDone(t)
	case l.dropped:
		l.clean.swapping = false
		s.endRound()
	default:
		s.install(t)
		s.putFiles(t)
	}
}

// install puts the new segment into the log. Until its files have their names nobody
// opens them; who reads the old ones goes on.
func (s *Shard) install(t *cleaning) {
	l := t.log
	from := slices.Index(l.segs, t.old[0])
	to := from + len(t.old)
	invariant.Check(from >= 0 && to < len(l.segs)+1 && l.segs[to-1] == t.old[len(t.old)-1])
	g := l.segFrom(&t.swap.seg)
	g.gen, g.noted = t.swap.gen, t.old[0].noted // the book has it, if no checkpoint does
	g.preparing, g.loading = true, true
	for _, x := range t.old {
		x.gone = true
		s.forget(x)
	}
	l.replace(from, to, g)
	live, drop := l.tail.live(), 0
	for i, c := range live {
		if c.seg.gone {
			drop = i + 1
		}
	}
	for ; drop > 0; drop-- { // memory must not know what the files do not
		c := l.oldest()
		l.tail.shift()
		s.letGo(c)
	}
	s.advanceFlushed(l)
	t.seg = g
	l.clean.swaps = append(l.clean.swaps, swapMark{gen: t.swap.gen, sweep: s.sw.number})
	s.clean.stats.Swaps++
}

// replace puts one segment in place of l.segs[from:to].
func (l *Log) replace(from, to int, g *seg) {
	for _, x := range l.segs[from:to] {
		l.bytes -= x.size
	}
	l.bytes += g.size
	l.shard.stats.Segments -= to - from - 1
	l.segs = slices.Concat(l.segs[:from], []*seg{g}, l.segs[to:])
}

// segFrom is a segment from its record.
func (l *Log) segFrom(r *segRecord) *seg {
	g := &seg{
		log: l, base: r.base, end: r.end, size: r.size, created: r.created,
		firstMax: r.firstMax, maxTime: r.maxTime, maxAt: r.maxAt, sealed: r.sealed,
		finished: r.finished, onDisk: r.onDisk, gaps: r.gaps, written: r.size,
		alloc: floor(r.size),
	}
	g.index = indexing{since: r.since, offsets: r.offsets, times: r.times,
		lastTime: r.lastTime, offsetSum: r.offsetSum, timeSum: r.timeSum}
	g.sums.restore(g.sealID(), r)
	return g
}

// putFiles starts the job that gives the files their names, when no other job reads the
// old ones by name.
func (s *Shard) putFiles(t *cleaning) {
	t.state = cleanWaiting
	for _, x := range t.old {
		if x.preparing || x.loading || x.trimming {
			return
		}
	}
	if s.now.Mono < s.fullUntil {
		return
	}
	for _, x := range t.old {
		if x.fd.pins == 0 {
			s.closeFile(x)
		}
	}
	var others []int64
	for _, x := range t.old[1:] {
		others = append(others, x.base)
	}
	place, base, gen := t.place, t.swap.seg.base, t.swap.gen
	t.state = cleanPutting
	s.job(jobClean, t, func() any {
		gone, err := place.put(base, gen, others)
		return cleaned{gone: gone, err: err}
	})
}

// filesPut takes that job's answer: the swap is over.
func (s *Shard) filesPut(t *cleaning, res cleaned) {
	l := t.log
	t.gone = append(t.gone, res.gone...)
	if res.err != nil && !l.dropped {
		t.state = cleanWaiting
		s.trouble("swap of "+t.seg.path(endLog), res.err)
		return
	}
	t.seg.preparing, t.seg.loading = false, false
	s.fileReady(t.seg, nil)
	for i := range l.clean.swaps {
		if m := &l.clean.swaps[i]; m.gen == t.swap.gen {
			m.done = true
		}
	}
	l.clean.swapping = false
	s.clean.removal = append(s.clean.removal, replaced{l, t.old, t.gone})
	t.swap, t.seg, t.old, t.gone = nil, nil, nil, nil
	t.state = cleanReady
}

// replaced are files of segments that a swap replaced.
type replaced struct {
	log   *Log
	old   []*seg
	names []string
}

// removeReplaced removes such files that nobody reads any more.
func (s *Shard) removeReplaced() {
	c := &s.clean
	if len(c.removal) == 0 {
		return
	}
	kept := c.removal[:0]
	for _, r := range c.removal {
		if r.log.dropped {
			continue // with its directory
		}
		if slices.ContainsFunc(r.old, func(g *seg) bool { return g.fd.pins > 0 }) {
			kept = append(kept, r)
			continue
		}
		for _, g := range r.old {
			g.removed = true
			s.closeFile(g)
		}
		s.removeLater(r.names...)
	}
	clear(c.removal[len(kept):])
	c.removal = kept
}
