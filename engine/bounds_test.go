package engine

import (
	"bytes"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/internal/clock"
	"millrace/netio"
	"millrace/protocol"
	"millrace/protocol/batch"
	"millrace/raftmeta"
)

// createWith makes a topic with configs.
func (r *rig) createWith(name string, parts int32, configs ...raftmeta.Config) {
	r.t.Helper()
	topic := newTopic(r.cores[0], name, parts, configs)
	r.quorum.Propose(raftmeta.CreateTopics{Topics: []raftmeta.NewTopic{topic}},
		func(o raftmeta.Outcome, err error) {
			if err != nil || o.Code() != protocol.None {
				r.t.Fatal(err, o)
			}
		})
	r.run()
}

// A small batch that inflates to a gigabyte is refused, and takes a bounded amount of
// memory before that.
func TestCompressionBomb(t *testing.T) {
	r := newRig(t, 1)
	r.createWith("t", 1, raftmeta.Config{Name: "cleanup.policy", Value: "compact"})
	var b batch.Builder
	b.Reset(batch.Options{Codec: batch.Zstd})
	big := make([]byte, 16<<20)
	for range 24 {
		b.Add(1_700_000_000_000, []byte("key"), big, nil)
	}
	v, err := b.Finish()
	if err != nil {
		t.Fatal(err)
	}
	bomb := bytes.Clone(v)
	b, big, v = batch.Builder{}, nil, nil
	runtime.GC()
	if len(bomb) > 1<<20 {
		t.Fatalf("the bomb has %d bytes", len(bomb))
	}
	fd := r.connect(0)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	p := produced(t, r.ask(fd, produceRequest("t", 0, bomb)))
	runtime.ReadMemStats(&after)
	if protocol.Code(p.ErrorCode) != protocol.MessageTooLarge {
		t.Fatalf("code %d", p.ErrorCode)
	}
	if got := after.TotalAlloc - before.TotalAlloc; got > 4*inflateTimes<<20 {
		t.Errorf("%d MB were allocated", got>>20)
	}
}

// What recompression makes larger than max.message.bytes is refused, and what has to wait
// for cooking keeps its order.
func TestCookedOrderAndSize(t *testing.T) {
	r := newRig(t, 2)
	r.createWith("t", 4, raftmeta.Config{Name: "compression.type", Value: "uncompressed"},
		raftmeta.Config{Name: "max.message.bytes", Value: "20000"})
	fd := r.connect(0)
	packed := func(size int) []byte {
		var b batch.Builder
		b.Reset(batch.Options{Codec: batch.Gzip})
		b.Add(1_700_000_000_000, nil, make([]byte, size), nil)
		v, err := b.Finish()
		if err != nil {
			t.Fatal(err)
		}
		return bytes.Clone(v)
	}
	for part := range int32(4) {
		p := produced(t, r.ask(fd, produceRequest("t", part, packed(30_000))))
		if protocol.Code(p.ErrorCode) != protocol.MessageTooLarge {
			t.Fatalf("code %d", p.ErrorCode)
		}
		var all []byte
		for i := range 10 { // some are cooked, some wait for those
			recs := records(1, "plain")
			if i%2 == 0 {
				recs = packed(1000)
			}
			all = append(all, formatter.AppendRequest(nil, produceRequest("t", part, recs), int32(i))...)
		}
		r.write(fd, all)
		for i := range 10 {
			if p := produced(t, r.answer(fd, produceRequest("t", part, nil))); p.ErrorCode != 0 || p.BaseOffset != int64(i) {
				t.Fatalf("batch %d: %+v", i, p)
			}
		}
	}
	for _, c := range r.cores {
		if c.kitchen.bytes != 0 || c.kitchen.running != 0 {
			t.Errorf("kitchen: %d bytes, %d running", c.kitchen.bytes, c.kitchen.running)
		}
	}
}

// A fetch that is woken leaves no deadline behind, however far away it was.
func TestDeadlinesGo(t *testing.T) {
	r := newRig(t, 1)
	r.create("t", 1)
	a, b := r.connect(0), r.connect(0)
	for i := range 100 {
		f := fetchRequest("t", 0, int64(i), 1<<31-1)
		r.write(b, formatter.AppendRequest(nil, f, 42))
		r.ask(a, produceRequest("t", 0, records(1, "v")))
		r.answer(b, f)
	}
	if n := len(r.cores[0].timers.heap); n > 20 {
		t.Errorf("%d timers", n)
	}
}

