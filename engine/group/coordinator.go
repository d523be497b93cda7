package group

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/internal/clock"
	"millrace/internal/invariant"
	"millrace/protocol"
)

// Coordinator is the groups of one core.
type Coordinator struct {
	o          Options
	partitions map[int32]*partition // of __consumer_offsets, that this core owns
	order      []*partition         // the same, by time of arrival
	timers     timers
	batches    map[Ticket]*batch
	lastTicket Ticket
	random     *rand.ChaCha8
	offsets    int // stored, of all groups
	skipped    uint64
	bad        uint64
	refused    int           // batches that were not stored, since it was last told
	tellAfter  clock.Instant // when it may be told again

	now clock.Now // of the call under way

	steady clock.Steady
	aged   int64 // the wall clock by which offsets expire
	out    *Effects
}

// partition is one partition of __consumer_offsets and the groups in it.
type partition struct {
	id      int32
	loading bool
	gone    bool
	groups  map[string]*group
	list    []*group // the same; I7
	sweep   timer
	cursor  int // of the retention sweep in list
}

// batch is records on their way to the disk, and what happens then.
type batch struct {
	ticket Ticket
	done   []func(protocol.Code)
}

func (b *batch) then(f func(protocol.Code)) { b.done = append(b.done, f) }

// New returns a coordinator that owns no partition yet.
func New(o Options) *Coordinator {
	invariant.Checkf(o.Partitions > 0 && o.Topics != nil && o.Log != nil,
		"group: options are not complete")
	var seed [32]byte
	binary.LittleEndian.PutUint64(seed[:], o.Seed)
	return &Coordinator{
		o:          o,
		partitions: make(map[int32]*partition),
		batches:    make(map[Ticket]*batch),
		random:     rand.NewChaCha8(seed),
	}
}

// begin notes the call's time and effects, so that they need not be handed down.
func (c *Coordinator) begin(now clock.Now, out *Effects) {
	c.now, c.out = now, out
	c.aged = c.steady.Wall(now)
}

func (c *Coordinator) reply(tok Token, resp kmsg.Response) {
	c.out.Replies = append(c.out.Replies, Reply{tok, resp})
}

// home finds the partition that holds a group's records, if it is ours and loaded.
func (c *Coordinator) home(group string) (*partition, protocol.Code) {
	p := c.partitions[PartitionFor(group, c.o.Partitions)]
	switch {
	case p == nil:
		return nil, protocol.NotCoordinator
	case p.loading:
		return nil, protocol.CoordinatorLoadInProgress
	}
	return p, protocol.None
}

// find is home, and the group if there is one.
func (c *Coordinator) find(group string) (*partition, *group, protocol.Code) {
	p, code := c.home(group)
	if p == nil {
		return nil, nil, code
	}
	return p, p.groups[group], protocol.None
}

// append sends one batch to the disk; done runs when that is decided. The result is nil
// if the batch is refused at once, after done has run.
func (c *Coordinator) append(p *partition, records []Record, done func(protocol.Code)) *batch {
	size := batchOverhead
	for i := range records {
		size += records[i].size()
	}
	if size > c.o.BatchMax {
		done(protocol.MessageTooLarge)
		return nil
	}
	c.lastTicket++
	b := &batch{ticket: c.lastTicket, done: []func(protocol.Code){done}}
	c.batches[b.ticket] = b
	c.out.Appends = append(c.out.Appends, Append{b.ticket, p.id, records})
	return b
}

// Appended reports a batch: durable (None), or refused with a storage code, after
// which it never becomes readable. It releases the replies that waited.
func (c *Coordinator) Appended(now clock.Now, t Ticket, code protocol.Code, out *Effects) {
	c.begin(now, out)
	b := c.batches[t]
	invariant.Checkf(b != nil, "group: ticket %d is not under way", t)
	delete(c.batches, t)
	if code != protocol.None {
		c.notStored(code)
	}
	for _, done := range b.done {
		done(code)
	}
}

// tellEvery is how often it is told that records were not stored: on a full disk that is
// every commit.
const tellEvery = 10 * time.Second

func (c *Coordinator) notStored(code protocol.Code) {
	c.refused++
	if c.now.Mono < c.tellAfter {
		return
	}
	c.o.Log.Warn("group records were not stored", "code", code.String(), "times", c.refused)
	c.refused, c.tellAfter = 0, c.now.Mono.Add(tellEvery)
}

// storeError is the code that a client gets when records could not be stored.
func storeError(code protocol.Code) protocol.Code {
	switch code {
	case protocol.UnknownTopicOrPartition, protocol.NotEnoughReplicas, protocol.RequestTimedOut,
		protocol.NotEnoughReplicasAfterAppend:
		return protocol.CoordinatorNotAvailable
	case protocol.NotLeaderOrFollower, protocol.KafkaStorageError:
		return protocol.NotCoordinator
	case protocol.MessageTooLarge, protocol.RecordListTooLarge, protocol.InvalidFetchSize:
		return protocol.UnknownServerError
	}
	return code
}

// Expire runs the timers that are due: sessions, rebalances, offset retention.
func (c *Coordinator) Expire(now clock.Now, out *Effects) {
	c.begin(now, out)
	for t := c.timers.pop(now.Mono); t != nil; t = c.timers.pop(now.Mono) {
		t.fire()
	}
}

// Next is when Expire wants to be called, clock.Never if there is no need. It may be
// earlier than something happens, never later.
func (c *Coordinator) Next() clock.Instant { return c.timers.next() }

func (c *Coordinator) arm(t *timer, after time.Duration) {
	c.timers.arm(t, c.now.Mono.Add(after))
}

// newMemberID is Kafka's form: what the client or the instance is called, and a UUID.
func (c *Coordinator) newMemberID(prefix string) string {
	var u [16]byte
	binary.BigEndian.PutUint64(u[:], c.random.Uint64())
	binary.BigEndian.PutUint64(u[8:], c.random.Uint64())
	u[6] = u[6]&0x0f | 0x40
	u[8] = u[8]&0x3f | 0x80
	var x [36]byte
	hex.Encode(x[:], u[:4])
	hex.Encode(x[9:], u[4:6])
	hex.Encode(x[14:], u[6:8])
	hex.Encode(x[19:], u[8:10])
	hex.Encode(x[24:], u[10:])
	x[8], x[13], x[18], x[23] = '-', '-', '-', '-'
	return prefix + "-" + string(x[:])
}

// Each visits the committed offsets, for lag metrics.
func (c *Coordinator) Each(visit func(group, topic string, partition int32,
	offset, commitTimestamp int64)) {
	for _, p := range c.order {
		for _, g := range p.list {
			for topic, slots := range g.offsets {
				for n, s := range slots {
					if s.stored {
						visit(g.name, topic, n, s.offset, s.at)
					}
				}
			}
		}
	}
}

// Stats returns the figures.
func (c *Coordinator) Stats() Stats {
	s := Stats{
		Offsets: c.offsets, Pending: len(c.batches), Skipped: c.skipped, Bad: c.bad,
	}
	for _, p := range c.order {
		for _, g := range p.list {
			s.Groups[g.state]++
		}
	}
	return s
}
