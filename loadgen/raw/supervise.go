package raw

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	// badPatience is how long a load goes on in which every request fails.
	badPatience = 10 * time.Second
	// hungPatience is how long a single request may be without an answer.
	hungPatience = 30 * time.Second
)

// supervise follows leaders that move, and ends a load in which nothing succeeds.
func (r *run) supervise(ctx context.Context) {
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	why := ""
	for {
		select {
		case <-ctx.Done():
			return
		case why = <-r.moved:
			if r.m.Over(r.m.Now()) {
				continue
			}
			r.follow(ctx, why)
		case <-tick.C:
			bad := r.firstBad.Load()
			if bad > 0 && bad > r.lastGood.Load() && r.m.Now()-bad > int64(badPatience) {
				r.m.Stop(fmt.Sprintf("every request has failed for %v; the last thing was: %s", badPatience,
					nonEmpty(why, "see the errors")))
			}
			r.hung()
		}
	}
}

// hung ends a load that waits for an answer that does not come.
func (r *run) hung() {
	oldest := never
	for _, t := range r.threads {
		oldest = min(oldest, t.oldest.Load())
	}
	if now := r.m.Now(); oldest != never && now-oldest > int64(r.hungAfter) && !r.m.Over(now) {
		r.m.Stop(fmt.Sprintf("a request has had no answer for %v", r.hungAfter))
	}
}

// follow asks for the leaders, a little later and again until all partitions have one.
func (r *run) follow(ctx context.Context, why string) {
	gone := 0
	for wait := 50 * time.Millisecond; ctx.Err() == nil && !r.m.Over(r.m.Now()); {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		wait = min(2*wait, time.Second)
		to, err := r.cluster.metadata(ctx, r.routing.Load())
		var missing *goneError
		switch {
		case errors.As(err, &missing):
			// A broker that has just come back may not know the topics yet.
			if gone++; gone >= 4 {
				r.m.Stop(missing.Error() + "; " + why)
				return
			}
			continue
		case err != nil:
			if bad := r.firstBad.Load(); bad > 0 && r.m.Now()-bad > int64(badPatience) {
				r.m.Stop(fmt.Sprintf("no broker can be asked for %v: %v; %s", badPatience, err, why))
				return
			}
			continue
		case !to.whole() && wait < time.Second:
			continue
		}
		r.deal(to)
		if r.aged.Swap(false) {
			if firsts, err := r.cluster.offsets(ctx, to, -2); err == nil {
				r.firsts.Store(&firsts)
			}
		}
		r.routing.Store(to)
		r.generation.Add(1)
		if !to.whole() {
			r.leadersMoved(why) // again, until the rest has leaders, too
		}
		return
	}
}

// leadersMoved has the leaders looked up; what says why.
func (r *run) leadersMoved(what string) {
	select {
	case r.moved <- what:
	default:
	}
}

// good notes a thread's last success and first failure after it.
func (r *run) good(good, bad int64) {
	if good > r.lastGood.Load() {
		r.lastGood.Store(good)
	}
	r.firstBad.Store(bad)
}