// A fetch that waits for more bytes than there are holds none of them, and has them all at
// its deadline; one whose client is gone leaves no deadline.
func TestWaitingHoldsNothing(t *testing.T) {
	for cores := 1; cores <= 2; cores++ {
		r := newRig(t, cores)
		r.create("t", 2)
		a := r.connect(0)
		for part := range int32(2) {
			r.ask(a, produceRequest("t", part, records(5, "value")))
			b := r.connect(0)
			f := fetchRequest("t", part, 0, 1000)
			f.MinBytes = 1 << 20
			r.write(b, formatter.AppendRequest(nil, f, 42))
			r.ask(a, produceRequest("t", part, records(5, "value")))
			for i, c := range r.cores {
				if c.fetches.pinned != 0 {
					t.Errorf("core %d of %d: %d bytes are held", i, cores, c.fetches.pinned)
				}
			}
			if r.cores[0].fetches.parked != 1 || len(r.ends[b].got) > 0 {
				t.Fatal("not waiting")
			}
			r.now.Mono += clock.Instant(1_001_000_000)
			r.run()
			if p := onePart(t, r.answer(b, f)); len(p.RecordBatches) != 2*len(records(5, "value")) {
				t.Fatalf("%d bytes at the deadline", len(p.RecordBatches))
			}
			f.MaxWaitMillis = 1 << 30
			r.write(b, formatter.AppendRequest(nil, f, 42))
			r.ends[b].shut = true
			r.feed(b)
			r.run()
			for _, x := range r.cores[0].timers.heap {
				if x.task != nil {
					t.Error("a deadline is left")
				}
			}
		}
	}
}

// A client that closes only its sending side gets all its answers, and then the end: a
// fetch that would wait for more is answered with what there is.
func TestHalfClosed(t *testing.T) {
	for cores := 1; cores <= 2; cores++ {
		r := newRig(t, cores)
		r.create("t", 2)
		a := r.connect(0)
		for part := range int32(2) {
			r.ask(a, produceRequest("t", part, records(5, "value")))
			b, live := r.connect(0), r.cores[0].conns.live
			f := fetchRequest("t", part, 0, 1<<30)
			f.MinBytes = 1 << 20
			p := produceRequest("t", part, records(1, "value"))
			r.write(b, formatter.AppendRequest(nil, f, 42))
			r.write(b, formatter.AppendRequest(nil, p, 42))
			if len(r.ends[b].got) > 0 {
				t.Fatal("answered before the end")
			}
			r.ends[b].shut = true
			r.feed(b)
			r.run()
			if got := onePart(t, r.answer(b, f)); len(got.RecordBatches) == 0 {
				t.Error("the fetch got nothing")
			}
			if code := r.answer(b, p).(*kmsg.ProduceResponse).Topics[0].Partitions[0].ErrorCode; code != 0 {
				t.Errorf("produce: code %d", code)
			}
			if n := r.cores[0].conns.live; n != live-1 {
				t.Errorf("%d connections, want %d", n, live-1)
			}
		}
	}
}

// Letters that do not fit the ring between two cores wait, and keep their order.
func TestMailboxOverflow(t *testing.T) {
	r := newRig(t, 2)
	const n = 5*mailSlots + 7
	var got []int
	r.cores[0].inbox.Post(func(c *Core) {
		for i := range n {
			c.call(1, func(*Core) { got = append(got, i) })
		}
	})
	for range 3 {
		r.turn(0)
	}
	if r.outs[0].Next > r.now.Mono {
		t.Error("letters wait, but the core does not come back for them")
	}
	r.run()
	if len(got) != n {
		t.Fatalf("%d of %d letters came", len(got), n)
	}
	for i := range got {
		if got[i] != i {
			t.Fatalf("letter %d came as %d", got[i], i)
		}
	}
}

