package sim

import (
	"time"

	"millrace/internal/arena"
	"millrace/internal/clock"
	"millrace/protocol"
	"millrace/protocol/batch"
	"millrace/segment"
	"millrace/segment/producer"
)

// work does a few random things in a turn.
func (c *shardCore) work(now clock.Now) {
	s := c.s
	for range s.rng.IntN(6) {
		if len(c.parts) == 0 {
			break
		}
		p := c.parts[s.rng.IntN(len(c.parts))]
		if p.dropped || p.frozen {
			continue
		}
		switch n := s.rng.IntN(100); {
		case n < 60:
			c.append(p, now)
		case n < 85:
			c.startRead(p)
		case n < 88:
			c.setStart(p)
		case n < 94:
			c.duplicate(p)
		case n < 96:
			p.topic.cfg.SegmentBytes = int64(8<<10) << s.rng.IntN(7)
			c.shard.Configure(p.log, p.topic.cfg)
		}
	}
	switch s.rng.IntN(400) {
	case 0:
		s.dropTopic()
	case 1:
		t := s.newTopic()
		for _, p := range t.parts {
			s.attach(p)
		}
	case 2:
		s.attach(s.addPart(s.topics[s.rng.IntN(len(s.topics))]))
	case 3:
		s.shiftWall(int64(s.rng.IntN(2000) - 500))
	}
}

// append lets a client send its next batch, or the one that a crash took.
func (c *shardCore) append(p *part, now clock.Now) {
	s := c.s
	if s.bytes > s.most {
		return
	}
	var cl *client
	if s.rng.IntN(4) > 0 {
		cl = p.clients[s.rng.IntN(len(p.clients))]
	}
	it := s.nextItem(p, cl, now)
	if it == nil {
		return
	}
	if cl != nil {
		v := p.log.Producers().Check(cl.pid, cl.epoch, it.seq, it.count, now.Wall)
		s.check(v.Code == producer.Accept, "%v: batch %d of producer %d: %+v", p, it.seq, cl.pid, v)
	}
	switch c.shard.Admit(len(it.raw)) {
	case segment.Admitted:
	case segment.Dead:
		s.check(c.shard.Err() != nil, "dead without an error")
		return
	case segment.Full:
		s.check(s.tight, "no space on a disk that has some")
		s.w.Tally[Full]++
		s.hungry = true
		return
	default:
		return
	}
	if s.hungry && s.w.Disk.Capacity() == 0 {
		s.hungry = false
		s.w.Tally[Healed]++
	}
	if cl != nil && it.base == -1 && it.seq == cl.seq {
		cl.window = append(cl.window, it)
		cl.seq = batch.AddSequence(it.seq, it.count)
	}
	c.put(p, cl, it, now)
}

// nextItem is what a client sends next: nil when it has five in flight.
func (s *store) nextItem(p *part, cl *client, now clock.Now) *item {
	if cl == nil {
		return s.newItem(p, nil, now)
	}
	for len(cl.window) > 0 && cl.window[0].acked && len(cl.window) > producer.Window {
		cl.window = cl.window[1:]
	}
	unsure := 0
	for _, it := range cl.window {
		if it.base == -1 {
			s.w.Tally[Retried]++
			return it // lost in a crash: once more, in order
		}
		if !it.acked {
			unsure++
		}
	}
	if unsure == producer.Window {
		return nil
	}
	return s.newItem(p, cl, now)
}

// newItem makes a batch of random records.
func (s *store) newItem(p *part, cl *client, now clock.Now) *item {
	var o batch.Options
	it := &item{base: -1}
	if cl != nil {
		o = batch.Options{Idempotent: true, ProducerID: cl.pid, ProducerEpoch: cl.epoch, BaseSequence: cl.seq}
		it.seq = cl.seq
	}
	var b batch.Builder
	b.Reset(o)
	it.count = 1 + s.rng.Int32N(8)
	for range it.count {
		size := 1 + s.rng.IntN(200)
		switch s.rng.IntN(60) {
		case 0:
			size = s.rng.IntN(60_000)
		case 1:
			size = s.rng.IntN(9000)
		}
		value := make([]byte, size)
		word := s.rng.Uint64()
		for i := range value {
			value[i] = byte(word >> (i % 8 * 8))
			if i%8 == 7 {
				word += 0x9E3779B97F4A7C15
			}
		}
		ts := now.Wall - int64(s.rng.IntN(100))
		it.times = append(it.times, ts)
		if p.topic.cfg.Compact {
			r := s.newRec(value)
			it.recs = append(it.recs, r)
			b.Add(ts, []byte(r.key), r.value, nil)
			continue
		}
		b.Add(ts, value[:size/4], value, nil)
	}
	v, err := b.Finish()
	if err != nil {
		s.fail("building a batch: %v", err)
	}
	it.raw = append([]byte(nil), v...)
	return it
}

