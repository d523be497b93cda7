package sim

import (
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/protocol"
	"millrace/protocol/batch"
)

// simConsumer reads partitions from their beginning on and commits now and then. What
// it has seen once must stay as it was.
type simConsumer struct {
	b      *brokerRun
	number int
	link   *link
	at     map[*dataPart]int64
	ends   map[*dataPart]int64 // high watermarks told
	group  string
	tried  int64 // the largest commit sent
	sure   int64 // the largest commit acknowledged
	floor  int64 // and when the broker started
	busy   bool

	session *session // nil: every fetch names everything
}

// session is an incremental fetch session (KIP-227).
type session struct {
	id, epoch int32
	told      map[*dataPart]int64 // offsets that the broker has
}

func newConsumer(b *brokerRun, number int) *simConsumer {
	c := &simConsumer{b: b, number: number, at: map[*dataPart]int64{}, ends: map[*dataPart]int64{},
		group: fmt.Sprintf("group-%d", number), tried: -1, sure: -1, floor: -1}
	if number >= 0 && b.rng.IntN(2) == 0 {
		c.session = &session{told: map[*dataPart]int64{}}
	}
	c.link = newLink(b, c.up, c.down)
	return c
}

func (c *simConsumer) String() string {
	out := ""
	for _, t := range c.b.topics {
		for _, p := range t.parts {
			out += fmt.Sprintf("%v at %d of %d; ", p, c.at[p], p.end)
		}
	}
	return out
}

// caughtUp says whether everything that is known or was told of has been read.
func (c *simConsumer) caughtUp() bool {
	for _, t := range c.b.topics {
		for _, p := range t.parts {
			if c.at[p] < max(p.end, c.ends[p]) {
				return false
			}
		}
	}
	return true
}

func (c *simConsumer) down() {
	c.busy = false
	if c.session != nil { // an answer may be lost: begin anew
		c.session.id, c.session.epoch = 0, 0
	}
}

func (c *simConsumer) up() {
	if c.tried >= 0 {
		c.checkCommit()
		return
	}
	c.next()
}

// next asks for more, or does something else a consumer does.
func (c *simConsumer) next() {
	if c.busy || c.link.conn == nil {
		return
	}
	c.busy = true
	switch n := c.b.rng.IntN(40); {
	case n == 0 && c.number >= 0:
		c.commit()
	case n == 1 && c.number >= 0:
		c.listOffsets()
	case n == 2 && c.number >= 0 && c.b.rng.IntN(3) == 0:
		c.busy = false
		c.link.drop()
	case n == 3 && c.number >= 0:
		c.b.w.Tally[Stalls]++
		c.link.conn.Stall()
		conn := c.link.conn
		c.link.soon(20*time.Millisecond, conn.Resume)
		c.fetch()
	default:
		c.fetch()
	}
}

func (c *simConsumer) done() {
	c.busy = false
	c.link.soon(500*time.Microsecond, c.next)
}

func (c *simConsumer) fetch() {
	rng := c.b.rng
	req := kmsg.NewPtrFetchRequest()
	req.SetVersion(int16(4 + rng.IntN(13)))
	req.ReplicaID, req.MaxWaitMillis, req.MinBytes = -1, int32(rng.IntN(50)), int32(rng.IntN(3))
	req.MaxBytes = int32(1 + rng.IntN(300_000))
	req.SessionID, req.SessionEpoch = 0, -1
	req.IsolationLevel = int8(rng.IntN(2))
	full := true
	if c.session != nil {
		req.SetVersion(int16(7 + rng.IntN(6))) // a session stays with names or with ids
		req.SessionID, req.SessionEpoch = c.session.id, c.session.epoch
		full = c.session.epoch == 0
	}
	for _, t := range c.b.topics {
		ft := kmsg.NewFetchRequestTopic()
		ft.Topic, ft.TopicID = t.name, t.id
		for _, p := range t.parts {
			if !full && c.session.told[p] == c.at[p] {
				continue
			}
			fp := kmsg.NewFetchRequestTopicPartition()
			fp.Partition, fp.FetchOffset, fp.CurrentLeaderEpoch = p.index, c.at[p], -1
			fp.PartitionMaxBytes = int32(1 + rng.IntN(100_000))
			ft.Partitions = append(ft.Partitions, fp)
			if c.session != nil {
				c.session.told[p] = c.at[p]
			}
		}
		rng.Shuffle(len(ft.Partitions), func(i, j int) {
			ft.Partitions[i], ft.Partitions[j] = ft.Partitions[j], ft.Partitions[i]
		})
		if len(ft.Partitions) > 0 {
			req.Topics = append(req.Topics, ft)
		}
	}
	c.link.ask(req, func(r kmsg.Response) {
		resp := r.(*kmsg.FetchResponse)
		if c.session == nil || c.inSession(resp) {
			c.fetched(resp)
		}
		c.done()
	})
}

