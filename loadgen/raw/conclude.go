package raw

import (
	"fmt"
	"slices"

	"millrace/loadgen/ledger"
	"millrace/loadgen/measure"
	"millrace/loadgen/result"
	"millrace/loadgen/workload"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// conclude closes everything and says what the run was.
func (r *run) conclude() (*result.Run, error) {
	r.unanswered()
	r.unread()
	if r.w.Mode == workload.Connections {
		r.standing()
	}
	var failure error
	for _, t := range r.threads {
		t.rec.Close()
		t.close()
		if failure == nil {
			failure = t.failure
		}
	}
	out := r.m.Result()
	to := r.routing.Load()
	out.Load, out.Client = string(r.w.Mode), workload.Raw
	out.Target = result.Target{Addr: r.w.Brokers[0], ClusterID: r.cluster.id,
		Brokers: len(to.brokers), Topics: r.topics, Partitions: len(to.leaders)}
	for _, g := range r.groups {
		out.Readers = append(out.Readers, r.reader(g, out))
		if g.reading != nil {
			out.Verified = add(out.Verified, g.reading.Verdict(r.w.ReadCommitted))
		}
	}
	if v := out.Verified; v != nil && !v.Right() && failure == nil {
		failure = ledger.ErrWrong
	}
	if len(out.Readers) == 1 && out.Readers[0].Behind == 0 {
		out.Readers = nil
	}
	return out, failure
}

// unanswered looks for requests whose answers never came, and for what was due and never left. They
// took at least as long as they were waited for, and count with that.
func (r *run) unanswered() {
	now, n, stayed := r.m.Now(), 0, 0
	for _, t := range r.threads {
		for _, m := range t.members {
			l, ok := m.(*lane)
			if !ok {
				continue
			}
			for ; l.answers < l.queued; l.answers++ {
				s := &l.slots[l.answers%uint64(len(l.slots))]
				t.rec.Record(measure.Response, s.due, now)
				t.rec.Fail(0, "no answer", "to a request that was sent to "+l.addr)
				n++
			}
			if l.schedule == nil || r.m.Stopped() {
				continue
			}
			for due := l.due(); due != never; due = l.due() {
				l.schedule.Take()
				t.rec.Record(measure.Response, due, now)
				stayed++
			}
		}
	}
	if n+stayed > 0 {
		r.m.Stop(fmt.Sprintf("%d requests had no answer %v after the end of the measurement, and %d "+
			"that were due could not even be sent: they count with the time until then", n, r.patience,
			stayed))
	}
}

// unread looks for messages that were acknowledged and did not come to a reader.
func (r *run) unread() {
	if r.ends == nil {
		return
	}
	for _, g := range r.groups {
		left := int64(0)
		for _, c := range g.all {
			for _, p := range c.parts {
				left += max(0, r.ends[p.place].Load()-p.offset)
			}
		}
		if left > 0 && !g.catchUp {
			r.m.Stop(fmt.Sprintf("%s had not read %d acknowledged messages %v after the end of the "+
				"measurement", g.name, left, r.patience))
		}
	}
}

// standing says how many idle and slow connections did not last.
func (r *run) standing() {
	want := r.w.Idle + r.w.Slow
	if have := int(r.resting.Load()); have < want {
		r.m.Stop(fmt.Sprintf("%d of %d idle and slow connections stood at the end", have, want))
	}
}

// reader is one group's figures.
func (r *run) reader(g *group, out *result.Run) result.Reader {
	g1 := result.Reader{Name: g.name, CatchUp: g.catchUp, Consumers: len(g.all)}
	var all *hdrhistogram.Histogram
	for _, c := range g.all {
		g1.Received += c.received
		g1.Bytes += c.bytes
		for _, p := range c.parts {
			if r.ends != nil && !g.catchUp {
				g1.Lag += max(0, r.ends[p.place].Load()-p.offset)
			}
		}
		g1.Behind = max(g1.Behind, float64(c.behind)/1e9)
		if c.latency != nil && !g.catchUp {
			if all == nil {
				all = result.NewHistogram()
			}
			all.Merge(c.latency)
		}
	}
	if all != nil && all.TotalCount() > 0 {
		s := result.Summarize(all)
		g1.EndToEnd = &s
	}
	return g1
}

// add puts the verdicts of two groups together.
func add(a, b *result.Verified) *result.Verified {
	if a == nil {
		return b
	}
	return &result.Verified{Expected: a.Expected + b.Expected, Received: a.Received + b.Received,
		Missing: a.Missing + b.Missing, Duplicates: a.Duplicates + b.Duplicates,
		Disordered: a.Disordered + b.Disordered, Damaged: a.Damaged + b.Damaged,
		Unknown: a.Unknown + b.Unknown, Examples: slices.Concat(a.Examples, b.Examples)}
}
