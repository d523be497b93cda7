package segment

import (
	"bytes"
	"testing"

	"millrace/protocol/batch"
	"millrace/segment/seal"
)

// filled opens a log of several segments, all of which are in files, and stops cleanly.
func filled(t *testing.T, seed uint64) *rig {
	r := newRig(t, seed)
	cfg := DefaultConfig()
	cfg.SegmentBytes = 300 << 10
	r.topic(1, 1, cfg)
	r.open()
	for range 400 {
		add(r, 1+r.rng.IntN(8), 40+r.rng.IntN(1500))
		if r.rng.IntN(8) == 0 {
			r.settle()
		}
	}
	r.settle()
	return r
}

// add appends a batch of records, when there is room for it.
func add(r *rig, count, size int) {
	r.t.Helper()
	s, l := r.shardOf(firstTP), r.log(firstTP)
	v := makeBatch(r.t, count, size, r.now.Wall, uint64(l.Marks().End))
	for range 1000 {
		if s.Admit(len(v)) == Admitted {
			s.Append(l, v, 1, r.now.Wall)
			return
		}
		r.turn()
		r.perform(len(r.waiting))
	}
	r.t.Fatal("never admitted")
}

// TestSumsAreThere: every piece of every segment has a right sum, at once, after a clean
// stop and after a crash.
func TestSumsAreThere(t *testing.T) {
	for seed := range uint64(6) {
		r := filled(t, seed)
		checkSums(t, r)
		if seed%2 == 0 {
			r.stop()
		} else {
			r.crash(seed%4 == 1)
		}
		r.open()
		checkSums(t, r)
		for range 40 {
			add(r, 3, 700)
		}
		r.settle()
		checkSums(t, r)
	}
}

// checkSums reads every segment as a cold reader would.
func checkSums(t *testing.T, r *rig) {
	t.Helper()
	l := r.log(firstTP)
	all := r.readAll(l, l.Marks().Start, l.Marks().End, 1<<20)
	sealed := 0
	for _, g := range l.segs {
		var table seal.Table
		if g.sums.filed > 0 {
			b, err := r.fs.ReadFile(g.path(endSums))
			if err != nil {
				t.Fatal(err)
			}
			var rule string
			if table, rule = seal.Parse(g.sealID(), b, g.sums.filed); rule != "" {
				t.Fatalf("%s: %s", g.path(endSums), rule)
			}
			if g.sums.closed {
				sealed++
				if _, _, rule := seal.ParseSealed(g.sealID(), b); rule != "" {
					t.Fatalf("%s: %s", g.path(endSums), rule)
				}
			}
		}
		for pos := int64(0); pos < g.size; {
			p, ok := g.piece(&table, pos)
			if !ok || p.Begin != pos {
				t.Fatalf("segment %d: the piece at %d is %+v, %v", g.base, pos, p, ok)
			}
			if rule := g.checkPiece(p, all[p.Begin:p.End]); rule != "" {
				t.Fatalf("segment %d: %+v: %s", g.base, p, rule)
			}
			pos = p.End
		}
		all = all[g.size:]
	}
	if len(l.segs) > 3 && sealed == 0 {
		t.Fatal("no segment is sealed")
	}
}

// TestDamageBesideTheLog: what stands beside a log is built anew, byte by byte as it
// was, when it is damaged or lost.
func TestDamageBesideTheLog(t *testing.T) {
	for i, ending := range []string{endIndex, endTime, endSums} {
		for n := range 5 {
			r := filled(t, uint64(10*i+n))
			r.stop()
			r.open()
			l := r.log(firstTP)
			g := l.segs[n%2]
			want := map[string][]byte{}
			for _, e := range []string{endIndex, endTime, endSums} {
				b, err := r.fs.ReadFile(g.path(e))
				if err != nil {
					t.Fatal(err)
				}
				want[e] = b
			}
			bad := bytes.Clone(want[ending])
			switch n {
			case 0:
				if err := r.fs.Remove(g.path(ending)); err != nil {
					t.Fatal(err)
				}
			case 1:
				bad = bad[:len(bad)/2]
			default:
				bad[r.rng.IntN(len(bad)-seal.TrailerSize*(i/2))] ^= 1 << r.rng.IntN(8)
			}
			if n > 0 {
				if err := r.fs.WriteFile(g.path(ending), bad); err != nil {
					t.Fatal(err)
				}
			}
			w := g.loadWant()
			if ending == endTime {
				from, rule, err := w.readTimes(r.fs, 1<<60)
				if from != g.base || rule == "" || err != nil {
					t.Fatalf("damage %d: search from %d, %q, %v", n, from, rule, err)
				}
				w.mend = true
			}
			res := w.run(r.shards[0].shared, r.fs)
			if res.err != nil || res.mended == nil || ending != endTime && len(res.broken) != 1 {
				t.Fatalf("%s, damage %d: %+v", ending, n, res)
			}
			for e, b := range want {
				got, err := r.fs.ReadFile(g.path(e))
				if err != nil || !bytes.Equal(got, b) {
					t.Fatalf("%s is not what it was: %v", e, err)
				}
			}
			r.shards[0].loaded(g, &res)
			checkSums(t, r)
		}
	}
}

// TestWalkStopsAtDamage: what is behind damage in the log itself is not believed.
func TestWalkStopsAtDamage(t *testing.T) {
	r := filled(t, 77)
	r.stop()
	r.open()
	g := r.log(firstTP).segs[0]
	b, err := r.fs.ReadFile(g.path(endLog))
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 8
	if err := r.fs.WriteFile(g.path(endLog), b); err != nil {
		t.Fatal(err)
	}
	if err := r.fs.Remove(g.path(endSums)); err != nil {
		t.Fatal(err)
	}
	w := g.loadWant()
	res := w.run(r.shards[0].shared, r.fs)
	if res.err != nil || res.mended != nil || len(res.broken) != 2 || res.broken[1].Pos > int64(len(b)/2) {
		t.Fatalf("%+v", res)
	}
	end := int64(0)
	for i := range res.sums.Len() {
		p := res.sums.At(i)
		if rule := g.checkPiece(p, b[p.Begin:p.End]); rule != "" {
			t.Fatal(rule)
		}
		end = p.End
	}
	if end > res.broken[1].Pos {
		t.Fatalf("sums to %d, damage at %d", end, res.broken[1].Pos)
	}
	n := 0
	at, err := walkFile(r.fs, g.path(endLog), g.base, int64(len(b)), func(v batch.View, _ int64) { n++ })
	if err == nil || at != res.broken[1].Pos || n == 0 {
		t.Fatalf("%d batches, to %d: %v", n, at, err)
	}
}
