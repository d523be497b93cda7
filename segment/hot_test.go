package segment

import (
	"bytes"
	"testing"

	"millrace/protocol"
	"millrace/protocol/batch"
)

// instant performs effects at once, without allocating: for figures of the hot path.
type instant struct {
	r   *rig
	out Effects
}

func (d *instant) turn() {
	r := d.r
	r.now.Mono += 1000_000
	s := r.shards[0]
	d.out.Reset()
	s.Turn(r.now, &d.out)
	for i := range d.out.IO {
		s.IODone(d.out.IO[i].ID, int32(d.out.IO[i].Size()))
	}
	for _, j := range d.out.Jobs {
		s.JobDone(j.ID, j.Run())
	}
	s.Results()
	s.Advanced()
}

func TestHotPathDoesNotAllocate(t *testing.T) {
	t.Run("copied", func(t *testing.T) { hotPath(t, 5000) })
	t.Run("placed", func(t *testing.T) { hotPath(t, 500) })
}

func hotPath(t *testing.T, placeMin int) {
	r := newRig(t, 3)
	r.o.JournalFile, r.o.JournalMax, r.o.PlaceMin = 8<<20, 32<<20, placeMin
	cfg := DefaultConfig()
	r.topic(1, 4, cfg)
	r.open()
	d := &instant{r: r}
	logs := r.shards[0].Logs()
	v := makeProducerBatch(t, 8, 100, r.now.Wall, 1, 7, 0, 0)
	var exts []Extent
	seqAt := batch.View(v).BaseSequence()
	step := func() {
		for _, l := range logs {
			if r.shards[0].Admit(len(v)) != Admitted {
				t.Fatal("not admitted")
			}
			base, _ := r.shards[0].Append(l, v, 1, r.now.Wall)
			for d.turn(); l.Marks().High <= base; d.turn() {
			}
			var where Where
			exts, where = l.Locate(base, l.Marks().High, 1<<20, true, exts[:0])
			if where != InMemory || len(exts) == 0 {
				t.Fatalf("locate: %d", where)
			}
			for _, e := range exts {
				r.shards[0].pool.Release(e.Buf)
			}
		}
	}
	_ = seqAt
	for range 2500 {
		step()
	}
	// A sweep's jobs allocate, off the core: less than one in a step.
	if n := testing.AllocsPerRun(2000, step); n != 0 {
		t.Fatalf("%v allocations per step", n)
	}
}

// BenchmarkProduce is the cost of storage alone: no disk, no network.
func BenchmarkProduce(b *testing.B) {
	r := newRig(b, 1)
	r.pools = nil
	r.o.JournalFile, r.o.JournalMax = 32<<20, 256<<20
	r.o.CacheBytes = 32 << 20
	r.budget = 256 << 20
	r.topic(1, 8, DefaultConfig())
	r.open()
	for _, p := range r.pools {
		p.Poison = false
	}
	d := &instant{r: r}
	logs := r.shards[0].Logs()
	v := makeBatch(b, 64, 100, r.now.Wall, 1)
	b.SetBytes(int64(len(v)))
	b.ReportAllocs()
	for i := range b.N {
		for r.shards[0].Admit(len(v)) != Admitted {
			d.turn()
		}
		r.shards[0].Append(logs[i%8], v, 1, r.now.Wall)
		if i%64 == 63 {
			d.turn()
		}
	}
}

