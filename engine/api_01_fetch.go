package engine

import (
	"millrace/engine/session"
	"millrace/internal/clock"
	"millrace/protocol"
	"millrace/protocol/hot"
)

var noAborted = []hot.Aborted{}

// fetch serves Fetch v4–18: sessions (KIP-227), long poll, topic ids.
//
//hot:noalloc
func (c *Core) fetch(cn *conn, seq uint32, h *hot.Header, body []byte) {
	rq := &c.scratch.fetch
	if err := rq.Parse(h.Version, body); err != nil {
		c.badFrame(cn, "malformed Fetch")
		return
	}
	t := c.fetches.take(c)
	a := cn.at(seq)
	a.fetch = t
	cn.fetching = true
	t.to, t.version, t.correlation = cn.to(seq), h.Version, h.Correlation
	t.committed = rq.ReadCommitted
	t.minBytes = int(max(rq.MinBytes, 0))
	t.maxBytes = int(max(min(rq.MaxBytes, c.cfg.FetchMaxBytes), 0))
	t.deadline = c.now.Mono + clock.Instant(max(rq.MaxWaitMillis, 0))*1_000_000
	t.state = fetchGathering
	var code protocol.Code
	t.ticket, code = c.fetches.sessions.Open(c.now.Mono, h.Version, rq)
	if code != protocol.None {
		c.answerFetch(t, code, 0)
		return
	}
	t.ticketed = true
	c.planFetch(t)
	c.fetches.gather(c, t)
}

// planFetch sorts the session's partitions into shares.
func (c *Core) planFetch(t *fetchTask) {
	for _, s := range t.shares {
		if s != nil {
			s.reads = s.reads[:0]
		}
	}
	for p := t.ticket.First(); p != nil; p = p.Next() {
		it := fetchItem{part: p, core: int32(c.id), read: -1}
		top := c.topics.byID[p.TopicID]
		if len(p.Topic) > 0 {
			top = c.topics.byName[p.Topic]
		}
		switch {
		case top == nil && len(p.Topic) == 0:
			it.code = protocol.UnknownTopicId
		case top == nil || p.Want.Index < 0 || int(p.Want.Index) >= len(top.parts):
			it.code = protocol.UnknownTopicOrPartition
		default:
			core := top.parts[p.Want.Index].core
			s := t.share(c.id, core)
			it.core, it.read = int32(core), int32(len(s.reads))
			s.reads = append(s.reads, fetchRead{
				tp:    protocol.TopicPartition{Topic: top.meta.ID, Partition: p.Want.Index},
				epoch: p.Want.CurrentLeaderEpoch, offset: p.Want.FetchOffset,
				max:    int(max(p.Want.MaxBytes, 0)),
				stable: t.committed,
			})
		}
		t.items = append(t.items, it)
	}
}

// gather has every share read.
func (b *fetchBook) gather(c *Core, t *fetchTask) {
	t.state = fetchGathering
	t.again = false
	t.pending = 1 // this function's own, so that the answer waits for the last share
	for i, s := range t.shares {
		if s == nil || len(s.reads) == 0 {
			continue
		}
		t.pending++
		s.maxBytes, s.watchAll = t.maxBytes, t.minBytes > 1
		if i == c.id {
			b.serve(c, s)
			continue
		}
		if !s.lent {
			s.lent = true
			t.out++
		}
		c.post(i, letter{kind: letterFetch, share: s})
	}
	b.shareDone(c, t)
}

// gathered counts a share that has been read.
func (b *fetchBook) gathered(c *Core, s *fetchShare) { b.shareDone(c, s.task) }

func (b *fetchBook) shareDone(c *Core, t *fetchTask) {
	t.pending--
	if t.pending > 0 {
		return
	}
	if t.state == fetchDropped {
		b.finish(c, t)
		return
	}
	if t.moved() {
		b.replan(c, t)
		return
	}
	if b.enough(c, t) {
		c.answerFetch(t, protocol.None, 0)
		return
	}
	if t.again {
		b.gather(c, t)
		return
	}
	b.park(c, t)
}

// moved says whether a share went where a partition is no more.
func (t *fetchTask) moved() bool {
	for _, s := range t.shares {
		if s != nil && len(s.reads) > 0 && s.moved {
			return true
		}
	}
	return false
}

// park waits for more. What was read is given back: it is read again, with what has come,
// and waiting holds no memory.
func (b *fetchBook) park(c *Core, t *fetchTask) {
	t.state = fetchParked
	b.parked++
	if t.timer == 0 {
		c.timers.fetch(t)
	}
	for i, s := range t.shares {
		switch {
		case s == nil || len(s.reads) == 0 || s.bytes == 0:
		case i == c.id:
			b.letGo(c, s)
		default:
			c.post(i, letter{kind: letterFetchPark, share: s})
		}
	}
}

// enough says whether the answer is to be sent now.
func (b *fetchBook) enough(c *Core, t *fetchTask) bool {
	if t.late || t.deadline <= c.now.Mono || len(t.items) == 0 {
		return true
	}
	bytes := 0
	for i := range t.items {
		it := &t.items[i]
		if it.code != protocol.None {
			return true
		}
		r := &t.shares[it.core].reads[it.read]
		if r.code != protocol.None {
			return true
		}
		if r.cold && r.bytes > 0 {
			return true // there is more, and it would be read again
		}
		bytes += r.bytes
	}
	return bytes >= min(t.minBytes, t.maxBytes)
}

// notified reads a parked fetch again because a partition moved on.
func (b *fetchBook) notified(c *Core, s *fetchShare) {
	t := s.task
	switch t.state {
	case fetchParked:
		b.parked--
		b.gather(c, t)
	case fetchGathering:
		t.again = true
	}
}

