package segment

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"millrace/internal/clock"
	"millrace/protocol"
	"millrace/protocol/batch"
)

// TestRecreatedTopic: a topic of the same name inherits nothing, whenever the
// process dies.
func TestRecreatedTopic(t *testing.T) {
	for seed := range uint64(60) {
		r := newRig(t, seed)
		r.o.JournalFile = 128 << 10
		old := KnownTopic{ID: topicID(1), Name: "same", Partitions: 1, Config: DefaultConfig()}
		r.known = Known{Topics: []KnownTopic{old}, Deleted: map[protocol.TopicID]bool{}}
		r.open()
		var want []byte
		id := byte(1)
		for range 6 {
			tp := protocol.TopicPartition{Topic: topicID(id)}
			l := r.log(tp)
			want = want[:0]
			for range r.rng.IntN(30) {
				v := makeBatch(t, 1, r.rng.IntN(20_000), r.now.Wall, r.rng.Uint64())
				if l.shard.Admit(len(v)) == Admitted {
					l.shard.Append(l, v, 1, r.now.Wall)
				}
				r.turn()
				r.perform(r.rng.IntN(4))
			}
			l.shard.Drop(l)
			r.known.Deleted[topicID(id)] = true
			id++
			next := KnownTopic{ID: topicID(id), Name: "same", Partitions: 1, Config: DefaultConfig()}
			r.known.Topics = []KnownTopic{next}
			tp = protocol.TopicPartition{Topic: next.ID}
			l = r.shards[0].Create(tp, "same", DefaultConfig())
			n := r.rng.IntN(20)
			for i := range n {
				v := makeBatch(t, 1, 5000, r.now.Wall, uint64(i))
				if l.shard.Admit(len(v)) == Admitted {
					l.shard.Append(l, v, 1, r.now.Wall)
					want = append(want, v...)
				}
				r.turn()
				r.perform(r.rng.IntN(6))
			}
			high := l.Marks().High
			switch r.rng.IntN(3) {
			case 0:
				r.crash(true)
				r.open()
			case 1:
				r.crash(false)
				r.open()
			default:
				r.settle()
			}
			l = r.log(tp)
			if l.Marks().End < high {
				t.Fatalf("seed %d: end %d of %d acknowledged", seed, l.Marks().End, high)
			}
			if end := l.Marks().End; end > 0 {
				if got := r.readAll(l, 0, end, 30_000); !bytes.HasPrefix(want, got) {
					t.Fatalf("seed %d: bytes of another topic", seed)
				}
			}
		}
		r.settle()
		r.stop()
		if names := r.list("/data/log"); len(names) > 1 {
			t.Fatalf("seed %d: left behind: %v", seed, names)
		}
		if q := r.list("/data/quarantine"); len(q) > 0 {
			t.Fatalf("seed %d: quarantined: %v", seed, q)
		}
	}
}

// TestLateJobs: jobs of a deleted topic that run when one of the same name has taken
// its directory change nothing there.
func TestLateJobs(t *testing.T) {
	r := newRig(t, 60)
	r.known.Topics = []KnownTopic{
		{ID: topicID(1), Name: "same", Partitions: 1, Config: DefaultConfig()}}
	r.open()
	s := r.shards[0]
	old := r.log(protocol.TopicPartition{Topic: topicID(1)})
	put := func(l *Log, n int) {
		for i := range n {
			v := makeBatch(t, 1, 6000, r.now.Wall, uint64(i))
			if a := s.Admit(len(v)); a != Admitted {
				t.Fatalf("admission %d", a)
			}
			s.Append(l, v, 1, r.now.Wall)
		}
		s.flushTo(l, l.tail.end)
	}
	put(old, 4)
	r.turn()
	var late []effect // its file is not opened yet
	for i := len(r.waiting) - 1; i >= 0; i-- {
		if r.waiting[i].job != nil {
			late = append(late, r.waiting[i])
			r.waiting = append(r.waiting[:i], r.waiting[i+1:]...)
		}
	}
	if len(late) == 0 {
		t.Fatal("no job")
	}
	s.Drop(old)
	l := s.Create(protocol.TopicPartition{Topic: topicID(2)}, "same", DefaultConfig())
	r.known.Topics[0].ID = topicID(2)
	put(l, 9)
	for range 20 {
		r.turn()
		r.perform(len(r.waiting))
	}
	r.waiting = append(r.waiting, late...)
	item := syncItem{dir: l.dir(), id: topicID(1), base: 0, truncate: 0}
	task := &checkpointTask{sh: s.shared, fs: s.o.FS, dir: "/data"}
	if err := task.syncOne(&item); err != nil {
		t.Fatal(err)
	}
	all := removeBudget{removeBytes, removeFiles}
	if r := removeSegments(s.shared, s.o.FS, []syncItem{item}, all); r.err != nil || len(r.left) > 0 {
		t.Fatal(r)
	}
	r.settle()
	if s.Err() != nil {
		t.Fatal(s.Err())
	}
	want := r.readAll(l, 0, 9, 1<<20)
	r.stop()
	if got := r.list("/data/log"); fmt.Sprint(got) != "[same-0]" {
		t.Fatalf("left: %v", got)
	}
	got, err := r.fs.ReadFile(segmentPath("/data/log/same-0", 0, endLog))
	if err != nil || !bytes.Equal(got, want) {
		t.Fatalf("%d bytes are left of %d: %v", len(got), len(want), err)
	}
}

