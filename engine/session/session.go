package session

import (
	"millrace/internal/clock"
	"millrace/internal/invariant"
	"millrace/protocol"
	"millrace/protocol/hot"
)

// Partition is one partition of a session. Its fields are for the engine to read.
type Partition struct {
	Topic   string           // up to version 12
	TopicID protocol.TopicID // from version 13 on
	Want    hot.FetchPartition
	User    uint64 // the engine's; 0 in a new partition

	sentHigh  int64 // what the fetcher was told last
	sentStart int64
	next      *Partition
	prev      *Partition
	turned    *Partition // the next of those that go to the end
	isTurned  bool
}

// Next is the partition after p, or nil.
func (p *Partition) Next() *Partition { return p.next }

// Result is what reading one partition came to, as far as a session minds.
type Result struct {
	Code          protocol.Code
	HighWatermark int64
	LogStart      int64
	Records       int  // bytes of records that would be sent
	Must          bool // to be sent for another reason: a preferred replica, a diverging epoch
}

// session is the partitions of one fetcher, or of one request without a session (id 0).
type session struct {
	id         int32
	epoch      int32 // the next request must name it
	byID       bool
	privileged bool // a follower's
	free       bool // in the pool of transient sessions

	created, used clock.Instant
	evictByAny    bool // as of the last use, as in Kafka
	evictByFollow bool
	counted       int // partitions that the cache has counted for it

	first, last  *Partition
	turned       *Partition // to go to the end
	lastTurned   *Partition
	n            int
	names        map[nameKey]*Partition
	ids          map[idKey]*Partition
	spare        *Partition
	older, newer *session // in the cache's order of use
}

type nameKey struct {
	topic     string
	partition int32
}

type idKey struct {
	topic     protocol.TopicID
	partition int32
}

func (s *session) find(t *hot.FetchTopic, partition int32) *Partition {
	if s.byID {
		return s.ids[idKey{t.ID, partition}]
	}
	return s.names[nameKey{string(t.Name), partition}]
}

// put adds a partition of the request, or updates it.
func (c *Cache) put(s *session, t *hot.FetchTopic, want *hot.FetchPartition) {
	if p := s.find(t, want.Index); p != nil {
		p.Want = *want
		return
	}
	p := s.spare
	if p == nil {
		p = new(Partition)
	} else {
		s.spare = p.next
	}
	*p = Partition{Want: *want, sentHigh: -1, sentStart: -1}
	if s.byID {
		p.TopicID = t.ID
		if s.ids == nil {
			s.ids = make(map[idKey]*Partition)
		}
		s.ids[idKey{t.ID, want.Index}] = p
	} else {
		p.Topic = c.intern(t.Name)
		if s.names == nil {
			s.names = make(map[nameKey]*Partition)
		}
		s.names[nameKey{p.Topic, want.Index}] = p
	}
	s.link(p)
	s.n++
}

// forget drops a partition; an unknown one is no error.
func (s *session) forget(t *hot.FetchTopic, partition int32) {
	p := s.find(t, partition)
	if p == nil {
		return
	}
	if s.byID {
		delete(s.ids, idKey{t.ID, partition})
	} else {
		delete(s.names, nameKey{p.Topic, partition})
	}
	s.unlink(p)
	s.n--
}

func (s *session) link(p *Partition) {
	p.prev, p.next = s.last, nil
	if s.last == nil {
		s.first = p
	} else {
		s.last.next = p
	}
	s.last = p
}

func (s *session) unlink(p *Partition) {
	if p.prev == nil {
		s.first = p.next
	} else {
		p.prev.next = p.next
	}
	if p.next == nil {
		s.last = p.prev
	} else {
		p.next.prev = p.prev
	}
	p.next, p.prev = nil, nil
}

// turn remembers that p goes to the end; not at once, for the engine walks the list.
func (s *session) turn(p *Partition) {
	if p.isTurned {
		return
	}
	p.isTurned, p.turned = true, nil
	if s.lastTurned == nil {
		s.turned = p
	} else {
		s.lastTurned.turned = p
	}
	s.lastTurned = p
}

// settle moves the partitions that had their turn to the end (I3).
func (s *session) settle() {
	for p := s.turned; p != nil; {
		next := p.turned
		p.turned, p.isTurned = nil, false
		s.unlink(p)
		s.link(p)
		p = next
	}
	s.turned, s.lastTurned = nil, nil
}

// reset empties a transient session for its next request; the memory stays.
func (s *session) reset() {
	clear(s.names)
	clear(s.ids)
	for p := s.first; p != nil; {
		next := p.next
		*p = Partition{next: s.spare}
		s.spare = p
		p = next
	}
	names, ids, spare := s.names, s.ids, s.spare
	*s = session{names: names, ids: ids, spare: spare}
}

// Ticket is one Fetch request under way. Hand it to End when the answer is made.
type Ticket struct {
	s     *session
	epoch int32
	full  bool // all partitions are answered
}

// ID is the session id for the answer; 0: there is no session.
func (t Ticket) ID() int32 { return t.s.id }

// Full says whether the request named all its partitions: all are answered.
func (t Ticket) Full() bool { return t.full }

// First is the partition to read first, or nil.
func (t Ticket) First() *Partition { return t.s.first }

// Len is the number of partitions.
func (t Ticket) Len() int { return t.s.n }

// Current says whether the request is still the latest of its session. If a later one
// came (from a client that gave up waiting and connected anew), the answer is
// INVALID_FETCH_SESSION_EPOCH without partitions, with the session's id, and neither
// Respond nor the partitions may be touched any more.
func (t Ticket) Current() bool { return t.s.id == 0 || t.s.epoch == t.epoch }

// Respond says whether p belongs in the answer, and keeps what the fetcher knows then.
// Call it once a partition, when the answer is sure to be sent.
//
//hot:noalloc
func (t Ticket) Respond(p *Partition, r *Result) bool {
	invariant.Check(t.Current())
	must := r.Must || r.Records > 0 || r.Code != protocol.None ||
		p.sentHigh != r.HighWatermark || p.sentStart != r.LogStart
	p.sentHigh, p.sentStart = r.HighWatermark, r.LogStart
	if r.Code != protocol.None {
		p.sentHigh = -1 // so that the end of the error is told, too
	}
	if t.full {
		return true
	}
	if r.Records > 0 {
		t.s.turn(p)
	}
	return must
}
