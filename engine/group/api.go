package group

import (
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/protocol"
)

// Token names a waiting request; the engine maps it to its answer slot.
type Token uint64

// Ticket names a batch on its way to the disk.
type Ticket uint64

// Reply answers one request. The response has the request's version.
type Reply struct {
	Token    Token
	Response kmsg.Response
}

// Record is one record for __consumer_offsets; a nil Value is a tombstone.
type Record struct{ Key, Value []byte }

// Append is one batch for a partition of __consumer_offsets: all of it or nothing.
// The engine appends the batches of a partition in the order they came, as the
// partition's leader with acks=all, and reports each by Appended.
type Append struct {
	Ticket    Ticket
	Partition int32
	Records   []Record
}

// Effects is what calls leave for the engine to do. The engine empties it with Reset.
type Effects struct {
	Replies []Reply
	Appends []Append
}

// Reset empties e and keeps its memory.
func (e *Effects) Reset() {
	clear(e.Replies)
	clear(e.Appends)
	e.Replies, e.Appends = e.Replies[:0], e.Appends[:0]
}

// Client is who sent a request.
type Client struct {
	ID   string
	Host string // as Java prints an InetAddress: "/127.0.0.1"
}

// Topics resolves topics, from the cluster image of the moment.
type Topics interface {
	ByName(name string) (id protocol.TopicID, partitions int32, ok bool)
	ByID(id protocol.TopicID) (name string, partitions int32, ok bool)
}

// Options of a Coordinator; the names in the comments are Kafka's.
type Options struct {
	Partitions        int           // of __consumer_offsets (offsets.topic.num.partitions)
	MinSessionTimeout time.Duration // group.min.session.timeout.ms
	MaxSessionTimeout time.Duration // group.max.session.timeout.ms
	InitialDelay      time.Duration // group.initial.rebalance.delay.ms
	MaxSize           int           // group.max.size
	OffsetMetadataMax int           // offset.metadata.max.bytes
	OffsetsRetention  time.Duration // offsets.retention.minutes
	RetentionCheck    time.Duration // offsets.retention.check.interval.ms
	BatchMax          int           // max.message.bytes of __consumer_offsets
	Seed              uint64        // of the member ids
	Topics            Topics
	Log               *slog.Logger
}

// Defaults returns Kafka's defaults. Topics is still to be set.
func Defaults() Options {
	return Options{
		Partitions:        50,
		MinSessionTimeout: 6 * time.Second,
		MaxSessionTimeout: 30 * time.Minute,
		InitialDelay:      3 * time.Second,
		MaxSize:           1<<31 - 1,
		OffsetMetadataMax: 4096,
		OffsetsRetention:  7 * 24 * time.Hour,
		RetentionCheck:    10 * time.Minute,
		BatchMax:          1048588,
		Log:               slog.New(slog.DiscardHandler),
	}
}

// Limits of our own.
const (
	// pendingMax bounds, per group, the members that were given an id and did not join
	// with it yet: each costs memory for a session timeout, and nobody is asked who he is.
	pendingMax = 10_000
	// sweepGroups and sweepRecords bound the work of one retention step in a turn, and
	// the batches that it and the deletion of topics write.
	sweepGroups  = 200
	sweepRecords = 500
)

// newMemberTimeout is how long a new member's first JoinGroup may wait: its client may
// be gone, and it cannot send heartbeats yet. Kafka has it fixed, too.
const newMemberTimeout = 5 * time.Minute

// Stats are figures for metrics.
type Stats struct {
	Groups  [stateCount]int // by State
	Offsets int             // committed offsets held
	Pending int             // batches not yet durable
	Skipped uint64          // records of other kinds met while loading
	Bad     uint64          // records met while loading that could not be read
}

// State is a group's state.
type State uint8

// Kafka's states of a classic group. A dead group is one that is unknown.
const (
	Empty State = iota
	PreparingRebalance
	CompletingRebalance
	Stable
	Dead
	stateCount
)

var stateNames = [stateCount]string{
	"Empty", "PreparingRebalance", "CompletingRebalance", "Stable", "Dead",
}

// String is the name in ListGroups and DescribeGroups.
func (s State) String() string { return stateNames[s] }

// PartitionFor is the partition of __consumer_offsets that holds a group: Kafka's
// abs(String.hashCode) mod n, over UTF-16 code units.
func PartitionFor(group string, partitions int) int32 {
	var h int32
	for _, r := range group {
		if r >= 0x10000 {
			r -= 0x10000
			h = 31*h + 0xd800 + r>>10
			r = 0xdc00 + r&0x3ff
		}
		h = 31*h + r
	}
	switch {
	case h == -1<<31:
		h = 0
	case h < 0:
		h = -h
	}
	return h % int32(partitions)
}
