package session

import (
	"math"
	"time"

	"millrace/internal/clock"
	"millrace/internal/invariant"
	"millrace/protocol"
	"millrace/protocol/hot"
)

// Epochs with a meaning of their own (FetchMetadata in Kafka).
const (
	Initial int32 = 0  // a full request that asks for a session
	Final   int32 = -1 // a full request that wants none, and closes the one it names
)

// firstIDVersion is the first version of Fetch that names topics by id.
const firstIDVersion = 13

// Limits of the pool of transient sessions: it is for requests of usual size.
const (
	pooledSessions   = 64
	pooledPartitions = 1024
)

// Limits of the names kept, 1 MB: after so many it begins anew.
const (
	internedNames = 4096
	topicNameMax  = 249
)

// Options of a Cache.
type Options struct {
	Core, Cores   int
	Slots         int           // max.incremental.fetch.session.cache.slots, this core's share
	MaxPartitions int           // cached partitions of all sessions together
	EvictAfter    time.Duration // min.incremental.fetch.session.eviction.ms
	Seed          uint64
}

// Defaults of Options: Kafka's. It has no limit of partitions; ours bounds the memory of
// all cores' sessions to about 250 MB.
const (
	DefaultSlots         = 1000
	DefaultEvictAfter    = 120 * time.Second
	DefaultMaxPartitions = 1 << 20
)

// Stats are the cache's figures for metrics.
type Stats struct {
	Sessions   int
	Partitions int
	Evictions  uint64
}

// Cache is the sessions of one core.
type Cache struct {
	o          Options
	sessions   map[int32]*session
	oldest     *session // in order of use
	newest     *session
	partitions int
	evictions  uint64
	random     uint64
	pool       []*session
	names      map[string]string
}

// New returns an empty cache. The zero values of Slots, MaxPartitions and EvictAfter
// mean what they say: no sessions, and all of them are old.
func New(o Options) *Cache {
	invariant.Checkf(o.Cores > 0 && o.Core >= 0 && o.Core < o.Cores, "session: core %d of %d",
		o.Core, o.Cores)
	return &Cache{o: o, sessions: make(map[int32]*session), random: o.Seed,
		names: make(map[string]string)}
}

// Stats returns the figures.
func (c *Cache) Stats() Stats {
	return Stats{Sessions: len(c.sessions), Partitions: c.partitions, Evictions: c.evictions}
}

// Open takes a request and brings its session up to date, or makes a new one. q must have
// been parsed at this version; its iteration is used up. The codes are
// FETCH_SESSION_ID_NOT_FOUND, INVALID_FETCH_SESSION_EPOCH and FETCH_SESSION_TOPIC_ID_ERROR:
// then there is no Ticket, and the answer has the code, session id 0 and no partitions.
//
// A second request for a session may come before the first is answered: see Current.
//
//hot:noalloc
func (c *Cache) Open(now clock.Instant, version int16, q *hot.FetchRequest) (Ticket,
	protocol.Code) {
	q.Rewind()
	byID := version >= firstIDVersion
	if q.SessionEpoch == Initial || q.SessionEpoch == Final {
		return c.openFull(now, byID, q), protocol.None
	}
	s := c.sessions[q.SessionID]
	switch {
	case s == nil:
		return Ticket{}, protocol.FetchSessionIdNotFound
	case s.epoch != q.SessionEpoch:
		return Ticket{}, protocol.InvalidFetchSessionEpoch
	case s.byID != byID:
		return Ticket{}, protocol.FetchSessionTopicIdError
	}
	s.settle()
	c.read(s, q)
	for q.NextForgotten() {
		for q.NextForgottenPartition() {
			s.forget(&q.ForgottenTopic, q.ForgottenPartition)
		}
	}
	s.epoch = nextEpoch(s.epoch)
	if s.n == 0 {
		c.remove(s)
		return Ticket{s: c.transient(byID), full: true}, protocol.None
	}
	if c.partitions-s.counted+s.n > c.o.MaxPartitions { // I5
		c.remove(s)
		return Ticket{}, protocol.FetchSessionIdNotFound // it goes on with full requests
	}
	c.touch(s, now)
	return Ticket{s: s, epoch: s.epoch}, protocol.None
}

func (c *Cache) openFull(now clock.Instant, byID bool, q *hot.FetchRequest) Ticket {
	if old := c.sessions[q.SessionID]; old != nil {
		c.remove(old)
	}
	s := c.transient(byID)
	c.read(s, q)
	if q.SessionEpoch == Initial && c.makeRoom(now, q.ReplicaID >= 0, s.n) {
		s.id, s.epoch = c.newID(), 1
		s.privileged = q.ReplicaID >= 0
		s.created = now
		s.spare = nil
		c.sessions[s.id] = s
		c.touch(s, now)
	}
	return Ticket{s: s, epoch: s.epoch, full: true}
}

