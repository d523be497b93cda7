package segment

import (
	"bytes"
	"fmt"
	"testing"

	"millrace/protocol"
	"millrace/segment/producer"
)

// moveWorld is one log that goes from shard to shard, and what was appended to it.
type moveWorld struct {
	*rig
	tp    protocol.TopicPartition
	sent  []moveSent
	acked int64 // end of what was acknowledged
	start int64 // the last that was asked for
	fill  uint64
	moved int
}

// moveSent is one batch.
type moveSent struct {
	mem        []byte
	base, next int64
	shard      *Shard
	seq        Seq
}

func newMoveWorld(t testing.TB, seed uint64, d Durability) *moveWorld {
	w := &moveWorld{rig: newRig(t, seed), tp: protocol.TopicPartition{Topic: topicID(1), Partition: 1}}
	w.cores, w.budget = 2+int(seed%2), 16<<20
	w.o.Durability = d
	w.fs.SetDirect(seed%3 != 0)
	cfg := DefaultConfig()
	cfg.SegmentBytes, cfg.IndexInterval = 40_000, 300
	w.topic(1, 3, cfg)
	return w
}

// home is the log and its shard; nil between two shards.
func (w *moveWorld) home() *Log {
	var found *Log
	for _, s := range w.shards {
		if l := s.Find(w.tp); l != nil {
			if found != nil {
				w.t.Fatal("the log is on two cores")
			}
			found = l
		}
	}
	return found
}

func (w *moveWorld) end() int64 {
	if n := len(w.sent); n > 0 {
		return w.sent[n-1].next
	}
	return 0
}

func (w *moveWorld) append() {
	l := w.home()
	if l == nil || l.shard.frozen(l) {
		return
	}
	s := l.shard
	w.fill++
	v := makeProducerBatch(w.t, 1+w.rng.IntN(4), w.rng.IntN(3000), w.now.Wall, w.fill, 7, 0, int32(w.end()))
	if s.Admit(len(v)) != Admitted {
		return
	}
	base, seq := s.Append(l, v, 1, w.now.Wall)
	if base != w.end() {
		w.t.Fatalf("appended at %d, the end was %d", base, w.end())
	}
	w.sent = append(w.sent, moveSent{bytes.Clone(v), base, v.NextOffset(), s, seq})
}

// step lets a little happen.
func (w *moveWorld) step() {
	w.turn()
	w.perform(1 + w.rng.IntN(5))
	for i := range w.sent {
		if b := &w.sent[i]; b.shard != nil && b.shard.Err() == nil && b.shard.Durable() >= b.seq {
			w.acked = max(w.acked, b.next)
		}
	}
}

func (w *moveWorld) work(n int) {
	for range n {
		w.append()
		if l := w.home(); l != nil && !l.shard.frozen(l) && w.rng.IntN(40) == 0 && l.Marks().High > w.start {
			w.start += 1 + w.rng.Int64N(l.Marks().High-w.start)
			l.shard.SetStart(l, w.start)
		}
		w.step()
	}
}

// move brings the log to another shard while it is appended to. False: the power failed.
func (w *moveWorld) move(to int) bool {
	w.t.Helper()
	l := w.home()
	s := l.shard
	if !s.BeginMove(l, to) {
		w.t.Fatal("a move is refused")
	}
	for range 20_000 {
		switch s.MoveStage() {
		case MoveFlushing:
			w.append()
		case MoveReady:
			s.FreezeMove()
		case MoveDone:
			if w.acked != w.end() {
				w.t.Fatalf("%d of %d are acknowledged", w.acked, w.end())
			}
			p := s.TakeMoved()
			for !w.shards[to].MayAdopt() {
				w.step()
			}
			w.shards[to].Adopt(p, l.cfg)
			w.moved++
			return true
		case MoveFailed:
			if !w.fs.Off() {
				w.t.Fatalf("the move fails: %v", s.Err())
			}
			return false
		}
		w.step()
		if w.fs.Off() {
			return false
		}
	}
	w.dump()
	w.t.Fatalf("a move takes for ever: %v", s.MoveStage())
	return false
}

// check holds the log of a new opening against what was appended.
func (w *moveWorld) check() {
	w.t.Helper()
	l := w.home()
	if l == nil {
		w.t.Fatal("the log is nowhere")
	}
	m := l.Marks()
	if m.End < w.acked || m.End > w.end() {
		w.t.Fatalf("end %d, acknowledged %d, appended %d", m.End, w.acked, w.end())
	}
	for len(w.sent) > 0 && w.sent[len(w.sent)-1].next > m.End {
		w.sent = w.sent[:len(w.sent)-1]
	}
	if w.end() != m.End {
		w.t.Fatalf("end %d is in the midst of a batch", m.End)
	}
	for i := range w.sent {
		w.sent[i].shard = nil
	}
	w.acked, w.start = m.End, m.Start
	var want []byte
	for i := range w.sent {
		if w.sent[i].next > m.Start {
			want = append(want, w.sent[i].mem...)
		}
	}
	if m.Start < m.End && !bytes.Equal(w.readAll(l, m.Start, m.End, 1+w.rng.IntN(30_000)), want) {
		w.t.Fatal("other bytes than were appended")
	}
	if n := len(w.sent); n > 0 {
		last := w.sent[n-1]
		d := l.Producers().Check(7, 0, int32(last.base), int32(last.next-last.base), w.now.Wall)
		if d.Code != producer.Duplicate || d.BaseOffset != last.base {
			w.t.Fatalf("the last batch once more: %+v", d)
		}
		d = l.Producers().Check(7, 0, int32(last.next), 1, w.now.Wall)
		if d.Code != producer.Accept {
			w.t.Fatalf("the next batch: %+v", d)
		}
	}
}

