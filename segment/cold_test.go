package segment

import (
	"bytes"
	"fmt"
	"syscall"
	"testing"

	"millrace/protocol"
	"millrace/protocol/batch"
)

// coldLog is a rig whose first log is on disk but for its end, and what it holds.
type coldLog struct {
	*rig
	log     *Log
	batches []batch.View
	times   map[int64]int64 // of each offset
}

func newColdLog(t testing.TB, seed uint64, most int) *coldLog {
	r := newRig(t, seed)
	c := &coldLog{rig: r, times: map[int64]int64{}}
	r.budget = []int64{4 << 20, 8 << 20, 64 << 20}[seed%3]
	r.o.CacheBytes = 1
	r.o.JournalFile, r.o.JournalMax = 512<<10, 4<<20
	r.fs.SetDirect(seed%4 != 0)
	cfg := DefaultConfig()
	cfg.SegmentBytes = int64(100_000 + r.rng.IntN(1_500_000))
	cfg.IndexInterval = int64(r.rng.IntN(10_000))
	r.topic(1, 1, cfg)
	r.open()
	for total := 0; total < 3_000_000; {
		size := 1 + r.rng.IntN([]int{100, 5000, 60_000, most}[r.rng.IntN(4)])
		v := makeBatch(t, 1+r.rng.IntN(4), size, r.now.Wall+int64(r.rng.IntN(5000)), r.rng.Uint64())
		total += len(v)
		c.append(v)
		r.now.Wall += int64(r.rng.IntN(300))
	}
	r.settle()
	if seed%5 == 4 {
		r.stop()
		r.open()
	}
	c.log = r.log(firstTP)
	return c
}

func (c *coldLog) append(v batch.View) {
	l := c.rig.log(firstTP)
	for i := 0; l.shard.Admit(len(v)) != Admitted; i++ {
		if i > 5000 {
			c.t.Fatal("never admitted")
		}
		c.turn()
		c.perform(len(c.waiting))
	}
	l.shard.Append(l, v, 1, c.now.Wall)
	own := batch.View(bytes.Clone(v))
	c.batches = append(c.batches, own)
	for it := own.Records(own.RecordBytes()); it.Next(); {
		c.times[it.Record.Offset] = it.Record.Timestamp
	}
	c.turn()
	c.perform(c.rng.IntN(4))
}

// naive is what a read should find at most.
func (c *coldLog) naive(from, limit int64, most int) (b []byte) {
	for _, v := range c.batches {
		switch {
		case v.NextOffset() <= from:
		case v.NextOffset() > limit, len(b) > 0 && len(b)+len(v) > most:
			return b
		default:
			b = append(b, v...)
		}
	}
	return b
}

// TestColdReads: many readers at once, of any place and size, get whole batches in
// order, the first one whole, and never more than they asked for.
func TestColdReads(t *testing.T) {
	for seed := range uint64(40) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			c := newColdLog(t, seed, 400_000)
			s, m := c.log.shard, c.log.Marks()
			type asked struct {
				from, limit int64
				most        int
			}
			open := map[uint32]asked{}
			cold := 0
			for n := 0; n < 300 || len(open) > 0; n++ {
				if n < 300 {
					q := asked{c.rng.Int64N(m.End), m.High, 1 + c.rng.IntN(300_000)}
					if c.rng.IntN(3) == 0 {
						q.limit = q.from + 1 + c.rng.Int64N(m.High-q.from)
					}
					if _, where := c.log.Locate(q.from, q.limit, 1, false, nil); where == Cold {
						open[s.Read(c.log, q.from, q.limit, q.most)] = q
						cold++
					}
				}
				if n > 20_000 {
					t.Fatalf("%d readers wait for ever", len(open))
				}
				c.turn()
				c.perform(c.rng.IntN(4))
				for id, res := range c.results[s.core] {
					q := open[id]
					delete(open, id)
					got := c.take(s, res)
					want := c.naive(q.from, q.limit, q.most)
					if res.Code != protocol.None || !bytes.HasPrefix(want, got) || len(got) == 0 && len(want) > 0 {
						t.Fatalf("%+v: %v, %d bytes, want %d", q, res.Code, len(got), len(want))
					}
				}
				clear(c.results[s.core])
			}
			if cold < 100 {
				t.Fatalf("only %d cold reads", cold)
			}
			c.settle()
			c.stop()
		})
	}
}

