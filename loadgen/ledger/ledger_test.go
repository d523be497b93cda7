package ledger

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"millrace/loadgen/result"
	"millrace/loadgen/workload"
)

// TestSpansAreASet compares with a map.
func TestSpansAreASet(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		var s, o spans
		set, other := map[uint64]bool{}, map[uint64]bool{}
		for range 60 {
			from := r.Uint64N(100)
			to := from + r.Uint64N(8)
			fresh := uint64(0)
			for n := from; n < to; n++ {
				if !set[n] {
					fresh++
				}
				set[n] = true
			}
			if got := s.add(from, to); got != fresh {
				t.Fatalf("add %d..%d: %d new, want %d", from, to, got, fresh)
			}
			n := r.Uint64N(100)
			o.add(n, n+1)
			other[n] = true
		}
		if int(s.count) != len(set) {
			t.Fatalf("%d in the set, want %d", s.count, len(set))
		}
		without, common := map[uint64]bool{}, map[uint64]bool{}
		s.without(&o, func(x span) {
			for n := x.From; n < x.To; n++ {
				without[n] = true
			}
		})
		s.common(&o, func(x span) {
			for n := x.From; n < x.To; n++ {
				common[n] = true
			}
		})
		for n := range uint64(120) {
			if s.has(n) != set[n] || without[n] != (set[n] && !other[n]) || common[n] != (set[n] && other[n]) {
				t.Fatalf("number %d: has %v, without %v, common %v", n, s.has(n), without[n], common[n])
			}
		}
		for i := 1; i < len(s.list); i++ {
			if s.list[i-1].To >= s.list[i].From {
				t.Fatalf("stretches touch: %v", s.list)
			}
		}
	}
}

// world is a run of two producers and two partitions, whose logs are lists of values.
type world struct {
	book *Book
	logs [2][][]byte
}

func newWorld() *world {
	return &world{book: New(7, 2, 2, func(p Place) string { return fmt.Sprintf("t-%d", p) })}
}

func value(run, stream uint32, number uint64) []byte {
	v := []byte(strings.Repeat("abcdefgh", 8))
	s := workload.Stamp{Run: run, Stream: stream, Number: number}
	s.Put(v, workload.ContentSum(v))
	return v
}

// write appends n messages of a producer and acknowledges them.
func (w *world) write(stream uint32, p Place, n int) {
	first := w.book.Take(stream, p, n)
	for i := range n {
		w.logs[p] = append(w.logs[p], value(7, stream, first+uint64(i)))
	}
	w.book.Acked(stream, p, first, n)
}

func (w *world) read(r *Reading) {
	for p := range w.logs {
		for offset, v := range w.logs[p] {
			r.Take(p, int64(offset), v)
		}
	}
}

func TestVerdicts(t *testing.T) {
	for name, c := range map[string]struct {
		change func(w *world)
		want   result.Verified
		text   string
	}{
		"right": {func(*world) {}, result.Verified{Expected: 40, Received: 40}, ""},
		"lost": {func(w *world) { w.logs[1] = append(w.logs[1][:3:3], w.logs[1][5:]...) },
			result.Verified{Expected: 40, Received: 38, Missing: 2}, "numbers 3 to 4 of producer 0 were acknowledged and never received"},
		"lost at the end": {func(w *world) { w.logs[0] = w.logs[0][:19] },
			result.Verified{Expected: 40, Received: 39, Missing: 1}, "numbers 9 to 9 of producer 1"},
		"twice": {func(w *world) { w.logs[0] = append(w.logs[0], w.logs[0][4]) },
			result.Verified{Expected: 40, Received: 40, Duplicates: 1}, "a second time, at offset 20"},
		"order": {func(w *world) { l := w.logs[0]; l[4], l[5] = l[5], l[4] },
			result.Verified{Expected: 40, Received: 40, Disordered: 1}, "number 4 of producer 0 at offset 5, behind number 5"},
		"content": {func(w *world) { w.logs[0][4][50] ^= 1 },
			result.Verified{Expected: 40, Received: 39, Missing: 1, Damaged: 1}, "is not what was written"},
		"stranger": {func(w *world) { w.logs[0] = append(w.logs[0], []byte("x")) },
			result.Verified{Expected: 40, Received: 40, Unknown: 1}, "has no stamp"},
		"never sent": {func(w *world) { w.logs[0] = append(w.logs[0], value(7, 1, 10)) },
			result.Verified{Expected: 40, Received: 40, Unknown: 1}, "were never sent"},
		"no such producer": {func(w *world) { w.logs[0] = append(w.logs[0], value(7, 9, 0)) },
			result.Verified{Expected: 40, Received: 40, Unknown: 1}, "producer 9, which there is not"},
		"another run": {func(w *world) { w.logs[0] = append(w.logs[0], value(8, 0, 0)) }, result.Verified{Expected: 40, Received: 40}, ""},
		"failed and there": {func(w *world) {
			n := w.book.Take(0, 0, 1)
			w.logs[0] = append(w.logs[0], value(7, 0, n))
		}, result.Verified{Expected: 40, Received: 40}, ""},
		"failed and not there": {func(w *world) { w.book.Take(0, 0, 3); w.write(0, 0, 1) }, result.Verified{Expected: 41, Received: 41}, ""},
		"aborted and seen": {func(w *world) {
			n := w.book.Take(0, 0, 2)
			w.book.Aborted(0, 0, n, 2)
			w.logs[0] = append(w.logs[0], value(7, 0, n+1))
		}, result.Verified{Expected: 40, Received: 40, Unknown: 1}, "were aborted, and received as committed"},
	} {
		w := newWorld()
		for p := range 2 {
			w.write(0, p, 10)
			w.write(1, p, 10)
		}
		c.change(w)
		r := w.book.Reading()
		w.read(r)
		outstanding := r.Outstanding()
		w.read(r) // B2: the same offsets again change nothing
		v := r.Verdict(true)
		examples := strings.Join(v.Examples, "\n")
		v.Examples = nil
		if fmt.Sprint(*v) != fmt.Sprint(c.want) || !strings.Contains(examples, c.text) || (examples == "") != (c.text == "") {
			t.Errorf("%s: %+v, want %+v; %s", name, *v, c.want, examples)
		}
		if outstanding != c.want.Missing || v.Right() != (c.text == "") {
			t.Errorf("%s: %d outstanding, right %v", name, outstanding, v.Right())
		}
	}
}

func TestReadingWithoutABook(t *testing.T) {
	name := func(p Place) string { return fmt.Sprintf("t-%d", p) }
	whole, part := NewReading(2, true, name), NewReading(2, false, name)
	for i, n := range []uint64{2, 3, 5, 6, 6} {
		whole.Take(0, int64(i), value(1, 0, n))
		part.Take(0, int64(i), value(1, 0, n))
	}
	if v := whole.Verdict(false); v.Missing != 3 || v.Duplicates != 1 || v.Expected != 7 || v.Received != 4 {
		t.Errorf("read from the beginning: %+v", v)
	}
	if v := part.Verdict(false); v.Missing != 1 || v.Expected != 5 {
		t.Errorf("read from somewhere: %+v", v)
	}
}
