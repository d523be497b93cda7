package segment

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"testing"

	"millrace/protocol"
)

// world is a plain model of what the shards should hold.
type world struct {
	*rig
	logs map[protocol.TopicPartition]*modelLog
	keys []protocol.TopicPartition
	fill uint64
}

type modelLog struct {
	batches []modelBatch
	start   int64 // as of the last DeleteRecords that is acknowledged
	asked   int64 // of the last one that was asked for
	nextSeq map[int64]int32
}

type modelBatch struct {
	base, next int64
	bytes      []byte
	core       int
	seq        Seq
	pid        int64
	pidSeq     int32
}

func (m *modelLog) end() int64 {
	if len(m.batches) == 0 {
		return 0
	}
	return m.batches[len(m.batches)-1].next
}

func newWorld(t testing.TB, seed uint64) *world {
	w := &world{rig: newRig(t, seed), logs: map[protocol.TopicPartition]*modelLog{}}
	w.cores = 1 + w.rng.IntN(3)
	w.short = w.rng.IntN(2) == 0
	if w.rng.IntN(4) == 0 {
		w.o.Durability = Write // then only the process may die
	}
	w.fs.SetDirect(w.rng.IntN(3) != 0)
	cfg := DefaultConfig()
	cfg.SegmentBytes = int64(20_000 + w.rng.IntN(400_000))
	cfg.IndexInterval = int64(w.rng.IntN(8000))
	for n := range byte(1 + w.rng.IntN(3)) {
		parts := int32(1 + w.rng.IntN(4))
		w.topic(n, parts, cfg)
		for p := range parts {
			tp := protocol.TopicPartition{Topic: topicID(n), Partition: p}
			w.keys = append(w.keys, tp)
			w.logs[tp] = &modelLog{nextSeq: map[int64]int32{}}
		}
	}
	w.budget = 8 << 20
	w.o.JournalMax = 768 << 10
	w.o.CacheBytes = int64(w.rng.IntN(512 << 10))
	return w
}

// act appends a few batches, deletes records, lets time pass.
func (w *world) act() {
	tp := w.keys[w.rng.IntN(len(w.keys))]
	m, l := w.logs[tp], w.log(tp)
	s := l.shard
	switch k := w.rng.IntN(20); {
	case k < 16:
		size := w.rng.IntN(300)
		count := 1 + w.rng.IntN(10)
		switch w.rng.IntN(12) {
		case 0:
			size, count = w.rng.IntN(5000), 1+w.rng.IntN(20)
		case 1:
			size, count = w.rng.IntN(200_000), 1
		}
		if s.Admit(size*count+200) != Admitted {
			return
		}
		w.fill++
		pid := int64(w.rng.IntN(4)) - 1
		seq := int32(0)
		if pid >= 0 {
			seq = m.nextSeq[pid]
			m.nextSeq[pid] += int32(count)
		}
		v := makeProducerBatch(w.t, count, size, w.now.Wall, w.fill, pid, 0, seq)
		base, sq := s.Append(l, v, 3, w.now.Wall)
		if base != m.end() {
			w.t.Fatalf("%v: base %d, want %d", tp, base, m.end())
		}
		m.batches = append(m.batches, modelBatch{base, base + int64(count), v, s.core, sq, pid, seq})
	case k == 16:
		high := l.Marks().High
		if high > m.start {
			to := m.start + 1 + w.rng.Int64N(high-m.start)
			s.SetStart(l, to)
			m.asked = max(m.asked, to)
		}
	}
}

// acked is the end of what was acknowledged.
func (w *world) acked(m *modelLog) int64 {
	end := int64(0)
	for _, b := range m.batches {
		if w.shards[b.core].Durable() >= b.seq {
			end = b.next
		}
	}
	return end
}

// check compares a log with its model: everything up to acked is there, dense and
// byte-equal; what is there beyond is a prefix of what was appended.
func (w *world) check(acked map[protocol.TopicPartition]int64) {
	w.t.Helper()
	for _, tp := range w.keys {
		m, l := w.logs[tp], w.log(tp)
		marks := l.Marks()
		if marks.End < acked[tp] {
			w.t.Fatalf("%v: end %d, %d was acknowledged", tp, marks.End, acked[tp])
		}
		if marks.Start > max(m.asked, m.start) {
			w.t.Fatalf("%v: start %d, only %d was asked for", tp, marks.Start, m.asked)
		}
		k := 0
		for k < len(m.batches) && m.batches[k].next <= marks.End {
			k++
		}
		m.batches = m.batches[:k]
		if m.end() != marks.End {
			w.t.Fatalf("%v: end %d is no batch's end (%d)", tp, marks.End, m.end())
		}
		m.start, m.asked = marks.Start, marks.Start
		var want []byte
		clear(m.nextSeq)
		for _, b := range m.batches {
			if b.next > marks.Start {
				want = append(want, b.bytes...)
			}
			if b.pid >= 0 {
				m.nextSeq[b.pid] = b.pidSeq + int32(b.next-b.base)
			}
		}
		if marks.Start < marks.End {
			got := w.readAll(l, marks.Start, marks.End, 1+w.rng.IntN(100_000))
			if !bytes.Equal(got, want) {
				w.t.Fatalf("%v: [%d, %d): bytes differ", tp, marks.Start, marks.End)
			}
		}
		w.checkProducers(tp, m, l)
	}
}

