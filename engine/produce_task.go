package engine

import (
	"millrace/internal/arena"
	"millrace/protocol"
	"millrace/protocol/hot"
	"millrace/segment"
)

// produceTask is one Produce request on its way. Its home is the connection's core;
// each core that owns some of the partitions has a share.
type produceTask struct {
	to          answerTo
	version     int16
	acks        int16
	correlation int32
	rx          *arena.Buf // the request's bytes, held while other cores read them
	names       []byte     // copies of topic names, for the answer
	topics      []produceTopic
	parts       []producePart
	shares      []produceShare // by core
	pending     int            // shares that are not done
	age         uint8          // see produceBook.pass
	waits       bool           // one of the partitions is on its way to another core
	next        *produceTask
}

type produceTopic struct {
	name  [2]int // range of names
	id    protocol.TopicID
	parts int
}

// producePart is one partition of the request. Its owner fills in the result.
type producePart struct {
	tp       protocol.TopicPartition
	core     int32 // −1: refused at home
	records  []byte
	code     protocol.Code
	base     int64
	millis   int64
	logStart int64
	faults   []hot.RecordError // because of which the batch is refused (KIP-467)
	message  string
}

// produceShare is the parts of one core. Only that core touches it between the letter
// that brings it and the one that takes it home.
type produceShare struct {
	task *produceTask
	home int
	core int
	at   int         // the part to append next
	last segment.Seq // the newest entry of those appended
	open int         // appends that are not durable yet, and one while they are being made
	used bool
}

// produceBook is a core's Produce requests.
type produceBook struct {
	free *produceTask
	hold []*produceShare // wait until storage admits them; in order
	last segment.Seq     // newest staged entry

	flying [2]int // tasks that have begun, by age
	age    uint8
	turned bool
	fence  func(c *Core)
}

func (b *produceBook) init() {}

func (b *produceBook) take(cores, home int) *produceTask {
	t := b.free
	if t == nil {
		t = &produceTask{shares: make([]produceShare, cores)}
		for i := range t.shares {
			t.shares[i] = produceShare{task: t, home: home, core: i}
		}
	} else {
		b.free = t.next
	}
	t.next, t.rx, t.pending, t.waits = nil, nil, 0, false
	t.names, t.topics, t.parts = t.names[:0], t.topics[:0], t.parts[:0]
	for i := range t.shares {
		s := &t.shares[i]
		s.at, s.last, s.open, s.used = 0, 0, 0, false
	}
	return t
}

func (b *produceBook) put(c *Core, t *produceTask) {
	clear(t.parts)
	clear(t.topics)
	t.next, b.free = b.free, t
	b.flying[t.age]--
	if b.fence != nil {
		b.pass(c)
	}
}

// answerMax is the room that the answer takes at most.
func (t *produceTask) answerMax() int {
	n := hot.ProduceAnswerMax + len(t.topics)*hot.ProduceTopicMax +
		len(t.parts)*hot.ProducePartitionMax + len(t.names)
	for i := range t.parts {
		p := &t.parts[i]
		n += len(p.message)
		for j := range p.faults {
			n += hot.RecordErrorMax + len(p.faults[j].Message)
		}
	}
	return n
}

// held says whether appends wait: then producers are not read.
func (b *produceBook) held() bool { return len(b.hold) > 0 }

// retry appends what storage admits now, in order.
func (b *produceBook) retry(c *Core) {
	n := 0
	for n < len(b.hold) && c.appendShare(b.hold[n]) {
		n++
	}
	if n > 0 {
		rest := copy(b.hold, b.hold[n:])
		clear(b.hold[rest:])
		b.hold = b.hold[:rest]
	}
}

// ackQueue is what waits for durability, in the order of staging.
type ackQueue struct {
	items []ack // ring, a power of two
	head  uint32
	tail  uint32
}

// ack is one thing to do when seq is durable.
type ack struct {
	seq   segment.Seq
	share *produceShare
	fn    func(c *Core)
}

func (q *ackQueue) push(a ack) {
	if int(q.tail-q.head) == len(q.items) {
		bigger := make([]ack, max(64, 2*len(q.items)))
		for i := q.head; i != q.tail; i++ {
			bigger[i&uint32(len(bigger)-1)] = q.items[i&uint32(len(q.items)-1)]
		}
		q.items = bigger
	}
	q.items[q.tail&uint32(len(q.items)-1)] = a
	q.tail++
}

func (q *ackQueue) settle(c *Core) {
	durable := c.shard.Durable()
	for q.head != q.tail {
		at := &q.items[q.head&uint32(len(q.items)-1)]
		if at.seq > durable {
			return
		}
		a := *at
		*at = ack{}
		q.head++
		if a.share != nil {
			c.shareSettled(a.share)
			continue
		}
		a.fn(c)
	}
}
