package compact

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"millrace/protocol/batch"
)

// judged is what becomes of the transactions of a log, found by brute force.
func judged(all []rec) map[int64]bool { // last offset of a data batch → aborted
	out := map[int64]bool{}
	for i, r := range all {
		if !r.txn || r.control != batch.NoMarker {
			continue
		}
		for _, m := range all[i:] {
			if m.control != batch.NoMarker && m.pid == r.pid {
				out[r.offset] = m.control == batch.Abort
				break
			}
		}
	}
	return out
}

// table is what a reader of committed records ends up with.
func table(all []rec, aborted map[int64]bool) map[string]string {
	out := map[string]string{}
	for _, r := range all {
		switch {
		case r.control != batch.NoMarker || aborted[r.offset] || !r.keyed:
		case r.tombstone:
			delete(out, r.key)
		default:
			out[r.key] = r.value
		}
	}
	return out
}

// TestRoundsKeepWhatCounts cleans random logs many times while they grow, and holds
// every round against a naive reader and against the rules record by record.
func TestRoundsKeepWhatCounts(t *testing.T) {
	seeds := uint64(60)
	if testing.Short() {
		seeds = 20
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { cleanAndCompare(t, seed) })
	}
}

func cleanAndCompare(t *testing.T, seed uint64) {
	w := newWriter(t, seed)
	w.txns = seed%2 == 1
	dirty, plain := int64(0), true
	var ever []rec // all that was ever appended
	for round := range 6 {
		w.some(30 + w.rng.IntN(60))
		if round == 5 {
			w.settle()
		}
		if n := len(w.l.segs); w.l.segs[n-1].base == w.next {
			w.l.segs = w.l.segs[:n-1] // empty, as an active one may be
		}
		before := w.l.records()
		for _, r := range before {
			if len(ever) == 0 || r.offset > ever[len(ever)-1].offset {
				ever = append(ever, r)
			}
		}
		o := Options{FirstDirty: dirty, Plain: plain, Now: w.now, DeleteRetention: 2000,
			Producers: maps.Clone(w.last), Buffer: 64 + w.rng.IntN(4096),
			SegmentBytes: int64(2000 + w.rng.IntN(8000))}
		if w.rng.IntN(3) == 0 { // a map that does not take everything
			o.Keys = NewOffsetMap(make([]byte, (12+w.rng.IntN(40))*SlotSize), 0.9)
		}
		res, err := w.l.clean(o, int64(1+w.rng.IntN(4000)))
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		after := w.l.records()
		c := comparison{t: t, w: w, before: before, after: after, res: res, now: o.Now,
			aborted: judged(ever), dirty: dirty}
		c.compare(round)
		if res.End < dirty {
			t.Fatalf("first dirty offset went back from %d to %d", dirty, res.End)
		}
		dirty, plain = res.End, res.Plain
		w.now += int64(w.rng.IntN(3000))
		w.roll()
	}
	if want, got := table(ever, judged(ever)), table(w.l.records(), judged(ever)); !maps.Equal(want, got) {
		t.Fatalf("a reader of all ends with %d keys, of what is left with %d", len(want), len(got))
	}
}

type comparison struct {
	t             *testing.T
	w             *writer
	before, after []rec
	res           Result
	now, dirty    int64
	aborted       map[int64]bool
}

// compare checks one round.
func (c *comparison) compare(round int) {
	t := c.t
	left := map[int64]rec{}
	for _, r := range c.after {
		left[r.offset] = r
	}
	was := map[int64]rec{}
	for _, r := range c.before {
		was[r.offset] = r
	}
	for _, r := range c.after {
		if w, ok := was[r.offset]; !ok || w != r {
			t.Fatalf("round %d: record %+v was %+v", round, r, w)
		}
	}
	latest := map[string]int64{} // among what counts, below End
	later := map[string]bool{}   // keys that also come behind it
	for _, r := range c.before {
		switch {
		case !r.keyed || r.control != batch.NoMarker || c.aborted[r.offset]:
		case r.offset < c.res.End:
			latest[r.key] = r.offset
		default:
			later[r.key] = c.res.Full // in the batch that was too much for the map
		}
	}
	removed := 0
	for _, r := range c.before {
		_, stays := left[r.offset]
		if !stays {
			removed++
		}
		switch {
		case r.control != batch.NoMarker:
			if !stays {
				c.markerGone(round, r)
			}
		case r.offset >= c.res.End:
			if !stays && !c.aborted[r.offset] {
				t.Fatalf("round %d: record %d behind %d is gone", round, r.offset, c.res.End)
			}
		case c.aborted[r.offset] || !r.keyed:
			if stays {
				t.Fatalf("round %d: record %d stays: aborted %v, keyed %v", round, r.offset,
					c.aborted[r.offset], r.keyed)
			}
		case !stays && later[r.key]:
		case stays != (latest[r.key] == r.offset) && !r.tombstone:
			t.Fatalf("round %d: record %d of %q stays: %v; the last one is %d", round, r.offset,
				r.key, stays, latest[r.key])
		case stays && latest[r.key] != r.offset:
			t.Fatalf("round %d: tombstone %d is not the last of its key", round, r.offset)
		}
	}
	if c.res.End > c.dirty && removed == 0 && round == 0 {
		t.Errorf("round %d removed nothing of %d records", round, len(c.before))
	}
	c.batches(round)
}