// put appends an item and waits for its acknowledgement.
func (c *shardCore) put(p *part, cl *client, it *item, now clock.Now) {
	s := c.s
	mem := append([]byte(nil), it.raw...) // the request's memory, used again afterwards
	want := p.log.Marks().End
	base, seq := c.shard.Append(p.log, batch.View(mem), int32(s.life), now.Wall)
	s.check(base == want, "%v: appended at %d, End was %d", p, base, want)
	a := &appended{base: base, next: base + int64(it.count), times: it.times, recs: it.recs}
	if n := len(p.batches); n > 0 {
		s.check(p.batches[n-1].next == base, "%v: a gap before %d", p, base)
	}
	s.check(p.log.Marks().End == a.next, "%v: End is %d after an append up to %d", p, p.log.Marks().End, a.next)
	a.mem = append([]byte(nil), mem...)
	if cl != nil {
		a.item = it
		it.base = base
	}
	for i := range mem {
		mem[i] = 0xEE // Append has copied what it needs
	}
	p.batches = append(p.batches, a)
	p.note(a)
	s.w.Tally[Appends]++
	s.bytes += len(mem)
	if n := len(c.waits); n > 0 {
		s.check(c.waits[n-1].seq < seq, "sequence %d after %d", seq, c.waits[n-1].seq)
	}
	life := s.life
	c.waits = append(c.waits, wait{seq, func() {
		if p.dropped || s.life != life {
			return
		}
		s.w.Tally[Acks]++
		it.acked = true
		s.check(s.o.AckEarly || p.log.Marks().High >= a.next, "%v: acknowledged %d, High is %d",
			p, a.next, p.log.Marks().High)
		p.acked = max(p.acked, a.next)
	}})
}

// duplicate sends a batch of the window again.
func (c *shardCore) duplicate(p *part) {
	s := c.s
	cl := p.clients[s.rng.IntN(len(p.clients))]
	n := len(cl.window)
	if n == 0 {
		return
	}
	it := cl.window[n-1-s.rng.IntN(min(n, producer.Window))]
	if it.base == -1 {
		return
	}
	for _, later := range cl.window { // a hole in the window: the order is lost
		if later.base == -1 {
			return
		}
	}
	v := p.log.Producers().Check(cl.pid, cl.epoch, it.seq, it.count, s.w.Now().Wall)
	s.check(v.Code == producer.Duplicate && v.BaseOffset == it.base &&
		v.LastOffset == it.base+int64(it.count)-1, "%v: batch at %d sent twice: %+v", p, it.base, v)
	s.w.Tally[Duplicates]++
}

func (c *shardCore) setStart(p *part) {
	s := c.s
	m := p.log.Marks()
	if m.High <= m.Start || p.topic.cfg.Compact {
		return
	}
	to := m.Start + s.rng.Int64N(m.High-m.Start+1)
	seq := c.shard.SetStart(p.log, to)
	p.staged = max(p.staged, to)
	s.check(p.log.Marks().Start >= to, "%v: Start is %d after SetStart(%d)", p, p.log.Marks().Start, to)
	life := s.life
	c.waits = append(c.waits, wait{seq, func() {
		if !p.dropped && s.life == life {
			p.start = max(p.start, to)
		}
	}})
}

// dropTopic deletes a topic: agreed on first, then storage is told.
func (s *store) dropTopic() {
	if len(s.topics) < 2 {
		return
	}
	i := s.rng.IntN(len(s.topics))
	t := s.topics[i]
	s.topics = append(s.topics[:i:i], s.topics[i+1:]...)
	s.deleted[t.id] = true
	for _, p := range t.parts {
		p.dropped = true
		if p.log != nil { // else it is on its way
			p.core.shard.Drop(p.log)
		}
		p.core.core.wake()
	}
	s.w.Tally[Drops]++
}

// read is a request to the disk that has not been answered.
type read struct {
	id     uint32
	p      *part
	from   int64
	limit  int64
	max    int
	time   int64 // FindTime
	kind   readKind
	cursor *cursor
}

type readKind uint8

const (
	readBytes readKind = iota
	findTime
	findMax
)