// again ends the life and begins another.
func (w *moveWorld) again(power bool) {
	w.t.Helper()
	w.crash(power)
	w.fs.PowerOffAfter(1 << 40)
	w.open()
	w.check()
}

// TestMoveCrashes cuts the power at every call of the file system that a move makes, once
// and back, and at the openings after it.
func TestMoveCrashes(t *testing.T) {
	for seed := range uint64(4) {
		d := []Durability{Fsync, Write}[seed/2%2]
		for cut := int64(0); ; cut++ {
			w := newMoveWorld(t, seed, d)
			w.open()
			from := w.home().shard.core
			w.work(60)
			if cut%3 == 0 {
				w.shards[from].sw.first = true
			}
			to := (from + 1) % w.cores
			w.fs.PowerOffAfter(cut)
			whole := w.move(to)
			if whole {
				w.work(10)
				whole = !w.fs.Off() && w.move(from)
			}
			over := whole && !w.fs.Off()
			w.again(d == Fsync)
			if over && w.home().shard.core != from {
				t.Fatalf("seed %d: the log is not where it went last", seed)
			}
			w.work(30)
			if !w.move((w.home().shard.core + 1) % w.cores) {
				t.Fatal("no move after a crash")
			}
			w.work(10)
			at := w.home().shard.core
			w.again(w.rng.IntN(2) == 0 && d == Fsync)
			if w.home().shard.core != at {
				t.Fatalf("seed %d, cut %d: on core %d, it went to %d", seed, cut, w.home().shard.core, at)
			}
			w.stop()
			w.open()
			w.check()
			if !w.rep.Clean || w.home().shard.core != at {
				t.Fatalf("seed %d, cut %d: after a clean stop: %+v, core %d", seed, cut, w.rep,
					w.home().shard.core)
			}
			w.close()
			if over {
				t.Logf("seed %d: %d cuts", seed, cut)
				break
			}
			if cut > 3000 {
				t.Fatal("a move makes too many calls")
			}
		}
	}
}

// TestMovesAbout moves a log about for many lives; the number of cores changes, and other
// logs stay where they are.
func TestMovesAbout(t *testing.T) {
	lives := 0
	for seed := range uint64(40) {
		w := newMoveWorld(t, seed+100, []Durability{Fsync, Write}[seed%2])
		w.open()
		for range 6 {
			lives++
			for range 1 + w.rng.IntN(4) {
				w.work(w.rng.IntN(60))
				if w.rng.IntN(3) == 0 {
					for _, s := range w.shards {
						s.sw.first = true
					}
				}
				if l := w.home(); w.cores > 1 {
					w.move((l.shard.core + 1 + w.rng.IntN(w.cores-1)) % w.cores)
				}
			}
			w.work(w.rng.IntN(30))
			at, cores := w.home().shard.core, w.cores
			clean := w.rng.IntN(3) == 0
			if clean {
				w.stop()
			} else {
				w.crash(w.o.Durability == Fsync && w.rng.IntN(2) == 0)
			}
			if w.rng.IntN(3) == 0 {
				w.cores = 1 + w.rng.IntN(4)
			}
			w.open()
			w.check()
			want := CoreOf(w.tp, w.cores)
			if cores == w.cores {
				want = at
			}
			if got := w.home().shard.core; got != want {
				t.Fatalf("seed %d: on core %d of %d, want %d (was %d of %d)", seed, got, w.cores, want, at, cores)
			}
		}
		w.stop()
	}
	t.Logf("%d lives", lives)
}

// TestLostBookOfMoves: a start without it is refused when anything relies on it.
func TestLostBookOfMoves(t *testing.T) {
	for _, swept := range []bool{false, true} {
		w := newMoveWorld(t, 11, Fsync)
		w.open()
		w.work(30)
		from := w.home().shard.core
		if !w.move((from + 1) % w.cores) {
			t.Fatal("no move")
		}
		w.append()
		w.settle()
		if swept { // the old core's checkpoint has the log no more
			w.shards[from].sw.first = true
			w.settle()
		}
		w.crash(false)
		if err := w.fs.Remove(movesName("/data")); err != nil {
			t.Fatal(err)
		}
		err := w.openErr()
		if err == nil {
			t.Fatalf("swept %v: a start without the book of moves", swept)
		}
		t.Log(err)
	}
}

