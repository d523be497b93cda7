package engine

import (
	"millrace/protocol"
	"millrace/segment"
)

// pinnedPiece is how large answers may get while readers hold much of the hot tail:
// consumers that stall must not hold memory.
const pinnedPiece = 16 << 10

// serve reads a share on the core that owns its partitions.
//
//hot:noalloc
func (b *fetchBook) serve(c *Core, s *fetchShare) {
	b.unpin(c, s)
	s.use++
	s.notified, s.thirsty, s.moved = false, false, false
	left := s.maxBytes
	first := true
	switch pins := c.pinMax(); {
	case b.pinned >= pins:
		left, first, s.thirsty = 0, false, true
	case b.pinned >= pins/2:
		left = min(left, pinnedPiece)
	}
	for i := range s.reads {
		r := &s.reads[i]
		most := min(left, r.max)
		b.readOne(c, s, i, most, first)
		if r.cold {
			left -= most // what it may bring
		}
		left = max(left-r.bytes, 0)
		first = first && r.bytes == 0 && s.cold == 0
	}
	b.pinned += s.pinned
	if s.cold == 0 {
		c.deliverFetched(s)
	}
}

// readOne reads one partition, from memory at once or from the disk later.
func (b *fetchBook) readOne(c *Core, s *fetchShare, i, most int, first bool) {
	r := &s.reads[i]
	r.code, r.bytes, r.high, r.lso, r.start = protocol.None, 0, -1, -1, -1
	r.from, r.to, r.cold = len(s.extents), len(s.extents), false
	part := c.topics.find(r.tp)
	if part == nil {
		r.code = protocol.UnknownTopicOrPartition
		s.moved = s.moved || c.topics.hasMoved(r.tp)
		return
	}
	if r.epoch >= 0 && r.epoch != part.epoch {
		r.code = protocol.FencedLeaderEpoch
		if r.epoch > part.epoch {
			r.code = protocol.UnknownLeaderEpoch
		}
		return
	}
	m := part.log.Marks()
	r.high, r.lso, r.start = m.High, m.Stable, m.Start
	limit := m.High
	if r.stable {
		limit = m.Stable
	}
	if r.offset > limit && r.offset <= m.End || part.frozen {
		b.watch(s, i, part) // written, not yet readable; or to be read elsewhere
		return
	}
	if most <= 0 && !first {
		if s.thirsty {
			b.watch(s, i, part)
			b.dry(part)
		}
		return
	}
	var where segment.Where
	s.extents, where = part.log.Locate(r.offset, limit, most, first, s.extents)
	switch where {
	case segment.InMemory:
		r.to = len(s.extents)
		for _, e := range s.extents[r.from:r.to] {
			r.bytes += len(e.Mem)
		}
		s.pinned += r.bytes
		part.bytesOut += uint64(r.bytes)
		if s.watchAll {
			b.watch(s, i, part)
		}
		c.stats.BytesOut += uint64(r.bytes)
	case segment.Cold:
		id := c.shard.Read(part.log, r.offset, limit, max(most, 1))
		b.cold[id] = coldRead{share: s, use: s.use, read: i}
		r.cold = true
		s.cold++
		c.stats.ColdReads++
	case segment.Below, segment.Above:
		r.code = protocol.OffsetOutOfRange
		c.stats.FailedFetch++
	case segment.AtEnd:
		b.watch(s, i, part)
	}
}

// deliverFetched sends a share that has been read home.
func (c *Core) deliverFetched(s *fetchShare) {
	s.bytes = 0
	for i := range s.reads {
		s.bytes += s.reads[i].bytes
	}
	if s.home == c.id {
		c.fetches.gathered(c, s)
		return
	}
	c.post(s.home, letter{kind: letterFetched, share: s})
}

// result takes an answer of storage to a cold read or a search.
func (b *fetchBook) result(c *Core, r segment.Result) {
	if fn, ok := b.finds[r.ID]; ok {
		delete(b.finds, r.ID)
		fn(c, r)
		return
	}
	cr, ok := b.cold[r.ID]
	if !ok {
		return
	}
	delete(b.cold, r.ID)
	s := cr.share
	rd := &s.reads[cr.read]
	rd.code, rd.from = r.Code, len(s.extents)
	s.extents = append(s.extents, r.Extents...)
	rd.to = len(s.extents)
	for _, e := range r.Extents {
		rd.bytes += len(e.Mem)
	}
	s.pinned += rd.bytes
	b.pinned += rd.bytes
	c.stats.ColdReadBytes += uint64(rd.bytes)
	c.stats.BytesOut += uint64(rd.bytes)
	part := c.topics.find(rd.tp)
	switch {
	case part == nil:
	case rd.bytes == 0 && rd.code == protocol.None:
		b.watch(s, cr.read, part) // nothing whole below the limit
	default:
		part.bytesOut += uint64(rd.bytes)
	}
	s.cold--
	if s.cold == 0 {
		c.deliverFetched(s)
	}
}

// watch parks a read on its partition.
func (b *fetchBook) watch(s *fetchShare, i int, part *partition) {
	r := &s.reads[i]
	r.watch, r.slot = part, len(part.watchers)
	part.watchers = append(part.watchers, watcher{s, i})
}

func (r *fetchRead) unwatch() {
	part := r.watch
	if part == nil {
		return
	}
	last := len(part.watchers) - 1
	moved := part.watchers[last]
	part.watchers[r.slot] = moved
	moved.share.reads[moved.read].slot = r.slot
	part.watchers[last] = watcher{}
	part.watchers = part.watchers[:last]
	r.watch = nil
}

// wake tells every fetch that is parked on a partition; once each. The list is taken
// first, since a fetch that is read again may park here again.
func (b *fetchBook) wake(c *Core, part *partition) {
	for len(part.watchers) > 0 {
		w := part.watchers[len(part.watchers)-1]
		w.share.reads[w.read].unwatch()
		if !w.share.notified {
			w.share.notified = true
			b.woken = append(b.woken, w.share)
		}
	}
	for i, s := range b.woken {
		b.woken[i] = nil
		if s.home == c.id {
			b.notified(c, s)
			continue
		}
		c.post(s.home, letter{kind: letterFetchNotify, share: s})
	}
	b.woken = b.woken[:0]
}

// dry notes a partition whose readers got nothing.
func (b *fetchBook) dry(part *partition) {
	if !part.thirsty {
		part.thirsty = true
		b.thirsty = append(b.thirsty, part)
	}
}

// quench reads again for those who got nothing, once others have let go of memory.
func (b *fetchBook) quench(c *Core) {
	if len(b.thirsty) == 0 || b.pinned > c.pinMax()/2 {
		return
	}
	parts := b.thirsty
	b.thirsty = nil
	for _, p := range parts {
		p.thirsty = false
		b.wake(c, p)
	}
}

// unpin gives back everything that a share holds on this core.
func (b *fetchBook) unpin(c *Core, s *fetchShare) {
	for i := range s.reads {
		s.reads[i].unwatch()
	}
	b.letGo(c, s)
}

// letGo gives the memory of a share back.
func (b *fetchBook) letGo(c *Core, s *fetchShare) {
	for i := range s.extents {
		c.pool.Release(s.extents[i].Buf)
		s.extents[i] = segment.Extent{}
	}
	s.extents = s.extents[:0]
	b.pinned -= s.pinned
	s.pinned = 0
}

// release ends a share on its owner's side and sends it home.
func (b *fetchBook) release(c *Core, s *fetchShare, _ int) {
	b.unpin(c, s)
	c.boxes[s.home].put(letter{kind: letterFetchFree, share: s}) // no hurry: no wake-up
}