// TestUnknownDirectories are kept and reported, never deleted.
func TestUnknownDirectories(t *testing.T) {
	r := newRig(t, 20)
	r.topic(1, 1, DefaultConfig())
	r.topic(2, 1, DefaultConfig())
	r.open()
	r.fill(10, 4000)
	l2 := r.log(protocol.TopicPartition{Topic: topicID(2)})
	l2.shard.Append(l2, makeBatch(t, 1, 9000, r.now.Wall, 1), 0, r.now.Wall)
	r.settle()
	r.stop()
	r.known.Topics = r.known.Topics[:1]
	r.open()
	if len(r.rep.Quarantined) != 1 || !strings.Contains(r.rep.Quarantined[0], "t2-0") {
		t.Fatalf("report %+v", r.rep)
	}
	if names := r.list(r.rep.Quarantined[0]); len(names) < 2 {
		t.Fatalf("in quarantine: %v", names)
	}
	if got := r.list("/data/log"); fmt.Sprint(got) != "[t1-0]" {
		t.Fatalf("left: %v", got)
	}
	r.settle()
	r.stop()
}

func TestRollAndRetention(t *testing.T) {
	r := newRig(t, 21)
	cfg := DefaultConfig()
	cfg.SegmentBytes = 50_000
	cfg.RetentionBytes = 120_000
	cfg.SegmentMillis = 60_000
	r.topic(1, 1, cfg)
	r.open()
	r.fill(40, 9000)
	l := r.log(firstTP)
	if l.Marks().Start != 0 {
		t.Fatal("deleted before its time")
	}
	for _, g := range l.segs {
		if g.size > cfg.SegmentBytes {
			t.Fatalf("segment of %d bytes", g.size)
		}
	}
	wait := func(millis int64) {
		r.now.Mono += clock.Instant(max(11_000, millis) * 1_000_000)
		r.now.Wall += millis
		r.settle()
	}
	wait(0)
	if b := l.Bytes(); b < cfg.RetentionBytes || b > cfg.RetentionBytes+2*cfg.SegmentBytes {
		t.Fatalf("%d bytes are kept", b)
	}
	start := l.Marks().Start
	if start == 0 || start != l.segs[0].base {
		t.Fatalf("start %d", start)
	}
	names := strings.Join(r.list(l.dir()), " ")
	if strings.Contains(names, "00000000000000000000.") {
		t.Fatalf("on disk: %s", names)
	}
	r.crash(true)
	r.open()
	l = r.log(firstTP)
	if l.Marks().Start != start || l.Marks().End != 40 {
		t.Fatalf("after a crash: %+v", l.Marks())
	}
	// An idle segment rolls by age, and all of it goes with time.
	wait(60_001)
	if g := l.active(); !g.sealed {
		t.Fatal("an idle segment is not sealed by age")
	}
	cfg.RetentionMillis = 100_000
	l.shard.Configure(l, cfg)
	wait(100_000)
	if m := l.Marks(); m.Start != 40 || m.End != 40 || l.Bytes() != 0 {
		t.Fatalf("not all is deleted: %+v, %d bytes", m, l.Bytes())
	}
	want := r.fill(3, 100)
	if got := r.readAll(l, 40, 43, 1000); !bytes.Equal(got, want) {
		t.Fatal("bytes differ after all was deleted")
	}
	r.settle()
	r.stop()
	r.open()
	l = r.log(firstTP)
	if m := l.Marks(); m.Start != 40 || m.End != 43 {
		t.Fatalf("after a restart: %+v", m)
	}
	if got := r.readAll(l, 40, 43, 1000); !bytes.Equal(got, want) {
		t.Fatal("bytes differ after a restart")
	}
	r.stop()
}

