package engine

import (
	"millrace/engine/session"
	"millrace/internal/clock"
	"millrace/netio"
	"millrace/protocol"
	"millrace/protocol/hot"
	"millrace/segment"
)

// fetchTask is one Fetch request on its way. Its home is the connection's core; each
// core that owns some of the partitions reads a share.
type fetchTask struct {
	to          answerTo
	version     int16
	correlation int32
	minBytes    int
	maxBytes    int
	deadline    clock.Instant
	committed   bool
	state       fetchState
	timer       uint32 // place in the core's timers, from 1 on; 0: the deadline is not armed
	late        bool   // the deadline passed while gathering
	again       bool   // a partition moved on while gathering
	ticket      session.Ticket
	ticketed    bool

	items    []fetchItem
	shares   []*fetchShare // by core; made when first needed
	pending  int           // shares being read
	out      int           // remote shares that must come back before the task is free
	recalled bool          // they do, to be sent elsewhere
	cuts     []fetchCut
	next     *fetchTask
}

type fetchState uint8

const (
	fetchFree fetchState = iota
	fetchGathering
	fetchParked
	fetchAnswered // being sent
	fetchDropped  // the connection is gone while shares are out
	fetchMoving   // a partition is elsewhere: the shares are called back
)

// fetchItem is one partition of the request, at home.
type fetchItem struct {
	part *session.Partition
	core int32
	read int32 // index in the share; −1: refused at home
	code protocol.Code
	keep bool // goes into the answer
	send bool // with its records
}

// fetchCut says that an item's records belong behind the first pos bytes of the answer.
type fetchCut struct {
	pos  int
	item int32
}

// fetchShare is what one core reads for a task.
type fetchShare struct {
	task     *fetchTask
	home     int
	core     int
	reads    []fetchRead
	extents  []segment.Extent
	maxBytes int
	use      uint32 // counts the fills, so that a cold read knows an old one
	cold     int    // reads under way
	bytes    int
	pinned   int
	watchAll bool // partitions with too little are waited for, too
	notified bool
	thirsty  bool // nothing was read, because readers hold too much
	moved    bool // a partition is another core's
	lent     bool // is with the other core
}

// fetchRead is one partition for its owner.
type fetchRead struct {
	tp       protocol.TopicPartition
	epoch    int32
	offset   int64
	max      int
	stable   bool
	code     protocol.Code
	high     int64
	lso      int64
	start    int64
	from, to int  // its extents
	cold     bool // they came from the disk
	bytes    int
	watch    *partition // parked here
	slot     int        // index in its watchers
}

// watcher is a parked read on a partition.
type watcher struct {
	share *fetchShare
	read  int
}

// fetchBook is a core's Fetch requests, and its side of other cores'.
type fetchBook struct {
	free     *fetchTask
	sessions *session.Cache
	cold     map[uint32]coldRead
	finds    map[uint32]func(c *Core, r segment.Result)
	pinned   int // bytes that readers hold
	parked   int
	made     int // tasks that exist
	woken    []*fetchShare
	thirsty  []*partition // with reads that got nothing, because readers hold too much
}

// coldRead is where a result of Shard.Read goes.
type coldRead struct {
	share *fetchShare
	use   uint32
	read  int
}

func (b *fetchBook) init(c *Core) {
	b.cold = make(map[uint32]coldRead)
	b.finds = make(map[uint32]func(*Core, segment.Result))
	b.sessions = session.New(session.Options{
		Core: c.id, Cores: c.cfg.Cores, Slots: max(1, c.cfg.SessionSlots/c.cfg.Cores),
		MaxPartitions: session.DefaultMaxPartitions, EvictAfter: session.DefaultEvictAfter,
		Seed: c.cfg.Seed,
	})
}

func (b *fetchBook) take(c *Core) *fetchTask {
	t := b.free
	if t == nil {
		t = &fetchTask{shares: make([]*fetchShare, len(c.peers))}
		b.made++
	} else {
		b.free = t.next
	}
	t.next = nil
	t.items, t.cuts = t.items[:0], t.cuts[:0]
	t.pending, t.out = 0, 0
	t.late, t.again, t.ticketed, t.recalled = false, false, false, false
	return t
}

// put frees a task whose shares are all home.
func (b *fetchBook) put(t *fetchTask) {
	t.state = fetchFree
	clear(t.items)
	t.ticket = session.Ticket{}
	t.next, b.free = b.free, t
}

// share returns the task's share for a core.
func (t *fetchTask) share(home, core int) *fetchShare {
	s := t.shares[core]
	if s == nil {
		s = &fetchShare{task: t, home: home, core: core}
		t.shares[core] = s
	}
	return s
}

// pieces appends the answer's memory: meta bytes and records in turn.
func (t *fetchTask) pieces(dst []netio.Vec, mem []byte) []netio.Vec {
	at := 0
	for _, cut := range t.cuts {
		if cut.pos > at {
			dst = append(dst, piece(mem[at:cut.pos]))
			at = cut.pos
		}
		it := &t.items[cut.item]
		s := t.shares[it.core]
		r := &s.reads[it.read]
		for _, e := range s.extents[r.from:r.to] {
			dst = append(dst, piece(e.Mem))
		}
	}
	if at < len(mem) {
		dst = append(dst, piece(mem[at:]))
	}
	return dst
}

// fetchMetaMax is the room that an answer without records takes at most.
func fetchMetaMax(items []fetchItem) int {
	n := hot.FetchAnswerMax
	for i := range items {
		n += hot.FetchTopicMax + hot.FetchPartitionMax + len(items[i].part.Topic)
	}
	return n
}
