package compact

import (
	"maps"
	"slices"
	"testing"

	"millrace/protocol/batch"
)

// txnBatch appends one batch of a transaction: key → value pairs.
func (w *writer) txnBatch(pid int64, pairs ...string) {
	var b batch.Builder
	b.Reset(batch.Options{Transactional: true, Idempotent: true, ProducerID: pid, BaseSequence: w.seq[pid]})
	for i := 0; i < len(pairs); i += 2 {
		b.Add(w.now, []byte(pairs[i]), []byte(pairs[i+1]), nil)
	}
	v, err := b.Finish()
	if err != nil {
		w.t.Fatal(err)
	}
	w.put(v)
	w.seq[pid] += int32(len(pairs) / 2)
	w.open[pid] = true
}

// markers are the offsets of control batches that are left.
func (w *writer) markers() (offsets []int64) {
	for _, v := range w.l.batches() {
		if v.IsControl() {
			offsets = append(offsets, v.BaseOffset())
		}
	}
	return offsets
}

// R13: an aborted transaction over several segments, cleaned in parts. Its marker stays as
// long as anything of it does, in every round, also when the rounds before saw neither
// its data nor its end; then the marker gets a horizon, and goes behind it.
func TestR13AbortedOverSegments(t *testing.T) {
	w := newWriter(t, 1)
	w.txnBatch(1, "a", "committed")
	w.marker(1, batch.Commit) // 1
	w.roll()
	w.txnBatch(2, "a", "aborted", "b", "aborted") // 2, 3
	w.roll()
	w.txnBatch(1, "c", "committed") // 4
	w.txnBatch(2, "c", "aborted")   // 5
	w.roll()
	w.marker(2, batch.Abort)  // 6
	w.marker(1, batch.Commit) // 7
	w.txnBatch(3, "z", "1")
	w.marker(3, batch.Commit) // 9
	all := w.l.records()
	want := table(all, judged(all))
	whole := w.l.segs
	dirty, plain, now := int64(0), true, w.now
	round := func(segments int) {
		t.Helper()
		w.l.segs = whole[:segments]
		res, err := w.l.clean(Options{FirstDirty: dirty, Plain: plain, Now: now, DeleteRetention: 1000,
			SegmentBytes: 1}, 1) // every segment for itself
		if err != nil {
			t.Fatal(err)
		}
		whole = slices.Concat(w.l.segs, whole[segments:])
		w.l.segs, dirty, plain = whole, res.End, res.Plain
		left := w.l.records()
		aborted := judged(all)
		for _, r := range left {
			if aborted[r.offset] && r.offset < 6 && dirty > 6 {
				t.Fatalf("aborted record %d is left", r.offset)
			}
		}
		if got := table(left, judged(left)); !maps.Equal(got, want) {
			t.Fatalf("a reader ends with %v, want %v", got, want)
		}
	}
	round(1)
	if dirty != 2 {
		t.Fatalf("clean up to %d", dirty)
	}
	round(3) // the transaction is open at the end of what may be cleaned
	if dirty != 2 {
		t.Fatalf("clean up to %d though nothing is decided", dirty)
	}
	round(4)
	if got := w.markers(); !slices.Equal(got, []int64{1, 6, 7, 9}) {
		t.Fatalf("markers %v", got)
	}
	horizon := func(offset int64) (int64, bool) {
		for _, v := range w.l.batches() {
			if v.BaseOffset() == offset {
				return v.DeleteHorizon()
			}
		}
		return 0, false
	}
	if _, ok := horizon(6); ok {
		t.Fatal("the marker has a horizon though its data went just now")
	}
	w.roll()
	whole = w.l.segs
	w.txnBatch(3, "z", "1")
	w.marker(3, batch.Commit) // 11
	round(5)
	if h, ok := horizon(6); !ok || h != now+1000 {
		t.Fatalf("the abort marker has horizon %d, %v", h, ok)
	}
	if _, ok := horizon(1); ok {
		t.Fatal("the marker of data that is there has a horizon")
	}
	now += 1000
	w.roll()
	whole = w.l.segs
	w.txnBatch(3, "z", "1")
	w.marker(3, batch.Commit) // 13
	round(6)
	if got := w.markers(); slices.Contains(got, 6) || !slices.Contains(got, 1) || !slices.Contains(got, 7) {
		t.Fatalf("markers %v", got)
	}
}

// A marker of which only a reader of all knows what it decides is kept with the data.
func TestUnknownAbort(t *testing.T) {
	w := newWriter(t, 1)
	w.txnBatch(2, "a", "aborted")
	w.marker(2, batch.Abort)
	f := Filter{Keys: NewOffsetMap(make([]byte, 10*SlotSize), 0.9), InflateMost: 1 << 20,
		txn: newTransactions(nil)}
	for _, v := range w.l.batches() {
		if out, err := f.Batch(v); err != nil || out == nil {
			t.Fatalf("batch at %d: %v", v.BaseOffset(), err)
		} else if _, ok := out.DeleteHorizon(); ok {
			t.Fatalf("batch at %d has a horizon", v.BaseOffset())
		}
	}
}

func BenchmarkRound(b *testing.B) {
	w := newWriter(b, 9)
	w.codec = w.codec[:1]
	w.keys = 5000
	w.some(20_000)
	whole := slices.Clone(w.l.segs)
	bytes := int64(0)
	for _, m := range whole {
		bytes += int64(len(m.log))
	}
	b.SetBytes(bytes)
	for b.Loop() {
		w.l.segs = slices.Clone(whole)
		if _, err := w.l.clean(Options{Plain: true, Now: w.now, Buffer: 256 << 10,
			Keys: NewOffsetMap(make([]byte, 1<<20), 0.9)}, 4<<20); err != nil {
			b.Fatal(err)
		}
	}
}