// TestFind compares searches by time with a plain scan, in memory and on disk, for
// all codecs.
func TestFind(t *testing.T) {
	r := newRig(t, 22)
	r.o.CacheBytes = 100_000
	cfg := DefaultConfig()
	cfg.SegmentBytes = 100_000
	r.topic(1, 1, cfg)
	r.open()
	type rec struct{ ts, offset int64 }
	var all []rec
	l := r.log(firstTP)
	base := r.now.Wall
	for i := range 300 {
		var b batch.Builder
		b.Reset(batch.Options{Codec: batch.Codec(i % 5)})
		for range 1 + r.rng.IntN(5) {
			ts := base + int64(10*i) + int64(r.rng.IntN(200)) - 100
			all = append(all, rec{ts, int64(len(all))})
			value := make([]byte, 300)
			for k := range value {
				value[k] = byte(r.rng.Uint32())
			}
			b.Add(ts, nil, value, nil)
		}
		v, err := b.Finish()
		if err != nil {
			t.Fatal(err)
		}
		l.shard.Append(l, bytes.Clone(v), 4, r.now.Wall)
		r.turn()
		r.perform(len(r.waiting))
	}
	check := func() {
		l := r.log(firstTP)
		for range 80 {
			ts := base - 150 + r.rng.Int64N(3400)
			want := rec{-1, -1}
			for _, x := range all {
				if x.ts >= ts {
					want = x
					break
				}
			}
			got := r.await(l.shard, l.shard.FindTime(l, ts))
			if got.Offset != want.offset || got.Time != want.ts || got.Code != 0 ||
				want.offset >= 0 && got.Epoch != 4 {
				t.Fatalf("time %d: %+v, want %+v", ts-base, got, want)
			}
		}
		best := rec{-1, -1}
		for _, x := range all {
			if x.ts > best.ts {
				best = x
			}
		}
		got := r.await(l.shard, l.shard.FindMaxTime(l))
		if got.Offset != best.offset || got.Time != best.ts {
			t.Fatalf("max time: %+v, want %+v", got, best)
		}
	}
	check()
	r.settle()
	check()
	r.stop()
	r.open()
	check()
	r.crash(true)
	r.open()
	check()
	r.settle()
	r.stop()
}

// TestTruncate: what is cut never comes back, and what follows takes its place.
func TestTruncate(t *testing.T) {
	for seed := range uint64(30) {
		r := newRig(t, 100+seed)
		r.topic(1, 1, DefaultConfig())
		r.open()
		want := r.fill(20, 3000)
		l := r.log(firstTP)
		high := l.Marks().High
		var more []byte
		cut := high
		for i := range 6 {
			v := makeBatch(t, 1, 3000, r.now.Wall, uint64(1000+i))
			l.shard.Append(l, v, 2, r.now.Wall)
			if i < int(seed%6) {
				more = append(more, v...)
				cut = l.Marks().End
			}
			if seed%2 == 0 && i == 2 {
				var out Effects
				l.shard.Turn(r.now, &out) // some of it is in flight
				for k := range out.IO {
					r.waiting = append(r.waiting, effect{io: &out.IO[k]})
				}
				for k := range out.Jobs {
					r.waiting = append(r.waiting, effect{job: &out.Jobs[k]})
				}
			}
		}
		l.shard.Truncate(l, cut, 3)
		if l.Marks().End != cut {
			t.Fatalf("end %d, cut at %d", l.Marks().End, cut)
		}
		v := makeBatch(t, 2, 5000, r.now.Wall, 77)
		l.shard.Append(l, v, 3, r.now.Wall)
		r.turn()
		r.perform(len(r.waiting))
		r.turn()
		r.perform(len(r.waiting))
		want = append(append(want, more...), v...)
		if m := l.Marks(); m.High != cut+2 {
			t.Fatalf("seed %d: %+v, cut at %d", seed, m, cut)
		}
		switch seed % 3 {
		case 0:
			r.crash(true)
			r.open()
		case 1:
			r.settle()
			r.stop()
			r.open()
		}
		l = r.log(firstTP)
		if got := r.readAll(l, 0, cut+2, 9000); !bytes.Equal(got, want) {
			t.Fatalf("seed %d: bytes differ", seed)
		}
		r.settle()
		r.stop()
	}
}
