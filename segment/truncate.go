package segment

import "millrace/internal/invariant"

// Truncate cuts the log back to offset to, which is at or above High: a follower
// does so when its leader knows better. The batches to cut must still be in the
// tail (what is above High is recent); bytes below to are not touched.
func (s *Shard) Truncate(l *Log, to int64, epoch int32) Seq {
	invariant.Check(to >= l.marks.High)
	if to >= l.marks.End {
		return s.st.durable
	}
	h := entryHeader{kind: kindTruncate, tp: l.TP, offset: to, epoch: epoch, moves: uint16(l.moves)}
	seq := s.stage(l, &h, nil, l.tail.end, 0)
	s.forgetAbove(l, to)
	l.cut(to)
	return seq
}

// forgetAbove keeps commits in flight from moving marks above to.
func (s *Shard) forgetAbove(l *Log, to int64) {
	for _, g := range []*group{s.st.flying, s.st.gather} {
		if g == nil {
			continue
		}
		for i := range g.touched {
			if t := &g.touched[i]; t.log == l && t.end > to {
				t.end = to
			}
		}
	}
	for i := s.st.qhead; i < len(s.st.queue); i++ {
		if p := &s.st.queue[i]; p.log == l && p.end > to {
			p.end, p.void = to, p.void || p.h.kind == kindAppend
		}
	}
	l.touchGroup = 0 // what is appended next is another touch
}

// cut drops the batches at and above to from the tail and seals the segment there,
// so that no byte of the file is written twice with different content.
func (l *Log) cut(to int64) {
	if to >= l.marks.End {
		return
	}
	abs, ok := l.tail.find(to)
	invariant.Checkf(ok, "segment: %s-%d: truncation to %d below the tail", l.Topic,
		l.TP.Partition, to)
	s := l.shard
	t := &l.tail
	for c := t.last(); c != nil && c.abs >= abs; c = t.last() {
		t.chunks[len(t.chunks)-1] = nil
		t.chunks = t.chunks[:len(t.chunks)-1]
		s.letGo(c)
	}
	var g *seg
	var pos int64
	if c := t.last(); c != nil {
		c.once = max(c.once, c.n)
		c.n = min(c.n, int(abs-c.abs))
		c.flushed = min(c.flushed, c.n)
		for k := len(c.marks); k > 0 && int(c.marks[k-1].at) >= c.n; k-- {
			c.marks = c.marks[:k-1]
		}
		g, pos = c.seg, c.pos+int64(c.n)
	}
	t.end = abs
	l.flushedAbs, l.goalAbs = min(l.flushedAbs, abs), min(l.goalAbs, abs)
	l.stagedAbs = min(l.stagedAbs, abs)
	for k := len(l.segs); k > 0 && l.segs[k-1].base >= to; k-- {
		x := l.segs[k-1]
		x.gone = true
		s.forget(x)
		l.bytes -= x.size
		s.keep.removed = append(s.keep.removed, x)
		l.segs = l.segs[:k-1]
	}
	if last := l.active(); last != nil && last == g && pos < last.size {
		last.cutTo(to, pos)
		l.seal()
	}
	l.marks.End = to
	l.marks.Written = min(l.marks.Written, to)
	l.producers.TruncateTo(to)
	l.epochs.TruncateEnd(to)
}

// cutTo shortens a segment. Its times may then be higher than those of its records:
// searches by time only look longer, retention only keeps longer.
func (g *seg) cutTo(to, pos int64) {
	g.log.bytes -= g.size - pos
	g.size, g.end = pos, to
	g.written = min(g.written, pos)
	g.sums.cutTo(pos)
	x := &g.index
	for k := len(x.fresh); k > 0 && x.fresh[k-1].offset >= to; k-- {
		x.fresh = x.fresh[:k-1]
	}
	for k := len(x.freshT); k > 0 && x.freshT[k-1].offset >= to; k-- {
		x.freshT = x.freshT[:k-1]
	}
}