// TestBigEntries: entries larger than a group, a file and the whole first ring.
func TestBigEntries(t *testing.T) {
	r := newRig(t, 3)
	r.short = true
	r.topic(1, 2, DefaultConfig())
	r.open()
	a := r.log(protocol.TopicPartition{Topic: topicID(1)})
	b := r.log(protocol.TopicPartition{Topic: topicID(1), Partition: 1})
	s := a.shard
	var want []byte
	for i, size := range []int{100, 70 << 10, 300, 5 << 20, 10, 20 << 20, 1 << 20} {
		v := makeBatch(t, 1, size, r.now.Wall, uint64(i))
		for n := 0; s.Admit(len(v)) != Admitted; n++ {
			r.turn()
			r.perform(len(r.waiting))
			if n > 2000 {
				t.Fatalf("%d bytes are never admitted", size)
			}
		}
		_, seq := s.Append(a, v, 1, r.now.Wall)
		small := makeBatch(t, 1, 10, r.now.Wall, 1)
		_, after := s.Append(b, small, 1, r.now.Wall)
		want = append(want, v...)
		for n := 0; s.Durable() < after; n++ {
			if n > 2000 {
				t.Fatal("never durable")
			}
			if s.Durable() >= seq && a.Marks().High != int64(i)+1 {
				t.Fatal("acknowledged, but not readable")
			}
			r.turn()
			r.perform(1 + r.rng.IntN(2))
		}
	}
	r.crash(true)
	r.open()
	a = r.log(a.TP)
	if a.Marks().End != 7 {
		t.Fatalf("end %d", a.Marks().End)
	}
	if !bytes.Equal(r.readAll(a, 0, 7, 1<<20), want) {
		t.Fatal("bytes differ")
	}
	r.settle()
	// An entry of which only some fragments became durable is dropped.
	v := makeBatch(t, 1, 3<<20, r.now.Wall, 9)
	s = a.shard
	for s.Admit(len(v)) != Admitted {
		r.turn()
		r.perform(len(r.waiting))
	}
	s.Append(a, v, 1, r.now.Wall)
	for range 3 {
		r.turn()
		r.perform(len(r.waiting))
	}
	if a.Marks().High != 7 {
		t.Fatal("acknowledged too early")
	}
	r.crash(true)
	r.open()
	if a = r.log(a.TP); a.Marks().End != 7 || r.rep.Dropped == 0 {
		t.Fatalf("end %d, report %+v", a.Marks().End, r.rep)
	}
	if !bytes.Equal(r.readAll(a, 0, 7, 1<<20), want) {
		t.Fatal("bytes differ after the second crash")
	}
	r.stop()
}

// TestSmallPool: the journals hold more than memory can; recovery writes out while
// it replays.
func TestSmallPool(t *testing.T) {
	r := newRig(t, 4)
	r.o.JournalMax = 16 << 20
	r.o.JournalFile = 8 << 20
	r.topic(1, 3, DefaultConfig())
	r.open()
	want := map[int32][]byte{}
	for i := range 60 {
		p := int32(i % 3)
		l := r.log(protocol.TopicPartition{Topic: topicID(1), Partition: p})
		v := makeBatch(t, 1, 100_000, r.now.Wall, uint64(i))
		for l.shard.Admit(len(v)) != Admitted {
			r.turn()
			r.perform(len(r.waiting))
		}
		l.shard.Append(l, v, 1, r.now.Wall)
		want[p] = append(want[p], v...)
		r.turn()
		r.perform(len(r.waiting))
	}
	for range 2 {
		r.crash(false)
		r.budget = 6 << 20
		r.open()
		for p, b := range want {
			l := r.log(protocol.TopicPartition{Topic: topicID(1), Partition: p})
			if !bytes.Equal(r.readAll(l, 0, 20, 200_000), b) {
				t.Fatalf("partition %d differs", p)
			}
		}
	}
	r.stop()
}

// TestRoomComesBack: whatever was written before, a request that fits the journal
// is admitted in the end.
func TestRoomComesBack(t *testing.T) {
	for _, first := range []int{1, 10, 100, 300, 500} {
		r := newRig(t, uint64(first))
		r.o.JournalMax, r.o.PlaceMin = 4<<20, 0
		r.topic(1, 1, DefaultConfig())
		r.open()
		for i := range 400 {
			r.fill(1, first*10)
			if i%50 == 49 {
				r.fill(1, 1_500_000)
			}
		}
		if r.shards[0].j.total > 8<<20 {
			t.Fatalf("the journal has grown to %d", r.shards[0].j.total)
		}
		r.settle()
		r.stop()
	}
}