// TestCancelledMove: a log that stays is appended to as if nothing had been.
func TestCancelledMove(t *testing.T) {
	for seed := range uint64(20) {
		w := newMoveWorld(t, seed+200, Fsync)
		w.open()
		for range 5 {
			w.work(20)
			l := w.home()
			s := l.shard
			s.BeginMove(l, (s.core+1)%w.cores)
			wait := w.rng.IntN(6)
			for n := 0; s.MoveStage() < MoveWriting && n < 3000; n++ {
				if s.MoveStage() == MoveReady {
					s.FreezeMove()
				}
				if s.MoveStage() == MoveSettling && n%6 >= wait {
					break
				}
				w.step()
			}
			if !s.CancelMove() {
				for s.MoveStage() != MoveDone {
					w.step()
				}
				p := s.TakeMoved()
				w.shards[(s.core+1)%w.cores].Adopt(p, l.cfg)
			}
			w.work(5)
		}
		w.again(true)
		w.settle()
		w.stop()
		w.open()
		w.check()
		w.close()
	}
}

// TestMovedCompacted: a compacted log moves between rounds of the cleaner.
func TestMovedCompacted(t *testing.T) {
	swaps := uint64(0)
	for seed := range uint64(25) {
		w := newCleanWorld(t, seed)
		w.cores = 2
		w.open()
		for range 4 {
			w.eager()
			w.life(100)
			for range 2 {
				tp := w.keys[w.rng.IntN(len(w.keys))]
				moveOne(w.rig, tp)
				w.life(20)
			}
			acked := w.life(100)
			w.crash(w.rng.IntN(2) == 0)
			w.open()
			w.checkMoved(acked)
		}
		swaps += w.swaps
	}
	if swaps == 0 {
		t.Fatal("nothing was compacted")
	}
}

// moveOne moves a log, wherever it is, to the other of two cores.
func moveOne(r *rig, tp protocol.TopicPartition) {
	r.t.Helper()
	l := r.log(tp)
	s := l.shard
	if !s.BeginMove(l, 1-s.core) {
		r.t.Fatal("a move is refused")
	}
	for range 20_000 {
		switch s.MoveStage() {
		case MoveReady:
			s.FreezeMove()
		case MoveDone:
			r.shards[1-s.core].Adopt(s.TakeMoved(), l.cfg)
			return
		case MoveFailed:
			s.CancelMove() // the disk is full
			return
		}
		r.turn()
		r.perform(1 + r.rng.IntN(6))
		r.now.Mono += 5e6
	}
	r.dump()
	r.t.Fatalf("a move takes for ever: %v", s.MoveStage())
}

// checkMoved is check, for acknowledgements that came from several cores.
func (w *cleanWorld) checkMoved(acked map[protocol.TopicPartition]int64) {
	w.t.Helper()
	w.check(acked)
}

func TestMoveRecordVersions(t *testing.T) {
	r := logRecord{tp: protocol.TopicPartition{Topic: topicID(3), Partition: 2}, topic: []byte("t"),
		journal: makeJournalID(4, 1), seq: 9, moves: 7, cores: 2, end: 5, high: 5}
	b := appendLogRecord(nil, &r)
	got, rest, ok := nextLogRecord(b, 4)
	if !ok || len(rest) != 0 || fmt.Sprint(got.moves, got.cores, got.seq) != "7 2 9" {
		t.Fatalf("%+v %v", got, ok)
	}
	old := append(bytes.Clone(b[:recordFixed3]), b[recordFixed:]...) // as version 3 wrote it
	le.PutUint32(old, uint32(len(old)))
	got, rest, ok = nextLogRecord(old, 3)
	if !ok || len(rest) != 0 || got.moves != 0 || got.end != 5 || string(got.topic) != "t" {
		t.Fatalf("%+v %v", got, ok)
	}
}

func FuzzMoves(f *testing.F) {
	e := &movedLog{rec: logRecord{tp: protocol.TopicPartition{Topic: topicID(3)}, topic: []byte("t"),
		journal: makeJournalID(4, 1), moves: 1, cores: 2}}
	f.Add(encodeMoves(fuzzDir, 3, map[protocol.TopicPartition]*movedLog{e.rec.tp: e}))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		list, generation, rule := parseMoves(b, fuzzDir)
		if rule != "" {
			return
		}
		moved := map[protocol.TopicPartition]*movedLog{}
		for i := range list {
			moved[list[i].tp] = &movedLog{rec: list[i]}
		}
		if len(moved) != len(list) {
			return
		}
		again, g, rule := parseMoves(encodeMoves(fuzzDir, generation, moved), fuzzDir)
		if rule != "" || g != generation || len(again) != len(list) {
			t.Fatalf("%d logs became %d: %s", len(list), len(again), rule)
		}
	})
}