func (w *world) checkProducers(tp protocol.TopicPartition, m *modelLog, l *Log) {
	want := ""
	for pid := range int64(3) {
		if n, ok := m.nextSeq[pid]; ok {
			want += fmt.Sprintf("%d/%d/%d ", pid, 0, n-1)
		}
	}
	if got := producersOf(l); got != want {
		w.t.Fatalf("%v: producers %q, want %q", tp, got, want)
	}
}

// twoSteps makes half the shards write and then sync; the others try it now and then.
func (w *world) twoSteps() {
	for i, s := range w.shards {
		s.steps.always = (i+len(w.keys))%2 == 0
		s.steps.count = uint8(w.rng.IntN(stepTrial))
	}
}

// forgetSeqs: what a recovery found counts as acknowledged from now on.
func (w *world) forgetSeqs() {
	for _, m := range w.logs {
		for i := range m.batches {
			m.batches[i].seq, m.batches[i].core = 0, 0
		}
	}
}

// life is one run between two opens.
func (w *world) life(steps int) map[protocol.TopicPartition]int64 {
	if w.rng.IntN(5) == 0 { // the disk is full for a while
		w.fs.SetCapacity(w.fs.Used() + w.rng.Int64N(300_000))
		defer w.fs.SetCapacity(0)
	}
	for range steps {
		for range w.rng.IntN(6) {
			w.act()
		}
		w.turn()
		w.perform(w.rng.IntN(6))
		for _, s := range w.shards {
			if s.Err() != nil && !w.fs.Off() {
				w.t.Fatal(s.Err())
			}
		}
		if w.fs.Off() {
			break
		}
	}
	acked := map[protocol.TopicPartition]int64{}
	for _, tp := range w.keys {
		acked[tp] = w.acked(w.logs[tp])
		if high := w.log(tp).Marks().High; high < acked[tp] {
			w.t.Fatalf("%v: high %d below acknowledged %d", tp, high, acked[tp])
		}
	}
	return acked
}

func TestCrashes(t *testing.T) {
	first, seeds := uint64(0), uint64(200)
	if testing.Short() {
		seeds = 40
	}
	if n, err := strconv.ParseUint(os.Getenv("SEGMENT_SEED"), 10, 64); err == nil {
		first, seeds = n, 1000 // a longer search, from there on
	}
	for seed := first; seed < first+seeds; seed++ {
		ok := t.Run(fmt.Sprint(seed), func(t *testing.T) {
			w := newWorld(t, seed)
			w.open()
			w.twoSteps()
			for range 2 + w.rng.IntN(3) {
				how := w.rng.IntN(7)
				if w.o.Durability == Write {
					how = w.rng.IntN(2)
				}
				if how > 4 { // the power fails between two calls of some job
					w.fs.PowerOffAfter(w.rng.Int64N(400))
				}
				acked := w.life(20 + w.rng.IntN(150))
				switch how {
				case 0:
					w.now.Mono += 2e9 // what waits for space tries again
					t.Logf("clean stop of %d cores", w.cores)
					w.check(acked)
					w.stop()
					for _, tp := range w.keys {
						acked[tp] = w.logs[tp].end()
					}
				case 1:
					t.Logf("kill of %d cores", w.cores)
					w.crash(false)
				default:
					t.Logf("power loss of %d cores", w.cores)
					w.crash(true)
				}
				if w.rng.IntN(3) == 0 {
					w.cores = 1 + w.rng.IntN(3)
				}
				for w.rng.IntN(3) == 0 && w.o.Durability == Fsync { // and once more while it recovers
					w.fs.PowerOffAfter(w.rng.Int64N(200))
					if err := w.openErr(); err == nil {
						for range w.rng.IntN(20) {
							w.turn()
							w.perform(w.rng.IntN(6))
						}
					} else if !w.fs.Off() {
						t.Fatalf("open failed with the power on: %v", err)
					}
					w.crash(w.rng.IntN(2) == 0)
				}
				w.open()
				w.twoSteps()
				t.Logf("opened with %d cores: %+v", w.cores, w.rep)
				w.check(acked)
				w.forgetSeqs()
			}
			w.check(nil)
			w.stop()
		})
		if !ok {
			return
		}
	}
}
