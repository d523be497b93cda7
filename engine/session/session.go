package session

import (
	"millrace/internal/clock"
	"millrace/protocol"
)

// Epochs with a meaning of their own (FetchMetadata in Kafka).
const (
	Initial int32 = 0  // a full request that asks for a session
	Final   int32 = -1 // a full request that wants none, and closes the one it names
)

// Header is what a fetch request says of its session.
type Header struct {
	ID       int32 // 0: none
	Epoch    int32
	ByID     bool // version ≥ 13: topics are named by id
	Follower bool // a replica fetches: its session is privileged
}

// Want is one partition of a fetch request. Topic is used up to version 12, TopicID
// from 13 on. Topic is only read during the call.
type Want struct {
	Topic            []byte
	TopicID          protocol.TopicID
	Partition        int32
	MaxBytes         int32
	CurrentEpoch     int32 // CurrentLeaderEpoch, -1: not given
	LastFetchedEpoch int32 // -1: not given
	Offset           int64
	LogStart         int64 // the fetcher's own log start offset: followers only, else -1
}

// Result is what reading one partition came to, as far as a session minds.
type Result struct {
	Bytes         int // size of the records that would be sent
	HighWatermark int64
	LogStart      int64
	Code          protocol.Code
	Must          bool // must be sent for another reason: a preferred replica, a diverging epoch
}

// Partition is one partition of a session. The request's side is for the engine to read.
type Partition struct {
	Topic            string // version ≤ 12
	TopicID          protocol.TopicID
	Partition        int32
	MaxBytes         int32
	CurrentEpoch     int32
	LastFetchedEpoch int32
	Offset           int64
	LogStart         int64
	User             uint64 // the engine's; 0 in a new partition

	sentHigh  int64 // what the fetcher knows
	sentStart int64
	next      *Partition
	prev      *Partition
	turned    *Partition // the next one that goes to the end, by End
	isTurned  bool
}

// Next is the partition after p, or nil.
func (p *Partition) Next() *Partition { return p.next }

// Ticket names the request that a session serves now: what Seal returns.
type Ticket struct {
	Session *Session
	Epoch   int32 // the session's epoch while this request is its latest
}

// Options of a Cache.
type Options struct {
	Core, Cores   int
	Slots         int   // max.incremental.fetch.session.cache.slots, this core's share
	MaxPartitions int   // cached partitions over all sessions of this core
	EvictMillis   int64 // min.incremental.fetch.session.eviction.ms
	Seed          uint64
}

// Defaults of Options: Kafka's.
const (
	DefaultSlots         = 1000
	DefaultEvictMillis   = 120_000
	DefaultMaxPartitions = 1 << 20 // × ~200 bytes = 200 MB, at worst
)

// Begin opens the session that a request names, or a transient one for a full
// request. The codes are FETCH_SESSION_ID_NOT_FOUND, INVALID_FETCH_SESSION_EPOCH and
// FETCH_SESSION_TOPIC_ID_ERROR: they go into the top of an otherwise empty answer
// with session id 0.
func (c *Cache) Begin(now clock.Instant, h Header) (*Session, protocol.Code) { panic("soon") }

// Put adds a partition of the request, or updates it.
func (s *Session) Put(w *Want) { panic("soon") }

// Forget drops a partition ("forgotten topics"); an unknown one is no error.
func (s *Session) Forget(topic []byte, id protocol.TopicID, partition int32) { panic("soon") }

// Seal ends the reading of the request. After it the partitions are read by First
// and Next. A full request gets its session here if there is room.
func (c *Cache) Seal(now clock.Instant, s *Session) Ticket { panic("soon") }

// ID is the session id for the answer, 0 for none.
func (s *Session) ID() int32 { panic("soon") }

// First is the partition to read first, or nil.
func (s *Session) First() *Partition { panic("soon") }

// Len is the number of partitions.
func (s *Session) Len() int { panic("soon") }

// Current says whether the request of t is still the latest of its session. When a
// later request came (a client that gave up waiting, on a new connection), the answer
// is INVALID_FETCH_SESSION_EPOCH with the session's id, and neither Respond nor any of
// the partitions may be touched.
func (t Ticket) Current() bool { panic("soon") }

// Respond says whether p belongs in the answer, and remembers what the fetcher then
// knows. Call it once per partition, when the answer is certain to be sent.
func (s *Session) Respond(p *Partition, r Result) bool { panic("soon") }

// End closes the request: partitions answered with records go to the end of the
// order, and a transient session is freed.
func (c *Cache) End(t Ticket) { panic("soon") }

// Stats are the cache's figures for metrics.
type Stats struct {
	Sessions   int
	Partitions int
	Evictions  uint64
}

// Stats returns the figures.
func (c *Cache) Stats() Stats { panic("soon") }

// Cache is the sessions of one core.
type Cache struct{}

// Session is the partitions of one fetcher.
type Session struct{}

// New returns an empty cache.
func New(o Options) *Cache { panic("soon") }
