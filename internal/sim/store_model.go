package sim

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"time"

	"millrace/internal/clock"
	"millrace/protocol"
	"millrace/segment"
	"millrace/segment/producer"
)

// topic is a topic of the agreed image.
type topic struct {
	id    protocol.TopicID
	name  string
	cfg   segment.LogConfig
	parts []*part
}

// part is the model of one partition: every batch ever appended and not lost, in
// order of offset.
type part struct {
	topic   *topic
	tp      protocol.TopicPartition
	batches []*appended
	clients []*client
	acked   int64            // end of what was acknowledged
	start   int64            // acknowledged start offset
	staged  int64            // start offset asked for
	high    int64            // in this life
	low     int64            // start offset seen in this life
	excused int64            // up to which checkStart has looked
	latest  map[string]int64 // compacted: the last offset of every key
	floor   floor            // what outlives a power loss under durability write, too
	noted   floor            // what was there when the last sweep ended
	told    int64            // acknowledged once, before a power loss that may take it
	dropped bool
	frozen  bool    // it is about to go to another core
	verify  *cursor // set while a recovery is checked

	core *shardCore
	log  *segment.Log
}

// floor is how much of a log cannot be lost.
type floor struct{ end, start int64 }

// appended is one batch as it must be read back.
type appended struct {
	base, next int64
	mem        []byte
	times      []int64 // of its records
	recs       []rec   // of a compacted topic
	item       *item   // nil: no producer id
}

// client is an idempotent producer of one partition.
type client struct {
	pid    int64
	epoch  int16
	seq    int32 // of the next batch
	window []*item
}

// item is a batch that a client wants to have appended once.
type item struct {
	seq, count int32
	raw        []byte
	times      []int64
	recs       []rec
	base       int64 // −1: not in the log
	acked      bool
}

// newTopic agrees on a topic. The name of a deleted one comes back with another id.
func (s *store) newTopic() *topic {
	s.names++
	t := &topic{name: fmt.Sprintf("topic-%d", s.rng.IntN(6))}
	for _, u := range s.topics {
		if u.name == t.name {
			t.name = fmt.Sprintf("topic-%d-%d", s.names, s.rng.IntN(6))
		}
	}
	binary.BigEndian.PutUint64(t.id[:], uint64(s.names))
	binary.BigEndian.PutUint64(t.id[8:], s.rng.Uint64())
	t.cfg = segment.DefaultConfig()
	t.cfg.SegmentBytes = int64(8<<10) << s.rng.IntN(7)
	t.cfg.IndexInterval = int64(256) << s.rng.IntN(5)
	switch s.rng.IntN(6) {
	case 0:
		t.cfg.SegmentMillis = int64(5 + s.rng.IntN(200))
	case 1:
		t.cfg.IndexBytes = int64(8 * (2 + s.rng.IntN(20)))
	case 2:
		t.cfg.RetentionBytes = t.cfg.SegmentBytes * int64(1+s.rng.IntN(5))
	case 3:
		t.cfg.RetentionMillis = int64(s.rng.IntN(7_200_000))
	}
	t.cfg.DeleteDelayMillis = int64(s.rng.IntN(50))
	if s.rng.IntN(4) == 0 {
		s.compacted(t)
	}
	s.topics = append(s.topics, t)
	for range 1 + s.rng.IntN(4) {
		s.addPart(t)
	}
	return t
}

func (s *store) addPart(t *topic) *part {
	tp := protocol.TopicPartition{Topic: t.id, Partition: int32(len(t.parts))}
	p := &part{topic: t, latest: map[string]int64{}, tp: tp}
	t.parts = append(t.parts, p)
	for range 1 + s.rng.IntN(3) {
		s.newClient(p)
	}
	return p
}

func (s *store) newClient(p *part) {
	s.pids++
	p.clients = append(p.clients, &client{pid: s.pids})
}

func (p *part) String() string { return fmt.Sprintf("%s-%d", p.topic.name, p.tp.Partition) }

