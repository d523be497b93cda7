package producer

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// noted appends a batch as the log would and notes it.
func noted(s *State, pid int64, epoch int16, seq, count int32, base int64) {
	s.Note(Batch{PID: pid, Epoch: epoch, BaseSeq: seq, Count: count, BaseOffset: base,
		Timestamp: 1000 + base}, base)
}

func TestRules(t *testing.T) {
	var s State
	if v := s.Check(7, 3, 4711, 2, 0); v.Code != Accept {
		t.Fatalf("unknown producer with any sequence: %v", v)
	}
	noted(&s, 7, 3, 0, 10, 100) // 0..9
	noted(&s, 7, 3, 10, 5, 110) // 10..14
	for _, c := range []struct {
		name       string
		epoch      int16
		seq, count int32
		want       Verdict
	}{
		{"next", 3, 15, 1, Verdict{}},
		{"gap", 3, 16, 1, Verdict{Code: OutOfOrder}},
		{"retry of the last", 3, 10, 5, Verdict{Duplicate, 110, 114, 1110}},
		{"retry of the first", 3, 0, 10, Verdict{Duplicate, 100, 109, 1100}},
		{"a part of one", 3, 0, 9, Verdict{Code: OutOfOrder}},
		{"over two", 3, 0, 15, Verdict{Code: OutOfOrder}},
		{"overlap", 3, 14, 3, Verdict{Code: OutOfOrder}},
		{"old epoch", 2, 15, 1, Verdict{Code: StaleEpoch}},
		{"old epoch, old batch", 2, 10, 5, Verdict{Code: StaleEpoch}},
		{"new epoch at 0", 4, 0, 1, Verdict{}},
		{"new epoch elsewhere", 4, 15, 1, Verdict{Code: OutOfOrder}},
	} {
		if got := s.Check(7, c.epoch, c.seq, c.count, 0); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
	noted(&s, 7, 4, 0, 1, 115)
	if v := s.Check(7, 4, 10, 5, 0); v.Code != OutOfOrder {
		t.Errorf("a batch of the old epoch under the new one: %+v", v)
	}
	if v := s.Check(7, 4, 0, 1, 0); v.Code != Duplicate || v.BaseOffset != 115 {
		t.Errorf("retry in the new epoch: %+v", v)
	}
}

func TestWindow(t *testing.T) {
	var s State
	for i := range int32(9) {
		noted(&s, 1, 0, i, 1, int64(i))
	}
	for i := range int32(9) {
		v, want := s.Check(1, 0, i, 1, 0), Duplicate
		if i < 9-Window {
			want = OutOfOrder // as Kafka: no longer known to be a duplicate
		}
		if v.Code != want || want == Duplicate && v.BaseOffset != int64(i) {
			t.Errorf("retry of %d: %+v", i, v)
		}
	}
}

func TestSequenceWraps(t *testing.T) {
	var s State
	noted(&s, 1, 0, math.MaxInt32-1, 1, 0)
	if v := s.Check(1, 0, math.MaxInt32, 3, 0); v.Code != Accept {
		t.Fatalf("a batch over the end of the numbers: %+v", v)
	}
	noted(&s, 1, 0, math.MaxInt32, 3, 1) // MaxInt32, 0, 1
	if v := s.Check(1, 0, math.MaxInt32, 3, 0); v.Code != Duplicate || v.BaseOffset != 1 {
		t.Fatalf("its retry: %+v", v)
	}
	if v := s.Check(1, 0, 2, 1, 0); v.Code != Accept {
		t.Fatalf("behind it: %+v", v)
	}
	noted(&s, 2, 0, math.MaxInt32, 1, 4)
	if v := s.Check(2, 0, 0, 1, 0); v.Code != Accept {
		t.Fatalf("0 behind the largest: %+v", v)
	}
}

func TestReplayIsIdempotent(t *testing.T) {
	var s State
	for i := range int32(7) {
		noted(&s, 1, 0, i*2, 2, int64(i)*2)
	}
	before := s.Encode(nil)
	for i := range int32(7) {
		noted(&s, 1, 0, i*2, 2, int64(i)*2)
	}
	if !bytes.Equal(before, s.Encode(nil)) {
		t.Fatal("a replay changed the state")
	}
	var again State
	if err := again.Decode(before); err != nil {
		t.Fatal(err)
	}
	for i := range int32(9) { // a log that overlaps the checkpoint and goes beyond it
		noted(&again, 1, 0, i*2, 2, int64(i)*2)
		noted(&s, 1, 0, i*2, 2, int64(i)*2)
	}
	if !bytes.Equal(again.Encode(nil), s.Encode(nil)) || again.End() != 18 {
		t.Fatal("checkpoint and replay lead elsewhere than the original")
	}
}

func TestExpiry(t *testing.T) {
	var s State
	noted(&s, 1, 0, 0, 1, 0) // seen at 0
	noted(&s, 2, 0, 0, 1, 50)
	noted(&s, 3, 0, 0, 1, 60)
	if v := s.Check(1, 0, 0, 1, 70); v.Code != Duplicate { // a retry: alive at 70
		t.Fatal(v)
	}
	s.Expire(155, 100)
	if s.Len() != 2 {
		t.Fatalf("%d producers left", s.Len())
	}
	if v := s.Check(2, 0, 5, 1, 0); v.Code != Accept {
		t.Fatalf("an expired producer is not unknown: %+v", v)
	}
	s.Expire(1000, 100)
	if s.Len() != 0 || s.entries != nil || s.End() != 61 {
		t.Fatalf("left: %d, end %d", s.Len(), s.End())
	}
	noted(&s, 2, 0, 5, 1, 61)
	if v := s.Check(2, 0, 5, 1, 0); v.Code != Duplicate {
		t.Fatal(v)
	}
}

func TestBounded(t *testing.T) {
	var s State
	for i := range int64(MaxProducers + 10) {
		noted(&s, i, 0, 0, 1, i)
	}
	if s.Len() != MaxProducers || len(s.entries) != MaxProducers {
		t.Fatalf("%d producers, %d entries", s.Len(), len(s.entries))
	}
	if s.Check(9, 0, 9, 1, 0).Code != Accept || s.Check(10, 0, 0, 1, 0).Code != Duplicate {
		t.Fatal("not the oldest made room")
	}
}

func TestTruncate(t *testing.T) {
	var s State
	for i := range int32(4) {
		noted(&s, 1, 0, i, 1, int64(i)*2)
		noted(&s, 2+int64(i), 0, 0, 1, int64(i)*2+1)
	}
	s.TruncateTo(5)
	if s.Len() != 3 || s.End() != 5 {
		t.Fatalf("%d producers, end %d", s.Len(), s.End())
	}
	if s.Check(1, 0, 3, 1, 0).Code != Accept && s.Check(1, 0, 2, 1, 0).Code != Duplicate {
		t.Fatal("producer 1 is not where the cut is")
	}
	if v := s.Check(1, 0, 2, 1, 0); v.Code != Duplicate || v.LastOffset != 4 {
		t.Fatal(v)
	}
	if v := s.Check(4, 0, 9, 1, 0); v.Code != Accept {
		t.Fatalf("its only batch was cut: %+v", v)
	}
	noted(&s, 4, 0, 9, 1, 5)
	if s.Check(4, 0, 9, 1, 0).Code != Duplicate {
		t.Fatal("a note behind the cut was skipped")
	}
}

func TestEach(t *testing.T) {
	var s State
	noted(&s, 9, 2, 0, 3, 0)
	noted(&s, 4, 1, 5, 1, 3)
	out := ""
	s.Each(func(i Info) { out += fmt.Sprintf("%+v\n", i) })
	want := "{PID:4 Epoch:1 CoordinatorEpoch:-1 LastSeq:5 LastOffset:3 LastTimestamp:1003 TxnStartOffset:-1}\n" +
		"{PID:9 Epoch:2 CoordinatorEpoch:-1 LastSeq:2 LastOffset:2 LastTimestamp:1000 TxnStartOffset:-1}\n"
	if out != want {
		t.Fatalf("got\n%swant\n%s", out, want)
	}
}

// TestModel compares with a plain reading of the rules under random use.
func TestModel(t *testing.T) {
	type known struct {
		epoch   int16
		batches []Batch
	}
	for seed := range uint64(30) {
		rng := rand.New(rand.NewPCG(seed, 1))
		var s State
		model := map[int64]*known{}
		offset := int64(0)
		for step := range 500 {
			pid, epoch := rng.Int64N(4), int16(rng.IntN(3))
			seq, count := rng.Int32N(30), 1+rng.Int32N(3)
			k := model[pid]
			if k != nil && rng.IntN(3) > 0 { // mostly something that makes sense
				last := k.batches[len(k.batches)-1-rng.IntN(min(len(k.batches), 6))]
				epoch, seq, count = k.epoch, last.BaseSeq, last.Count
				if rng.IntN(2) == 0 {
					last = k.batches[len(k.batches)-1]
					seq = last.BaseSeq + last.Count
				}
			}
			want := Accept
			switch {
			case k == nil:
			case epoch < k.epoch:
				want = StaleEpoch
			case epoch > k.epoch && seq != 0:
				want = OutOfOrder
			case epoch > k.epoch:
			default:
				last := k.batches[len(k.batches)-1]
				if seq != last.BaseSeq+last.Count {
					want = OutOfOrder
				}
				for _, b := range k.batches[max(0, len(k.batches)-Window):] {
					if b.BaseSeq == seq && b.Count == count {
						want = Duplicate
					}
				}
			}
			got := s.Check(pid, epoch, seq, count, int64(step))
			if got.Code != want {
				t.Fatalf("seed %d step %d: %v, want %v", seed, step, got.Code, want)
			}
			if want != Accept {
				continue
			}
			b := Batch{PID: pid, Epoch: epoch, BaseSeq: seq, Count: count, BaseOffset: offset}
			offset += int64(count)
			s.Note(b, int64(step))
			if k == nil || k.epoch != epoch {
				k = &known{epoch: epoch}
				model[pid] = k
			}
			k.batches = append(k.batches, b)
			if rng.IntN(20) == 0 {
				enc := s.Encode(nil)
				s = State{}
				if err := s.Decode(enc); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

func TestNoAllocation(t *testing.T) {
	var s State
	noted(&s, 1, 0, 0, 1, 0)
	noted(&s, 2, 0, 0, 1, 1)
	seq, offset := int32(1), int64(2)
	n := testing.AllocsPerRun(1000, func() {
		for pid := range int64(2) {
			if s.Check(pid+1, 0, seq, 1, offset).Code != Accept {
				t.Fatal("not accepted")
			}
			noted(&s, pid+1, 0, seq, 1, offset)
			offset++
		}
		seq++
	})
	if n != 0 {
		t.Fatalf("%v allocations", n)
	}
}

func FuzzDecode(f *testing.F) {
	var s State
	f.Add(s.Encode(nil))
	noted(&s, 1, 2, 3, 4, 5)
	noted(&s, 9, 0, 0, 1, 50)
	f.Add(s.Encode(nil))
	f.Add([]byte{version, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		var s State
		if s.Decode(b) != nil {
			if s.Len() != 0 {
				t.Fatal("an error left something behind")
			}
			return
		}
		if !bytes.Equal(s.Encode(nil), b) {
			t.Fatal("encodes to other bytes")
		}
		s.TruncateTo(s.End() / 2)
		s.Expire(1<<60, 1)
	})
}
