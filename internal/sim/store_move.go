package sim

import (
	"math/rand/v2"
	"time"

	"millrace/engine"
	"millrace/protocol"
	"millrace/segment"
)

// Logs that go from one shard to another while they are worked on.

// moveOn is a move out of a shard.
type moveOn struct {
	p      *part
	to     *shardCore
	frozen bool
}

// parcel is a log on its way.
type parcel struct {
	p *part
	*segment.Parcel
}

// newMoves gives every second run moves, with a source of chance of their own: the others
// stay the runs that they were.
func newMoves(seed uint64) *rand.Rand {
	rng := rand.New(rand.NewPCG(seed, 0x6d6f7665))
	if rng.IntN(2) == 0 {
		return nil
	}
	return rng
}

// place finds a partition's log in the shards of a new life.
func (s *store) place(p *part) {
	for _, c := range s.cores {
		if l := c.shard.Find(p.tp); l != nil {
			s.check(p.core == nil || p.log == nil, "%v is on two cores", p)
			p.core, p.log = c, l
		}
	}
}

// startMove begins to bring a partition elsewhere.
func (c *shardCore) startMove() {
	s := c.s
	if s.moves == nil || c.move != nil || len(s.cores) < 2 || len(c.parts) == 0 || s.moves.IntN(30) > 0 {
		return
	}
	p := c.parts[s.moves.IntN(len(c.parts))]
	to := s.cores[s.moves.IntN(len(s.cores))]
	if p.dropped || to == c || !c.shard.BeginMove(p.log, to.number) {
		return
	}
	c.move = &moveOn{p: p, to: to}
}

// goOn takes the move further, or calls it off.
func (c *shardCore) goOn() {
	m, s := c.move, c.s
	if m == nil {
		return
	}
	switch c.shard.MoveStage() {
	case segment.MoveReady:
		if s.quiet || s.moves.IntN(10) == 0 {
			c.callOff()
			return
		}
		if s.moves.IntN(4) > 0 {
			m.frozen, m.p.frozen = true, true
			c.shard.FreezeMove()
		}
	case segment.MoveSettling:
		if s.moves.IntN(200) == 0 {
			c.callOff()
		}
	case segment.MoveDone:
		c.handOver(m)
	case segment.MoveFailed:
		c.callOff()
	}
}

func (c *shardCore) callOff() {
	c.s.check(c.shard.CancelMove(), "a move that failed cannot be called off")
	c.move.p.frozen = false
	c.move = nil
	c.s.w.Tally[CalledOff]++
}

func (c *shardCore) handOver(m *moveOn) {
	s := c.s
	x := parcel{m.p, c.shard.TakeMoved()}
	c.move = nil
	for i, p := range c.parts {
		if p == m.p {
			c.parts = append(c.parts[:i:i], c.parts[i+1:]...)
			break
		}
	}
	for _, q := range c.reads {
		s.check(q.p != m.p, "%v moves while it is read", m.p)
	}
	s.check(m.p.dropped || m.p.acked == m.p.end(), "%v moves with %d appended and %d acknowledged", m.p,
		m.p.end(), m.p.acked)
	m.p.log, m.p.core = nil, m.to
	s.onWay++
	s.w.After(s.w.Pace.Turn, func() {
		m.to.arrivals = append(m.to.arrivals, x)
		m.to.core.wake()
	})
}

// end is the offset behind the last batch.
func (p *part) end() int64 {
	if n := len(p.batches); n > 0 {
		return p.batches[n-1].next
	}
	return 0
}

// arrive takes logs in that were another shard's.
func (c *shardCore) arrive() {
	s := c.s
	kept := c.arrivals[:0]
	for _, x := range c.arrivals {
		p := x.p
		if !c.shard.MayAdopt() {
			kept = append(kept, x)
			continue
		}
		s.onWay--
		l := c.shard.Adopt(x.Parcel, p.topic.cfg)
		if p.dropped {
			c.shard.Drop(l)
			continue
		}
		p.log, p.core, p.frozen = l, c, false
		c.parts = append(c.parts, p)
		m := l.Marks()
		s.check(m.End == p.end() && m.High == m.End && m.Start >= p.low, "%v arrives with %+v, %d was its end",
			p, m, p.end())
		p.floor = floor{m.End, m.Start} // a move makes durable what it takes along
		p.noted = p.floor
		s.checkProducers(p)
		s.w.Tally[Moved]++
	}
	clear(c.arrivals[len(kept):])
	c.arrivals = kept
}

// traveling says that a log leaves the shard, or is between two.
func (c *shardCore) traveling() bool { return c.move != nil || c.s.onWay > 0 }

// moveAbout brings partitions of a broker from core to core.
func (b *brokerRun) moveAbout() {
	if b.moves == nil || b.cfg.Journals < 2 {
		return
	}
	b.w.After(time.Duration(b.moves.IntN(20_000))*time.Microsecond, func() {
		if b.stopped > 0 || b.ending {
			return
		}
		topics := b.image.Topics() // also those that are about to be deleted
		t := topics[b.moves.IntN(len(topics))]
		index := int32(b.moves.IntN(len(t.Partitions)))
		to := b.moves.IntN(b.cfg.Journals)
		tp := protocol.TopicPartition{Topic: t.ID, Partition: index}
		if b.broker.Shards()[to].Find(tp) != nil { // it is there
			b.moveAbout()
			return
		}
		b.broker.Move(t.Name, index, to, func(err error) {
			switch err {
			case nil:
				b.w.Tally[Moved]++
			case engine.ErrMoveFailed:
				b.w.Tally[CalledOff]++
			}
			b.moveAbout()
		})
	})
}