// TestColdReadsAreShared: readers of one range that follow one another cost the disk
// one read of it, and one check.
func TestColdReadsAreShared(t *testing.T) {
	c := newColdLog(t, 2, 30_000)
	s, end := c.log.shard, c.log.Marks().End
	size := uint64(0)
	ats := make([]int64, 5)
	for busy := true; busy; {
		busy = false
		for i := range ats {
			if _, where := c.log.Locate(ats[i], end, 1, false, nil); where != Cold {
				continue
			}
			busy = true
			res := c.await(s, s.Read(c.log, ats[i], end, 100_000))
			got := c.take(s, res)
			if want := c.naive(ats[i], end, 100_000); !bytes.HasPrefix(want, got) || len(got) == 0 {
				t.Fatalf("at %d: %d bytes, %v", ats[i], len(got), res.Code)
			}
			if i == 0 {
				size += uint64(len(got))
			}
			for b := got; len(b) > 0; {
				v, rest, _ := batch.Next(b)
				ats[i], b = v.NextOffset(), rest
			}
		}
	}
	st := s.Stats()
	if size < 2_000_000 || st.ColdBytes > size+size/10 || st.ColdChecked > size+size/10 {
		t.Fatalf("%d bytes cost %d from the disk, %d checked", size, st.ColdBytes, st.ColdChecked)
	}
	if st.ColdReads > size/(256<<10)+20 {
		t.Fatalf("%d reads for %d bytes", st.ColdReads, size)
	}
	c.settle()
	c.stop()
}

// TestColdReadFails: an error of the disk ends the readings that wait for those bytes,
// and only them.
func TestColdReadFails(t *testing.T) {
	c := newColdLog(t, 2, 30_000)
	s, end := c.log.shard, c.log.Marks().End
	c.failIO = func(io IO) int32 {
		if io.Kind == IORead {
			return -int32(syscall.EIO)
		}
		return 0
	}
	first, second := s.Read(c.log, 0, end, 5000), s.Read(c.log, 1, end, 5000)
	for _, id := range []uint32{first, second} {
		if res := c.await(s, id); res.Code != protocol.KafkaStorageError || len(res.Extents) > 0 {
			t.Fatalf("%+v", res)
		}
	}
	c.failIO = nil
	if got := c.readAll(c.log, 0, end, 50_000); !bytes.Equal(got, c.naive(0, end, 1<<30)) {
		t.Fatal("bytes differ afterwards")
	}
	if s.Err() != nil {
		t.Fatalf("a read that failed stops the shard: %v", s.Err())
	}
	c.settle()
	c.stop()
}

// TestFindMatchesNaiveScan: searches by time give what reading everything would.
func TestFindMatchesNaiveScan(t *testing.T) {
	for seed := range uint64(30) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			c := newColdLog(t, seed, 100_000)
			s := c.log.shard
			if seed%2 == 1 {
				s.SetStart(c.log, 1+c.rng.Int64N(c.log.Marks().End/2))
				c.settle()
			}
			start, end := c.log.Marks().Start, c.log.Marks().End
			for range 60 {
				ts := c.times[start+c.rng.Int64N(end-start)] + int64(c.rng.IntN(3)) - 1
				want := int64(-1)
				for o := start; o < end && want < 0; o++ {
					if c.times[o] >= ts {
						want = o
					}
				}
				res := c.await(s, s.FindTime(c.log, ts))
				if res.Code != protocol.None || res.Offset != want || want >= 0 && res.Time != c.times[want] {
					t.Fatalf("time %d: %+v, want offset %d", ts, res, want)
				}
			}
			want, deleted := start, int64(-1)
			for o := range end {
				if o < start {
					deleted = max(deleted, c.times[o])
				} else if c.times[o] > c.times[want] {
					want = o
				}
			}
			res := c.await(s, s.FindMaxTime(c.log))
			if deleted < c.times[want] && (res.Offset != want || res.Time != c.times[want]) {
				t.Fatalf("max: %+v, want %d", res, want)
			}
			c.settle()
			c.stop()
		})
	}
}

// TestReadsAreBoundedPerTurn (a turn here may use up what another left): whatever is asked, a turn checks only so much, and with
// writers about the disk gets one small read at a time.
func TestReadsAreBoundedPerTurn(t *testing.T) {
	c := newColdLog(t, 2, 30_000)
	s, end := c.log.shard, c.log.Marks().End
	for from := int64(0); from < end; from += 3 {
		if _, where := c.log.Locate(from, end, 1, false, nil); where == Cold {
			s.Read(c.log, from, end, 1<<20)
		}
	}
	s.FindTime(c.log, c.now.Wall+1e6)
	small := false
	for n := 0; n < 60 || len(s.rd.queue)+len(s.rd.results) > 0 || len(c.waiting) > 0; n++ {
		before := s.stats.ColdChecked
		writes := n%40 > 20
		if writes {
			v := makeBatch(t, 1, 100, c.now.Wall, uint64(n))
			if s.Admit(len(v)) == Admitted {
				s.Append(c.log, v, 1, c.now.Wall)
			}
		}
		c.turn()
		most := uint64(freeWork)
		if s.cold.most == calmReads {
			most, small = calmWork, true
			if s.cold.flying > freeReads {
				t.Fatalf("%d reads in flight", s.cold.flying)
			}
		}
		if did := s.stats.ColdChecked - before; did > 2*most+250_000 {
			t.Fatalf("a turn checked %d bytes", did)
		}
		for _, res := range c.results[s.core] {
			c.take(s, res)
		}
		clear(c.results[s.core])
		c.perform(len(c.waiting))
		if n > 20_000 {
			t.Fatal("no end")
		}
	}
	if !small {
		t.Fatal("reads never gave way to writers")
	}
	c.settle()
	c.stop()
}