// checkStart: nobody asked for what is gone at the front, or it was large or old enough.
func (s *store) checkStart(p *part, start int64) {
	cfg := &p.topic.cfg
	if start <= p.staged || start <= p.excused || cfg.RetentionBytes >= 0 {
		return
	}
	limit := s.aging.now(s.w.now) - cfg.RetentionMillis
	for i := p.find(p.staged); i < len(p.batches) && p.batches[i].base < start; i++ {
		b := p.batches[i]
		for k, at := range b.times {
			old := cfg.RetentionMillis >= 0 && cfg.Delete && at < limit
			s.check(old || p.mayMiss(b, k),
				"%v: Start is %d, nobody asked beyond %d, and a record at %d is %d ms from being old",
				p, start, p.staged, b.base+int64(k), at-limit)
		}
	}
	p.excused = start
}

// aging is the latest time that retention may go by: that of the clock when the life
// began and what has passed since. It must not believe a jump forward at once.
type aging struct {
	at    clock.Now
	wall  int64
	began bool
	least int64 // of the clocks seen
}

// believed is how far a clock may go forward without being a jump.
const believed = 60_000

// begin starts a life; true: the clock has jumped by more than producers are kept for.
func (a *aging) begin(now clock.Now) bool {
	jumped := a.began && now.Wall-a.least > (24*time.Hour).Milliseconds()
	if jumped || !a.began {
		a.least = now.Wall
	}
	a.least = min(a.least, now.Wall)
	a.at, a.wall, a.began = now, max(a.wall, now.Wall), true
	return jumped
}

// step takes over the time that has passed.
func (a *aging) step(now clock.Now) { a.wall, a.at = a.now(now), now }

// shift follows a change of the clock by millis, after which it shows now.
func (a *aging) shift(millis int64, now clock.Now) {
	a.least = min(a.least, now.Wall)
	if millis > 0 && millis <= believed {
		a.wall += millis
	}
}

func (a *aging) now(now clock.Now) int64 {
	return a.wall + now.Mono.Sub(a.at.Mono).Milliseconds() + believed
}

// recovered holds a log that was just opened against the model and cuts the model
// where the log ends: what was not acknowledged may be gone.
func (s *store) recovered(p *part) {
	m := p.log.Marks()
	end := int64(0)
	if n := len(p.batches); n > 0 {
		end = p.batches[n-1].next
	}
	s.check(m.End <= end, "%v: End is %d, appended was up to %d", p, m.End, end)
	s.check(m.End >= p.acked, "%v: lost: End is %d, acknowledged was up to %d", p, m.End, p.acked)
	n := len(p.batches)
	for n > 0 && p.batches[n-1].next > m.End {
		n--
	}
	whole := n == 0 && m.End == 0 || n > 0 && p.batches[n-1].next == m.End
	s.check(whole, "%v: End %d is inside a batch", p, m.End)
	for _, b := range p.batches[n:] {
		if b.next <= p.told {
			s.w.Tally[Weak]++
		} else {
			s.w.Tally[Lost]++
		}
		if b.item != nil {
			b.item.base = -1
		}
	}
	p.batches = p.batches[:n]
	p.renote()
	s.check(m.High == m.End && m.Written == m.End && m.Durable == m.End,
		"%v: after recovery %+v", p, m)
	s.check(m.Start >= p.start && m.Start <= m.End, "%v: Start is %d, was set to %d", p, m.Start, p.start)
	s.check(m.End >= p.high, "%v: End is %d, readers saw up to %d", p, m.End, p.high)
	s.checkStart(p, m.Start)
	p.high, p.low, p.acked = m.High, m.Start, m.End
	p.start, p.staged = m.Start, m.Start
	p.floor = floor{m.End, m.Start} // a start makes durable what it goes by
	p.noted, p.told = p.floor, 0
	s.checkProducers(p)
}

// checkProducers: a retry of every batch that a client is not sure of must be told
// apart from a new one (I2 of producer).
func (s *store) checkProducers(p *part) {
	for _, c := range p.clients {
		for i, it := range c.window {
			if i < len(c.window)-producer.Window {
				continue
			}
			v := p.log.Producers().Check(c.pid, c.epoch, it.seq, it.count, s.w.Now().Wall)
			if it.base >= 0 {
				s.check(v.Code == producer.Duplicate && v.BaseOffset == it.base,
					"%v: a retry of offset %d by producer %d: %+v", p, it.base, c.pid, v)
				it.acked = true
			} else if i == 0 || c.window[i-1].base >= 0 {
				s.check(v.Code == producer.Accept, "%v: batch %d of producer %d was lost, its retry: %+v",
					p, it.seq, c.pid, v)
			}
		}
	}
}