// markerGone checks that nothing of a marker's transaction is left (I3).
func (c *comparison) markerGone(round int, m rec) {
	from := int64(-1)
	for _, r := range c.before {
		if r.control != batch.NoMarker && r.pid == m.pid && r.offset < m.offset {
			from = r.offset
		}
	}
	for _, r := range c.before {
		if r.txn && r.control == batch.NoMarker && r.pid == m.pid && r.offset > from &&
			r.offset < m.offset {
			c.t.Fatalf("round %d: marker %d went while record %d was there", round, m.offset, r.offset)
		}
	}
}

// batches checks what stays of producers and of the log's end.
func (c *comparison) batches(round int) {
	all := c.w.l.batches()
	if len(all) == 0 || all[len(all)-1].NextOffset() != c.w.next {
		c.t.Fatalf("round %d: the log's end is lost", round)
	}
	for pid, last := range c.w.last {
		if !slices.ContainsFunc(all, func(v batch.View) bool {
			return v.ProducerID() == pid && v.LastOffset() == last.Offset
		}) {
			c.t.Fatalf("round %d: last batch of producer %d is gone", round, pid)
		}
	}
	for _, v := range all {
		if h, ok := v.DeleteHorizon(); ok && h <= 0 {
			c.t.Fatalf("round %d: horizon %d", round, h)
		}
	}
}

// TestTombstonesGo: a tombstone gets its horizon in the first round that sees it, stays
// until then, and goes with the first round after.
func TestTombstonesGo(t *testing.T) {
	w := newWriter(t, 1)
	put := func(key string, value []byte) {
		var b batch.Builder
		b.Reset(batch.Options{})
		b.Add(w.now, []byte(key), value, nil)
		v, err := b.Finish()
		if err != nil {
			t.Fatal(err)
		}
		w.put(v)
	}
	put("a", []byte("1"))
	put("b", []byte("1"))
	put("a", nil)
	put("z", []byte("end"))
	dirty := int64(0)
	round := func(now int64) []rec {
		res, err := w.l.clean(Options{FirstDirty: dirty, Plain: true, Now: now, DeleteRetention: 1000}, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		dirty = res.End
		put("z", []byte("end")) // something new for the next
		return w.l.records()
	}
	offsets := func(all []rec) (out []int64) {
		for _, r := range all {
			out = append(out, r.offset)
		}
		return out
	}
	if got := offsets(round(5000)); !slices.Equal(got, []int64{1, 2, 3, 4}) {
		t.Fatalf("first round leaves %v", got)
	}
	for _, v := range w.l.batches() {
		h, ok := v.DeleteHorizon()
		if want := v.BaseOffset() == 2; ok != want || ok && h != 6000 {
			t.Fatalf("batch %d has horizon %d, %v", v.BaseOffset(), h, ok)
		}
		if ts := recordsOf(t, v)[0].ts; ts != w.now {
			t.Fatalf("batch %d: time %d", v.BaseOffset(), ts)
		}
	}
	if got := offsets(round(5999)); !slices.Equal(got, []int64{1, 2, 4, 5}) {
		t.Fatalf("before the horizon: %v", got)
	}
	if got := offsets(round(6000)); !slices.Equal(got, []int64{1, 5, 6}) {
		t.Fatalf("at the horizon: %v", got)
	}
}

// TestDamage: a source that is not whole ends the round, and says where.
func TestDamage(t *testing.T) {
	w := newWriter(t, 4)
	w.some(40)
	w.settle()
	m := w.l.segs[0]
	for at := range len(m.log) {
		m.log[at] ^= 0x10
		_, err := w.l.clean(Options{Plain: true, Now: w.now}, 1<<20)
		var damage *DamageError
		if err == nil && !tolerable(at, m) || err != nil && !errors.As(err, &damage) {
			t.Fatalf("a flip at %d: %v", at, err)
		}
		if w.l.opened != 0 {
			t.Fatalf("%d files stay open", w.l.opened)
		}
		if err == nil {
			return // it was cleaned: the log is another one now
		}
		m.log[at] ^= 0x10
	}
}

// tolerable are the leader epoch and offsets that could be: the batch's CRC leaves them
// out, and a gap is nothing strange here.
func tolerable(at int, m *memSegment) bool {
	for pos := 0; pos < len(m.log); {
		v := batch.View(m.log[pos:])
		if at >= pos && at < pos+16 {
			return at-pos < 8 || at-pos >= 12
		}
		pos += int(v.Length()) + batch.LogOverhead
	}
	return false
}