// pin is memory that a slow consumer holds.
type pin struct {
	buf  *arena.Buf
	mem  []byte
	copy []byte
	till clock.Instant
}

func (c *shardCore) startRead(p *part) {
	s := c.s
	m := p.log.Marks()
	from := m.Start + s.rng.Int64N(m.End-m.Start+2) - 1
	c.fetch(p, from, 1+s.rng.IntN(100_000), nil)
}

// fetch reads from an offset, as a consumer does.
func (c *shardCore) fetch(p *part, from int64, most int, cur *cursor) {
	s := c.s
	m := p.log.Marks()
	var where segment.Where
	c.extents, where = p.log.Locate(from, m.High, most, true, c.extents[:0])
	s.w.Tally[Reads]++
	switch where {
	case segment.InMemory:
		var got []byte
		for _, e := range c.extents {
			got = append(got, e.Mem...)
			c.pin(e.Buf, e.Mem)
		}
		s.check(len(got) > 0, "%v: nothing in memory from %d", p, from)
		next := s.compare(p, got, from, m.High, most)
		if cur != nil {
			cur.at = next
		}
	case segment.Cold:
		s.check(len(c.extents) == 0, "%v: cold with extents", p)
		id := c.shard.Read(p.log, from, m.High, most)
		c.reads = append(c.reads, &read{id: id, p: p, from: from, limit: m.High, max: most, cursor: cur})
		if cur != nil {
			cur.busy = true
		}
	case segment.Below:
		s.check(from < m.Start, "%v: %d is below %d", p, from, m.Start)
		if cur != nil { // retention came between
			cur.at = m.Start
		}
	case segment.Above:
		s.check(from > m.High, "%v: %d is above %d", p, from, m.High)
	case segment.AtEnd:
		if p.topic.cfg.Compact {
			s.missing(p, max(from, m.Start), m.High)
			from = m.High
		}
		i := p.find(from)
		s.check(i == len(p.batches) || p.batches[i].next > m.High, "%v: nothing from %d below %d",
			p, from, m.High)
		if cur != nil {
			cur.at = m.High
		}
	}
}

// pin keeps memory for a while and then looks whether it is still the same.
func (c *shardCore) pin(b *arena.Buf, mem []byte) {
	c.pins = append(c.pins, pin{b, mem, append([]byte(nil), mem...),
		c.s.w.Now().Mono.Add(time.Duration(c.s.rng.IntN(3000)) * time.Microsecond)})
}

func (c *shardCore) readOn() {
	now := c.s.w.Now().Mono
	kept := c.pins[:0]
	for _, x := range c.pins {
		if x.till > now && !c.s.quiet {
			kept = append(kept, x)
			continue
		}
		c.s.check(string(x.mem) == string(x.copy), "memory changed under a reader")
		c.pool.Release(x.buf)
	}
	c.pins = kept
	for _, p := range c.parts {
		if p.dropped || p.verify == nil {
			continue
		}
		c.follow(p, p.verify)
	}
}

func (c *shardCore) answered(r segment.Result) {
	s := c.s
	var q *read
	for i, x := range c.reads {
		if x.id == r.ID {
			q = x
			c.reads = append(c.reads[:i:i], c.reads[i+1:]...)
			break
		}
	}
	s.check(q != nil, "an answer to nothing: %+v", r)
	p := q.p
	if q.cursor != nil {
		q.cursor.busy = false
	}
	var got []byte
	for _, e := range r.Extents {
		got = append(got, e.Mem...)
		c.pin(e.Buf, e.Mem)
	}
	if p.dropped || s.w.Disk.Off() || s.trouble.hit() && r.Code != protocol.None {
		return
	}
	if q.kind != readBytes {
		s.found(q, r)
		return
	}
	s.w.Tally[ColdReads]++
	m := p.log.Marks()
	if r.Code != protocol.None {
		s.check(r.Code == protocol.OffsetOutOfRange && q.from < m.Start,
			"%v: cold read from %d of %+v: %v", p, q.from, m, r.Code)
		if q.cursor != nil {
			q.cursor.at = m.Start
		}
		return
	}
	if len(got) == 0 {
		if p.topic.cfg.Compact && q.from >= m.Start {
			s.missing(p, q.from, q.limit)
			if q.cursor != nil {
				q.cursor.at = q.limit
			}
			return
		}
		s.check(q.from < m.Start, "%v: a cold read from %d found nothing", p, q.from)
		return
	}
	next := s.compare(p, got, q.from, q.limit, q.max)
	if q.cursor != nil {
		q.cursor.at = next
	}
}