// End closes a request: partitions answered with records go to the end of the order, and
// a transient session is freed.
//
//hot:noalloc
func (c *Cache) End(t Ticket) {
	s := t.s
	if s.id != 0 {
		if s.epoch == t.epoch {
			s.settle()
		}
		return
	}
	invariant.Check(!s.free) // one End per Ticket
	if s.n > pooledPartitions || len(c.pool) >= pooledSessions {
		return
	}
	s.reset()
	s.free = true
	c.pool = append(c.pool, s)
}

// transient returns an empty session that is not in the cache.
func (c *Cache) transient(byID bool) *session {
	var s *session
	if n := len(c.pool); n > 0 {
		s, c.pool = c.pool[n-1], c.pool[:n-1]
		s.free = false
	} else {
		s = new(session)
	}
	s.byID = byID
	return s
}

func (c *Cache) read(s *session, q *hot.FetchRequest) {
	for q.NextTopic() {
		for q.NextPartition() {
			c.put(s, &q.Topic, &q.Partition)
		}
	}
}

// intern keeps one copy of a topic's name for all sessions that know it.
func (c *Cache) intern(name []byte) string {
	if known, ok := c.names[string(name)]; ok {
		return known
	}
	if len(name) > topicNameMax {
		return string(name) // no topic has it
	}
	if len(c.names) >= internedNames {
		clear(c.names)
	}
	known := string(name)
	c.names[known] = known
	return known
}

func nextEpoch(epoch int32) int32 {
	if epoch == math.MaxInt32 {
		return 1
	}
	return epoch + 1
}

// newID returns an id that no session has (I1).
func (c *Cache) newID() int32 {
	span := uint64(math.MaxInt32 / c.o.Cores)
	for {
		id := int32(c.next()%span)*int32(c.o.Cores) + int32(c.o.Core)
		if id > 0 && c.sessions[id] == nil {
			return id
		}
	}
}

// next is splitmix64.
func (c *Cache) next() uint64 {
	c.random += 0x9e3779b97f4a7c15
	z := c.random
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// touch makes s the latest used, and settles who may evict it.
func (c *Cache) touch(s *session, now clock.Instant) {
	c.unlink(s)
	s.used = now
	s.older = c.newest
	if c.newest == nil {
		c.oldest = s
	} else {
		c.newest.newer = s
	}
	c.newest = s
	c.partitions += s.n - s.counted
	s.counted = s.n
	aged := now.Sub(s.created) > c.o.EvictAfter
	s.evictByAny = aged
	s.evictByFollow = aged || !s.privileged
}

func (c *Cache) unlink(s *session) {
	if s.older != nil {
		s.older.newer = s.newer
	} else if c.oldest == s {
		c.oldest = s.newer
	}
	if s.newer != nil {
		s.newer.older = s.older
	} else if c.newest == s {
		c.newest = s.older
	}
	s.older, s.newer = nil, nil
}

func (c *Cache) remove(s *session) {
	c.unlink(s)
	c.partitions -= s.counted
	s.counted = 0
	delete(c.sessions, s.id)
}

// makeRoom says whether a new session of n partitions may come in, evicting one for it if
// there must be. A new session evicts one that is stale, one that is not privileged if
// the new one is, or a smaller one that is not new.
func (c *Cache) makeRoom(now clock.Instant, privileged bool, n int) bool {
	if len(c.sessions) < c.o.Slots {
		return c.partitions+n <= c.o.MaxPartitions // I5
	}
	victim := c.victim(now, privileged, n)
	if victim == nil || c.partitions-victim.counted+n > c.o.MaxPartitions {
		return false
	}
	c.remove(victim)
	c.evictions++
	return true
}

func (c *Cache) victim(now clock.Instant, privileged bool, n int) *session {
	if c.oldest == nil {
		return nil
	}
	if now.Sub(c.oldest.used) > c.o.EvictAfter {
		return c.oldest
	}
	var least *session
	for s := c.oldest; s != nil; s = s.newer {
		evictable := s.evictByAny || privileged && s.evictByFollow
		if evictable && (least == nil || less(s, least)) {
			least = s
		}
	}
	if least == nil || least.privileged && !privileged ||
		least.privileged == privileged && n <= least.counted {
		return nil
	}
	return least
}

// less is Kafka's order of worth: not privileged first, then fewer partitions.
func less(a, b *session) bool {
	if a.privileged != b.privileged {
		return !a.privileged
	}
	if a.counted != b.counted {
		return a.counted < b.counted
	}
	return a.id < b.id
}