// forgetAcks is a power loss in write mode: what was acknowledged since the last sweep
// but one may be gone. The clients cannot know; new ones take their place.
func (s *store) forgetAcks() {
	for _, t := range s.topics {
		for _, p := range t.parts {
			p.told = max(p.told, p.acked)
			p.acked = min(p.acked, p.floor.end)
			p.start, p.high = min(p.start, p.floor.start), min(p.high, p.floor.end)
		}
	}
	s.renewClients()
}

// sweeps follows the sweeps of a core: one that ended has made durable all that was there
// when the one before it ended.
func (c *shardCore) sweeps() {
	n := c.shard.Stats().Sweeps
	if n == c.swept {
		return
	}
	c.swept = n
	for _, p := range c.parts {
		if p.dropped {
			continue
		}
		m := p.log.Marks()
		p.floor, p.noted = p.noted, floor{m.End, m.Start}
	}
}

// renewClients puts new clients in the place of all.
func (s *store) renewClients() {
	for _, t := range s.topics {
		for _, p := range t.parts {
			for i := range p.clients {
				s.pids++
				p.clients[i] = &client{pid: s.pids}
			}
			for _, b := range p.batches {
				b.item = nil
			}
		}
	}
}

// find is the place of the batch that holds offset.
func (p *part) find(offset int64) int {
	lo, hi := 0, len(p.batches)
	for lo < hi {
		mid := (lo + hi) / 2
		if p.batches[mid].next > offset {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	return lo
}

// compare holds bytes that were read from offset on against the model: whole batches
// below limit, without a gap, at most max bytes but for the first. It returns the
// offset behind them.
func (s *store) compare(p *part, got []byte, from, limit int64, max int) int64 {
	if p.topic.cfg.Compact {
		return s.compareCompact(p, got, from, limit)
	}
	i := p.find(from)
	first := true
	total := len(got)
	for len(got) > 0 {
		s.check(i < len(p.batches), "%v: read from %d: bytes beyond the last batch", p, from)
		b := p.batches[i]
		s.check(b.next <= limit, "%v: read from %d: batch %d..%d beyond %d", p, from, b.base, b.next, limit)
		s.check(len(got) >= len(b.mem), "%v: read from %d: a part of batch %d..%d", p, from, b.base, b.next)
		if !bytes.Equal(got[:len(b.mem)], b.mem) {
			s.fail("%v: read from %d: other bytes in batch %d..%d%s", p, from, b.base, b.next, differ(got, b.mem))
		}
		got = got[len(b.mem):]
		s.check(first || total <= max, "%v: read from %d: %d bytes for at most %d", p, from, total, max)
		first = false
		from = b.next
		i++
	}
	return from
}

func differ(got, want []byte) string {
	for i := range want {
		if got[i] != want[i] {
			return fmt.Sprintf(" at byte %d of %d: %x, want %x", i, len(want),
				got[i:min(i+8, len(want))], want[i:min(i+8, len(want))])
		}
	}
	return ""
}

// checkMarks holds every log's marks against each other and the model.
func (c *shardCore) checkMarks() {
	s := c.s
	for _, p := range c.parts {
		if p.dropped {
			continue
		}
		m := p.log.Marks()
		s.check(m.Start <= m.Stable && m.Stable <= m.High && m.High <= m.Written &&
			m.Written <= m.End && m.Durable <= m.Written, "%v: marks %+v", p, m) // segment I1
		s.check(m.High >= p.high, "%v: High went back from %d to %d", p, p.high, m.High)
		s.check(m.Start >= p.low, "%v: Start went back from %d to %d", p, p.low, m.Start)
		s.checkStart(p, m.Start)
		p.high, p.low = m.High, m.Start
	}
}
