package engine

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"

	"millrace/internal/clock"
	"millrace/protocol"
	"millrace/raftmeta"
	"millrace/segment"
)

var (
	stormSeeds = flag.Int("storms", 100, "how many storms")
	stormSeed  = flag.Int64("storm", -1, "this storm only")
)

const stormParts = 3

// storm is one run: clients against cores, seeded.
type storm struct {
	k        *kernel
	clients  []*stormClient
	topics   []*stormTopic
	byName   map[string]*stormTopic
	mayClose bool // the broker may hang up: it is stopping
	heavy    bool // large batches

	answers, batches, acked int
}

type stormTopic struct {
	name  string
	id    protocol.TopicID
	confs []raftmeta.Config
	acked [stormParts][]stormBatch // of the present one
	high  [stormParts]int64        // as far as the clients know
}

func (st *storm) fail(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

// Clients storm over cores whose kernel does the worst; afterwards nothing is left.
func TestStorm(t *testing.T) {
	from, to := int64(0), int64(*stormSeeds)
	if *stormSeed >= 0 {
		from, to = *stormSeed, *stormSeed+1
	}
	var answers, batches, acked int
	for seed := from; seed < to; seed++ {
		st := runStorm(t, seed)
		if t.Failed() {
			t.Fatalf("again: go test ./engine -run TestStorm -storm %d", seed)
		}
		answers, batches, acked = answers+st.answers, batches+st.batches, acked+st.acked
	}
	t.Logf("%d answers, %d batches read, %d acknowledged", answers, batches, acked)
}

func runStorm(t *testing.T, seed int64) *storm {
	rng := rand.New(rand.NewPCG(uint64(seed), 11))
	st := &storm{byName: make(map[string]*stormTopic)}
	sizes := stormSizes{cores: 1 + rng.IntN(3), memory: 64 << 20, journal: 16 << 20}
	if rng.IntN(3) > 0 {
		sizes.memory, sizes.journal = 5<<20+rng.Int64N(6<<20), 4<<20
	}
	k := newKernel(rng, sizes)
	st.k = k
	k.slow, st.heavy = rng.IntN(2) == 0, rng.IntN(2) == 0
	defer func() {
		if e := recover(); e != nil {
			t.Errorf("storm %d (%+v): %v", seed, sizes, e)
			if *stormSeed >= 0 {
				panic(e)
			}
		}
		for _, p := range k.pools {
			p.Abandon()
		}
	}()
	if err := k.open(); err != nil {
		st.fail("open: %v", err)
	}
	st.makeTopics()
	for range 1 + rng.IntN(8) {
		st.clients = append(st.clients, &stormClient{st: st})
	}
	st.live(5000 + rng.IntN(15_000))
	if rng.IntN(2) == 0 {
		st.stop()
		if err := k.open(); err != nil {
			st.fail("open again: %v", err)
		}
		st.again()
		st.live(rng.IntN(5000))
	}
	st.calmDown()
	st.readBack()
	st.leave()
	st.stop()
	return st
}

// live is so many steps of the clients and the world.
func (st *storm) live(steps int) {
	k := st.k
	for range steps {
		if k.rng.IntN(500) == 0 {
			k.frozen = k.rng.IntN(2*len(k.cores)) - 1 // one of them, or none
		}
		if k.rng.IntN(6) == 0 {
			st.clients[k.rng.IntN(len(st.clients))].act()
			continue
		}
		k.step()
	}
}

// again begins another life of the same broker.
func (st *storm) again() {
	k := st.k
	k.calm, st.mayClose = false, false
	for i := range st.clients {
		st.clients[i] = &stormClient{st: st}
	}
	img := k.quorum.Image()
	for _, c := range k.cores {
		c.inbox.Post(func(c *Core) { c.install(img) })
	}
}

func (st *storm) makeTopics() {
	confs := [][]raftmeta.Config{nil, {{Name: "cleanup.policy", Value: "compact"}},
		{{Name: "compression.type", Value: "snappy"}}, {{Name: "message.timestamp.type", Value: "LogAppendTime"},
			{Name: "segment.bytes", Value: "1048576"}}}
	for i, c := range confs {
		top := &stormTopic{name: fmt.Sprintf("topic-%d", i), confs: c}
		st.topics, st.byName[top.name] = append(st.topics, top), top
		st.create(top)
	}
}

func (st *storm) create(top *stormTopic) {
	nt := newTopic(st.k.cores[0], top.name, stormParts, top.confs)
	for i := range nt.ID {
		nt.ID[i] = byte(st.k.rng.Uint32())
	}
	top.id, top.acked, top.high = nt.ID, [stormParts][]stormBatch{}, [stormParts]int64{}
	st.k.quorum.Propose(raftmeta.CreateTopics{Topics: []raftmeta.NewTopic{nt}},
		func(o raftmeta.Outcome, err error) {
			if err != nil || o.Code() != protocol.None {
				st.fail("create: %v %v", err, o)
			}
		})
}

// recreate deletes a topic and makes another one of the same name, all at once for the
// cores. Now and then it is __consumer_offsets that goes.
func (st *storm) recreate(i int) {
	top := st.topics[i]
	if st.k.rng.IntN(4) > 0 {
		return
	}
	ids := []protocol.TopicID{top.id}
	offsets := st.k.quorum.Image().Topic(offsetsTopic)
	if offsets != nil && st.k.rng.IntN(2) == 0 {
		ids = append(ids, offsets.ID)
	}
	st.k.quorum.Propose(raftmeta.DeleteTopics{IDs: ids}, func(raftmeta.Outcome, error) {})
	if len(ids) > 1 && st.k.rng.IntN(2) == 0 { // somebody makes it anew, with another count
		nt := newTopic(st.k.cores[0], offsetsTopic, 1+st.k.rng.Int32N(7), offsetsConfigs(&st.k.cfg))
		st.k.quorum.Propose(raftmeta.CreateTopics{Topics: []raftmeta.NewTopic{nt}},
			func(raftmeta.Outcome, error) {})
	}
	// Answers of Produce under way may be the old topic's.
	for _, cl := range st.clients {
		for j := range cl.asked {
			cl.asked[j].old = true
		}
	}
	st.create(top)
}

// calmDown ends the faults: every request that was sent whole is answered.
func (st *storm) calmDown() {
	k := st.k
	k.calm = true
	for _, cl := range st.clients {
		if s := cl.sock; s != nil && !s.closed && !s.eof {
			s.in = append(s.in, cl.out...)
			cl.out = nil
		}
	}
	if err := k.idle(200_000_000_000); err != nil {
		st.fail("%v", err)
	}
	for i, cl := range st.clients {
		s := cl.sock
		if s == nil || s.eof || cl.garbage {
			continue
		}
		cl.check(closedOnly(s))
		if len(cl.asked) > 0 {
			st.fail("client %d: %d requests were not answered, first %T: %s", i, len(cl.asked), cl.asked[0].req, k.state(s.fd))
		}
	}
}

func closedOnly(s *sock) *sock {
	if s.closed {
		return s
	}
	return nil
}

// readBack finds every acknowledged batch where the answer said it is.
func (st *storm) readBack() {
	for _, top := range st.topics {
		for part, list := range top.acked {
			tp := protocol.TopicPartition{Topic: top.id, Partition: int32(part)}
			c := st.k.cores[segment.CoreOf(tp, len(st.k.cores))]
			p := c.topics.find(tp)
			if p == nil {
				st.fail("%s-%d is not there", top.name, part)
			}
			seen := make(map[int64]uint64)
			for _, b := range list {
				if other, twice := seen[b.base]; twice && other != b.id {
					st.fail("%s-%d: offset %d was given twice", top.name, part, b.base)
				}
				seen[b.base] = b.id
				if b.base >= p.log.Marks().High {
					st.fail("%s-%d: acknowledged at %d, high is %d", top.name, part, b.base, p.log.Marks().High)
				}
			}
		}
	}
}

// leave closes all connections: nothing may be left of them.
func (st *storm) leave() {
	k := st.k
	for _, cl := range st.clients {
		if cl.sock != nil {
			cl.sock.eof = true
		}
	}
	if err := k.idle(200_000_000_000); err != nil {
		st.fail("%v", err)
	}
	if len(k.socks) > 0 {
		for fd := range k.socks {
			st.fail("%d descriptors are open: %s", len(k.socks), k.state(fd))
		}
	}
	if n := k.cores[0].limits.total; n != 0 || len(k.cores[0].limits.byHost) > 0 {
		st.fail("%d connections are counted, hosts %v", n, k.cores[0].limits.byHost)
	}
	for i, c := range k.cores {
		f := &c.fetches
		switch {
		case f.parked != 0 || f.pinned != 0 || len(f.cold) > 0 || len(f.finds) > 0:
			st.fail("core %d: %d parked, %d pinned, %d cold, %d searches", i, f.parked, f.pinned,
				len(f.cold), len(f.finds))
		case c.conns.live != 0 || c.rxBytes != 0 || len(c.starved) > 0:
			st.fail("core %d: %d connections, %d bytes, %d starved", i, c.conns.live, c.rxBytes, len(c.starved))
		case c.produces.held() || c.acks.head != c.acks.tail || c.kitchen.bytes != 0 || c.kitchen.running != 0:
			st.fail("core %d: produces %d acks %d kitchen %d", i, len(c.produces.hold),
				c.acks.tail-c.acks.head, c.kitchen.bytes)
		case len(c.groups.waiting) > 0:
			st.fail("core %d: %d replies of groups are owed", i, len(c.groups.waiting))
		}
		for _, p := range c.topics.parts {
			if p != nil && len(p.watchers) > 0 {
				st.fail("core %d: watchers are left", i)
			}
		}
		for _, x := range c.timers.heap {
			if x.task != nil {
				st.fail("core %d: a deadline is left", i)
			}
		}
		if f.tasks() != f.made {
			st.fail("core %d: %d of %d fetch tasks are free", i, f.tasks(), f.made)
		}
	}
}

func (b *fetchBook) tasks() (n int) {
	for t := b.free; t != nil; t = t.next {
		n++
	}
	return n
}

// stop ends the broker, loaded or not: it ends, and no memory is held.
func (st *storm) stop() {
	k := st.k
	st.mayClose, k.frozen = true, -1
	for _, c := range k.cores {
		c.inbox.Post(func(c *Core) { c.stop() })
	}
	ended := func() bool {
		for _, c := range k.cores {
			if !c.Ended() {
				return false
			}
		}
		return true
	}
	for n := 0; !ended(); n++ {
		for range 20 {
			k.step()
		}
		k.pass(clock.Instant(1_000_000))
		if n > 20_000 {
			st.fail("the stop does not end")
		}
	}
	k.calm = true
	if err := k.idle(1_000_000_000); err != nil {
		st.fail("after the stop: %v", err)
	}
	if err := segment.Close(k.shards); err != nil {
		st.fail("close: %v", err)
	}
	for i, p := range k.pools {
		if n := p.Held(); n != 0 {
			st.fail("core %d: %d bytes are held after the end", i, n)
		}
	}
}

// state is what a broker's end of a connection waits for.
func (k *kernel) state(fd int32) string {
	for _, c := range k.cores {
		for _, cn := range c.conns.slots {
			if cn.used && cn.fd == fd {
				text := fmt.Sprintf("core %d: closing %v reading %d sending %v starved %v need %d rx %d–%d, rxBytes %d held %d of %d;",
					c.id, cn.closing, cn.reading, cn.sending, cn.starved, cn.need, cn.rd, cn.wr, c.rxBytes, c.pool.Held(), c.pool.Budget())
				text += fmt.Sprintf(" hold %d acks %d kitchen %d ready %d admit %d", len(c.produces.hold),
					c.acks.tail-c.acks.head, c.kitchen.bytes, len(c.kitchen.ready), c.shard.Admit(4096))
				for s := cn.head; s != cn.tail; s++ {
					text += fmt.Sprintf(" %s:%d", cn.at(s).key, cn.at(s).state)
				}
				return text
			}
		}
	}
	return "no core has it"
}