// inSession follows the session's rules; false: it has to begin anew.
func (c *simConsumer) inSession(r *kmsg.FetchResponse) bool {
	s, code := c.session, protocol.Code(r.ErrorCode)
	switch code {
	case protocol.None:
		if s.epoch == 0 {
			s.id = r.SessionID
		}
		c.b.check(r.SessionID == s.id, "fetch session %d answers as %d", s.id, r.SessionID)
		if s.id != 0 {
			s.epoch++
		}
		return true
	case protocol.FetchSessionIdNotFound, protocol.InvalidFetchSessionEpoch:
		c.b.check(s.epoch > 0, "a new fetch session: %v", code)
		s.id, s.epoch = 0, 0
		return false
	}
	c.b.fail("fetch: %v", code)
	return false
}

func (c *simConsumer) fetched(r *kmsg.FetchResponse) {
	b := c.b
	b.check(r.ErrorCode == 0, "fetch: %v", protocol.Code(r.ErrorCode))
	for _, ft := range r.Topics {
		var t *dataTopic
		for _, u := range b.topics {
			if r.Version < 13 && u.name == ft.Topic || r.Version >= 13 && u.id == protocol.TopicID(ft.TopicID) {
				t = u
			}
		}
		b.check(t != nil, "fetch answers for %q %v", ft.Topic, ft.TopicID)
		for i := range ft.Partitions {
			c.part(t.parts[ft.Partitions[i].Partition], &ft.Partitions[i])
		}
	}
}

func (c *simConsumer) part(p *dataPart, r *kmsg.FetchResponseTopicPartition) {
	b := c.b
	if b.excused(protocol.Code(r.ErrorCode)) {
		return
	}
	b.check(r.ErrorCode == 0, "%v: fetch at %d: %v (high watermark %d)", p, c.at[p],
		protocol.Code(r.ErrorCode), r.HighWatermark)
	b.check(r.HighWatermark >= c.ends[p], "%v: the high watermark went from %d to %d", p, c.ends[p],
		r.HighWatermark)
	c.ends[p] = r.HighWatermark
	c.at[p] = b.records(p, c.at[p], r)
}

// records takes the records of an answer to a fetch at an offset, and returns where the
// next one begins.
func (b *brokerRun) records(p *dataPart, at int64, r *kmsg.FetchResponseTopicPartition) int64 {
	rest := r.RecordBatches
	for len(rest) > 0 {
		v, more, err := batch.Next(rest)
		b.check(err == nil, "%v: fetch at %d: %v", p, at, err)
		rest = more
		b.check(v.BaseOffset() <= at && v.NextOffset() > at, "%v: fetch at %d answers with %d…%d",
			p, at, v.BaseOffset(), v.NextOffset())
		b.check(v.NextOffset() <= r.HighWatermark, "%v: batch %d…%d beyond the high watermark %d", p,
			v.BaseOffset(), v.NextOffset(), r.HighWatermark)
		plain := v.RecordBytes()
		if v.Codec() != batch.None {
			plain, err = v.Inflate(nil, 1<<20)
			b.check(err == nil, "%v: batch %d: %v", p, v.BaseOffset(), err)
		}
		it := v.Records(plain)
		for it.Next() {
			p.learn(b, it.Record.Offset, string(it.Record.Value), "fetch")
			b.w.Tally[Consumed]++
		}
		b.check(it.Err() == nil, "%v: batch %d: %v", p, v.BaseOffset(), it.Err())
		at = v.NextOffset()
	}
	return at
}