// expired is the deadline of a parked fetch.
func (b *fetchBook) expired(c *Core, t *fetchTask) {
	switch t.state {
	case fetchParked:
		b.parked--
		t.late = true
		b.gather(c, t)
	case fetchGathering, fetchMoving:
		t.late = true
	}
}

// answered ends a task whose answer is out, or whose connection is gone.
func (b *fetchBook) answered(c *Core, t *fetchTask) {
	switch t.state {
	case fetchGathering, fetchMoving:
		t.state = fetchDropped // the last share ends it
	case fetchParked:
		b.parked--
		b.finish(c, t)
	default:
		b.finish(c, t)
	}
}

// finish gives everything back. Shares on other cores come home first.
func (b *fetchBook) finish(c *Core, t *fetchTask) {
	b.closeSession(t)
	c.timers.drop(t)
	t.state = fetchDropped
	for i, s := range t.shares {
		switch {
		case s == nil || len(s.reads) == 0:
		case i == c.id:
			b.unpin(c, s)
		case s.lent:
			c.post(i, letter{kind: letterFetchDone, share: s})
		}
	}
	if t.out == 0 {
		b.put(t)
	}
}

// closeSession lets the session's next request in.
func (b *fetchBook) closeSession(t *fetchTask) {
	if t.ticketed {
		b.sessions.End(t.ticket)
		t.ticketed = false
	}
}

// freed takes a share home from its owner.
func (b *fetchBook) freed(c *Core, s *fetchShare) {
	t := s.task
	s.lent = false
	t.out--
	switch {
	case t.out > 0:
	case t.recalled:
		b.replanned(c, t)
	default:
		b.put(t)
	}
}

// answerFetch encodes what was gathered.
func (c *Core) answerFetch(t *fetchTask, code protocol.Code, sessionID int32) {
	t.state = fetchAnswered
	c.timers.drop(t)
	cn, a := c.pendingAnswer(t.to)
	if cn == nil {
		return // the connection is closing and ends the task with its answers
	}
	if t.ticketed {
		if sessionID = t.ticket.ID(); !t.ticket.Current() {
			code = protocol.InvalidFetchSessionEpoch
			t.items = t.items[:0]
		}
	}
	records := c.choose(t)
	b := c.memory(fetchMetaMax(t.items))
	if b == nil {
		c.noMemory(cn)
		return
	}
	a.buf = b
	a.mem = c.encodeFetch(t, b.Mem[:0], code, sessionID)
	c.fetches.closeSession(t)
	a.size = len(a.mem) + records
	a.failed = code != protocol.None
	c.answerReady(cn, a, answerReady)
}

// choose decides which partitions go into the answer, and which with records: in the
// session's order until the request's limit; the first one goes whole (KIP-74).
func (c *Core) choose(t *fetchTask) int {
	total := 0
	for i := range t.items {
		it := &t.items[i]
		res := session.Result{Code: it.code, HighWatermark: -1, LogStart: -1}
		it.send = false
		if it.read >= 0 {
			r := &t.shares[it.core].reads[it.read]
			it.code = r.code
			res.Code, res.HighWatermark, res.LogStart = r.code, r.high, r.start
			if r.bytes > 0 && (total == 0 || total+r.bytes <= t.maxBytes && r.bytes <= r.max) {
				it.send = true
				res.Records = r.bytes
				total += r.bytes
			}
		}
		it.keep = t.ticket.Respond(it.part, &res)
		if !it.keep && it.send {
			it.send = false
			total -= res.Records
		}
	}
	return total
}

func (c *Core) encodeFetch(t *fetchTask, dst []byte, code protocol.Code, sessionID int32) []byte {
	w := &c.scratch.fetchAnswer
	t.cuts = t.cuts[:0]
	w.Begin(dst, t.version, t.correlation, 0, code, sessionID, countTopics(t.items))
	for i := 0; i < len(t.items); {
		if !t.items[i].keep {
			i++
			continue
		}
		end, n := runOf(t.items, i)
		c.scratch.name = append(c.scratch.name[:0], t.items[i].part.Topic...)
		w.Topic(c.scratch.name, t.items[i].part.TopicID, n)
		for ; i < end; i++ {
			if t.items[i].keep {
				c.encodeFetched(w, t, i)
			}
		}
	}
	return w.End(nil)
}

func (c *Core) encodeFetched(w *hot.FetchWriter, t *fetchTask, i int) {
	it := &t.items[i]
	res := &c.scratch.fetchResult
	*res = hot.FetchResult{
		Index: it.part.Want.Index, Code: it.code, Preferred: -1,
		HighWatermark: -1, LastStable: -1, LogStart: -1,
	}
	if t.committed {
		res.Aborted = noAborted
	}
	if it.read >= 0 {
		r := &t.shares[it.core].reads[it.read]
		res.HighWatermark, res.LastStable, res.LogStart = r.high, r.lso, r.start
		if it.send {
			res.Records = r.bytes
		}
	}
	cut := w.Partition(res)
	if it.send {
		t.cuts = append(t.cuts, fetchCut{pos: cut, item: int32(i)})
	}
}

// runOf returns where the run of items of one topic that begins at i ends, and how many
// of them go into the answer.
func runOf(items []fetchItem, i int) (end, n int) {
	first := items[i].part
	for end = i; end < len(items); end++ {
		p := items[end].part
		if !items[end].keep {
			continue
		}
		if p.Topic != first.Topic || p.TopicID != first.TopicID {
			break
		}
		n++
	}
	return end, n
}

func countTopics(items []fetchItem) int {
	n := 0
	for i := 0; i < len(items); {
		if !items[i].keep {
			i++
			continue
		}
		i, _ = runOf(items, i)
		n++
	}
	return n
}
