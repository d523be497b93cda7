package group

import (
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/internal/clock"
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

// Topics resolves topic names and ids, from the image of the moment.
type Topics interface {
	TopicName(id protocol.TopicID) (string, bool)
	TopicID(name string) (protocol.TopicID, bool)
}

// Options of a Coordinator; names are Kafka's.
type Options struct {
	Partitions          int           // offsets.topic.num.partitions (of the topic as it is)
	MinSessionTimeout   time.Duration // group.min.session.timeout.ms
	MaxSessionTimeout   time.Duration // group.max.session.timeout.ms
	InitialDelay        time.Duration // group.initial.rebalance.delay.ms
	MaxSize             int           // group.max.size
	OffsetMetadataMax   int           // offset.metadata.max.bytes
	OffsetsRetention    time.Duration // offsets.retention.minutes
	RetentionCheckEvery time.Duration // offsets.retention.check.interval.ms
	Seed                uint64        // of the member ids
	Topics              Topics
	Log                 *slog.Logger
}

// Defaults returns Kafka's defaults.
func Defaults() Options {
	return Options{
		Partitions:          50,
		MinSessionTimeout:   6 * time.Second,
		MaxSessionTimeout:   30 * time.Minute,
		InitialDelay:        3 * time.Second,
		MaxSize:             1<<31 - 1,
		OffsetMetadataMax:   4096,
		OffsetsRetention:    7 * 24 * time.Hour,
		RetentionCheckEvery: 10 * time.Minute,
		Log:                 slog.New(slog.DiscardHandler),
	}
}

// New returns a coordinator that owns no partition yet.
func New(o Options) *Coordinator { panic("soon") }

// Join answers JoinGroup, now or when the rebalance is through.
func (c *Coordinator) Join(now clock.Now, tok Token, cl Client, req *kmsg.JoinGroupRequest,
	out *Effects) {
	panic("soon")
}

// Sync answers SyncGroup, now or when the leader's assignment is durable.
func (c *Coordinator) Sync(now clock.Now, tok Token, req *kmsg.SyncGroupRequest, out *Effects) {
	panic("soon")
}

// Heartbeat answers Heartbeat at once.
func (c *Coordinator) Heartbeat(now clock.Now, tok Token, req *kmsg.HeartbeatRequest,
	out *Effects) {
	panic("soon")
}

// Leave answers LeaveGroup at once.
func (c *Coordinator) Leave(now clock.Now, tok Token, req *kmsg.LeaveGroupRequest, out *Effects) {
	panic("soon")
}

// Commit answers OffsetCommit when the offsets are durable.
func (c *Coordinator) Commit(now clock.Now, tok Token, req *kmsg.OffsetCommitRequest,
	out *Effects) {
	panic("soon")
}

// The requests below may name groups of several partitions of __consumer_offsets, hence of
// several cores. The engine calls each core's coordinator with the groups that are its own
// (PartitionFor) and puts the pieces together.

// FetchOffsets answers for one group: the whole of a request up to version 7, one
// entry of Groups from 8 on. The slice and strings of the result are the caller's.
func (c *Coordinator) FetchOffsets(group *kmsg.OffsetFetchRequestGroup, version int16,
	requireStable bool) kmsg.OffsetFetchResponseGroup {
	panic("soon")
}

// Describe answers for one group of DescribeGroups.
func (c *Coordinator) Describe(group string, version int16) kmsg.DescribeGroupsResponseGroup {
	panic("soon")
}

// List appends the groups of this coordinator that pass the filters to dst. The code
// is COORDINATOR_LOAD_IN_PROGRESS while a partition loads.
func (c *Coordinator) List(states, types []string, dst []kmsg.ListGroupsResponseGroup) (
	[]kmsg.ListGroupsResponseGroup, protocol.Code) {
	panic("soon")
}

// Delete deletes one group and its offsets; it replies with a DeleteGroupsResponse of one
// group when that is durable.
func (c *Coordinator) Delete(now clock.Now, tok Token, group string, version int16,
	out *Effects) {
	panic("soon")
}

// DeleteOffsets answers OffsetDelete when it is durable.
func (c *Coordinator) DeleteOffsets(now clock.Now, tok Token, req *kmsg.OffsetDeleteRequest,
	out *Effects) {
	panic("soon")
}

// TopicsDeleted removes the offsets committed for the topics.
func (c *Coordinator) TopicsDeleted(now clock.Now, topics []string, out *Effects) {
	panic("soon")
}

// Cancel says that the connection of tok is gone: no reply is wanted any more. The
// member stays until its session expires, as in Kafka.
func (c *Coordinator) Cancel(tok Token) { panic("soon") }

// Appended reports a batch: durable (None), or refused with a storage code, after
// which it never becomes readable. It releases the replies that waited.
func (c *Coordinator) Appended(now clock.Now, t Ticket, code protocol.Code, out *Effects) {
	panic("soon")
}

// Expire runs the timers that are due: sessions, rebalances, offset retention.
func (c *Coordinator) Expire(now clock.Now, out *Effects) { panic("soon") }

// Next is when Expire wants to be called, clock.Never if there is no need.
func (c *Coordinator) Next() clock.Instant { panic("soon") }

// Loading begins to own a partition of __consumer_offsets: its groups are answered with
// COORDINATOR_LOAD_IN_PROGRESS until LoadDone. Before it and after Unload the answer is
// NOT_COORDINATOR.
func (c *Coordinator) Loading(partition int32) { panic("soon") }

// Load replays one record, in offset order. key and value are only read during the call.
// timestamp is the record's. What cannot be read is counted and skipped.
func (c *Coordinator) Load(partition int32, key, value []byte, timestamp int64) { panic("soon") }

// LoadDone opens the partition for requests and starts the members' timers.
func (c *Coordinator) LoadDone(now clock.Now, partition int32, out *Effects) { panic("soon") }

// Unload gives a partition up: waiting members are told NOT_COORDINATOR.
func (c *Coordinator) Unload(partition int32, out *Effects) { panic("soon") }

// Each visits the committed offsets, for lag metrics; the order is not defined.
func (c *Coordinator) Each(visit func(group, topic string, partition int32, offset, commitTimestamp int64)) {
	panic("soon")
}

// Stats are figures for metrics.
type Stats struct {
	Groups  map[string]int // by state, as ListGroups spells it
	Offsets int            // committed offsets held
	Pending int            // batches not yet durable
	Skipped uint64         // records of other kinds met while loading
	Bad     uint64         // records met while loading that could not be read
}

// Stats returns the figures.
func (c *Coordinator) Stats() Stats { panic("soon") }

// PartitionFor is the partition of __consumer_offsets that holds a group: Kafka's
// abs(String.hashCode) mod n, over UTF-16 code units.
func PartitionFor(group string, partitions int) int32 { panic("soon") }

// Coordinator is the groups of one core.
type Coordinator struct{}