func (c *simConsumer) listOffsets() {
	b := c.b
	t := b.topics[b.rng.IntN(len(b.topics))]
	p := t.parts[b.rng.IntN(len(t.parts))]
	req := kmsg.NewPtrListOffsetsRequest()
	req.SetVersion(int16(1 + b.rng.IntN(8)))
	req.ReplicaID = -1
	ask := []int64{-1, -2}[b.rng.IntN(2)]
	req.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: t.name, Partitions: []kmsg.ListOffsetsRequestTopicPartition{
		{Partition: p.index, CurrentLeaderEpoch: -1, Timestamp: ask}}}}
	c.link.ask(req, func(r kmsg.Response) {
		got := r.(*kmsg.ListOffsetsResponse).Topics[0].Partitions[0]
		if b.excused(protocol.Code(got.ErrorCode)) {
			c.done()
			return
		}
		b.check(got.ErrorCode == 0, "%v: ListOffsets: %v", p, protocol.Code(got.ErrorCode))
		if ask == -1 {
			b.check(got.Offset >= c.ends[p], "%v: ListOffsets says %d, a fetch said %d", p, got.Offset, c.ends[p])
		} else {
			b.check(got.Offset == 0, "%v: begins at %d", p, got.Offset)
		}
		c.done()
	})
}

// commit stores a growing number as the group's offset.
func (c *simConsumer) commit() {
	b := c.b
	p := b.topics[0].parts[0]
	c.tried++
	value := c.tried
	req := kmsg.NewPtrOffsetCommitRequest()
	req.SetVersion(int16(2 + b.rng.IntN(8)))
	req.Group, req.Generation, req.MemberID = c.group, -1, ""
	req.Topics = []kmsg.OffsetCommitRequestTopic{{Topic: p.topic.name, TopicID: p.topic.id,
		Partitions: []kmsg.OffsetCommitRequestTopicPartition{{Partition: p.index, Offset: value, LeaderEpoch: -1}}}}
	c.link.ask(req, func(r kmsg.Response) {
		got := protocol.Code(r.(*kmsg.OffsetCommitResponse).Topics[0].Partitions[0].ErrorCode)
		if got == protocol.None {
			c.sure = max(c.sure, value)
			b.w.Tally[Commits]++
		} else {
			b.check(loading(got) || b.refused(got), "commit: %v", got)
		}
		c.done()
	})
}

// checkCommit: a committed offset that was acknowledged is there after a crash.
func (c *simConsumer) checkCommit() {
	b := c.b
	c.busy = true
	p := b.topics[0].parts[0]
	req := kmsg.NewPtrOffsetFetchRequest()
	req.SetVersion(int16(1 + b.rng.IntN(7)))
	req.Group = c.group
	req.Topics = []kmsg.OffsetFetchRequestTopic{{Topic: p.topic.name, Partitions: []int32{p.index}}}
	c.link.ask(req, func(r kmsg.Response) {
		resp := r.(*kmsg.OffsetFetchResponse)
		if code := protocol.Code(resp.ErrorCode); code != protocol.None {
			b.check(loading(code), "OffsetFetch: %v", code)
			c.link.soon(3*time.Millisecond, c.checkCommit)
			return
		}
		b.check(len(resp.Topics) == 1 && len(resp.Topics[0].Partitions) == 1,
			"OffsetFetch v%d answers %+v for one partition", resp.Version, resp)
		got := resp.Topics[0].Partitions[0]
		code := protocol.Code(got.ErrorCode)
		b.check(code == protocol.None || loading(code), "OffsetFetch: %v", code)
		if code == protocol.None {
			b.check(got.Offset >= c.sure && got.Offset <= c.tried,
				"%s: committed up to %d, acknowledged %d, stored is %d", c.group, c.tried, c.sure, got.Offset)
		}
		c.done()
	})
}

func loading(code protocol.Code) bool {
	return code == protocol.CoordinatorLoadInProgress || code == protocol.NotCoordinator ||
		code == protocol.CoordinatorNotAvailable
}