// A request that comes by mail from a core with a newer image finds its topic, even when
// the image's own event is late (I5).
func TestImageBeforeMail(t *testing.T) {
	r := newRig(t, 2)
	r.create("other", 1)
	cores := r.cores
	r.cores = cores[:1] // the event of the new image reaches core 0 only
	topic := newTopic(cores[0], "t", 8, nil)
	r.quorum.Propose(raftmeta.CreateTopics{Topics: []raftmeta.NewTopic{topic}}, func(raftmeta.Outcome, error) {})
	r.cores = cores
	fd := r.connect(0)
	for part := range int32(8) {
		if p := produced(t, r.ask(fd, produceRequest("t", part, records(1, "v")))); p.ErrorCode != 0 {
			t.Errorf("partition %d: code %d", part, p.ErrorCode)
		}
	}
}

// A connection is counted out by the address that it was counted in by, though the kernel
// no longer names it.
func TestCountedByAddress(t *testing.T) {
	r := newRig(t, 2)
	host := "10.1.1.1"
	for _, c := range r.cores {
		c.addrs = func(int32) (string, string) { return "127.0.0.1", host }
	}
	for range 4 {
		r.nextFd++
		r.ends[r.nextFd] = &end{core: -1}
		host = "10.1.1.1"
		r.complete(0, netio.MakeTag(tagAccept, 0, 0), int(r.nextFd))
		r.done[0][len(r.done[0])-1].More = true
		r.turn(0)
		host = "" // the peer is gone before the other core looks
		r.run()
	}
	if n := r.cores[0].limits.byHost["10.1.1.1"]; n != 4 {
		t.Fatalf("%d connections of the host", n)
	}
	for i, c := range r.cores {
		for _, cn := range c.conns.slots {
			r.ends[cn.fd].core = i
			r.ends[cn.fd].shut = true
			r.feed(cn.fd) // end of stream
		}
	}
	r.run()
	if l := &r.cores[0].limits; l.total != 0 || len(l.byHost) > 0 {
		t.Errorf("%d connections are counted: %v", l.total, l.byHost)
	}
}

// Requests larger than what storage has room for at once are taken piece by piece.
func TestRequestBeyondRoom(t *testing.T) {
	k := newKernel(rand.New(rand.NewPCG(5, 11)), stormSizes{cores: 1, memory: 8 << 20, journal: 4 << 20})
	if err := k.open(); err != nil {
		t.Fatal(err)
	}
	defer k.pools[0].Abandon()
	k.calm = true
	st := &storm{k: k, byName: make(map[string]*stormTopic)}
	st.makeTopics()
	cl := &stormClient{st: st}
	cl.sock = k.connect(cl)
	st.clients = append(st.clients, cl)
	for range 40 {
		req := produceRequest("topic-0", 0, records(1, string(make([]byte, 900_000))))
		for p := int32(1); p < stormParts; p++ {
			more := produceRequest("topic-0", p, records(1, string(make([]byte, 900_000))))
			req.Topics[0].Partitions = append(req.Topics[0].Partitions, more.Topics[0].Partitions...)
		}
		cl.send(req, 1, 2, 3)
	}
	cl.sock.in = append(cl.sock.in, cl.out...)
	if err := k.idle(5_000_000_000); err != nil {
		t.Fatal(err)
	}
	if len(cl.asked) > 0 || st.acked != 120 {
		t.Fatalf("%d of 120 batches acknowledged, %d requests open: %s", st.acked, len(cl.asked), k.state(cl.sock.fd))
	}
}

// While memory is short, who stalls in the middle of a request or does not read goes; who
// only waits stays.
func TestStalledGo(t *testing.T) {
	r := newRig(t, 1)
	r.create("t", 1)
	idle, half, parked := r.connect(0), r.connect(0), r.connect(0)
	frame := formatter.AppendRequest(nil, produceRequest("t", 0, records(1, "v")), 1)
	r.write(half, frame[:len(frame)/2])
	r.write(parked, formatter.AppendRequest(nil, fetchRequest("t", 0, 0, 1<<30), 1))
	c := r.cores[0]
	pass := func() {
		for range 30 {
			r.now.Mono += clock.Instant(1_000_000_000)
			r.run()
		}
	}
	pass()
	if r.ends[half].shut {
		t.Fatal("closed though memory is not short")
	}
	c.fetches.pinned = c.pinMax() // as if readers held it
	pass()
	if !r.ends[half].shut {
		t.Error("a stalled request holds its memory on")
	}
	if r.ends[idle].shut || r.ends[parked].shut {
		t.Error("a connection that only waits was closed")
	}
	c.fetches.pinned = 0
}
