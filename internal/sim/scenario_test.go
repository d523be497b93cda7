package sim

import (
	"flag"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

var seeds = flag.Int("seeds", 160, "how many seeds to simulate; test/sim runs more")

// forSeeds runs f for the seeds from 1 on, on all processors.
func forSeeds(t *testing.T, n int, f func(seed uint64)) {
	if testing.Short() {
		n = min(n, 20)
	}
	var next atomic.Int64
	var all sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		all.Go(func() {
			for seed := next.Add(1); seed <= int64(n) && !t.Failed(); seed = next.Add(1) {
				f(uint64(seed))
			}
		})
	}
	all.Wait()
}

func TestScenarios(t *testing.T) {
	for _, sc := range Scenarios {
		t.Run(sc.Name, func(t *testing.T) {
			var mu sync.Mutex
			var sum Tally
			forSeeds(t, *seeds, func(seed uint64) {
				res, err := sc.Run(seed)
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					t.Errorf("%v\nagain: make sim-replay SEED=%d", err, seed)
				}
				sum.Add(&res.Tally)
			})
			var out strings.Builder
			sum.Write(&out)
			t.Logf("%s:\n%s", sc.Name, out.String())
			if *seeds < 160 || testing.Short() || t.Failed() {
				return
			}
			for _, c := range sc.Must {
				if sum[c] == 0 {
					t.Errorf("%s: in all runs there were no %v", sc.Name, c)
				}
			}
		})
	}
}

// TestRepeats: a seed gives the same run twice, byte for byte on the wire.
func TestRepeats(t *testing.T) {
	for _, sc := range Scenarios {
		forSeeds(t, 8, func(seed uint64) {
			a, errA := sc.Run(seed)
			b, errB := sc.Run(seed)
			if a != b || (errA == nil) != (errB == nil) {
				t.Errorf("%s: seed %d: two runs differ:\n%+v %v\n%+v %v", sc.Name, seed, a, errA, b, errB)
			}
		})
	}
}

func TestCommitted(t *testing.T) {
	for _, c := range Committed {
		for _, sc := range Scenarios {
			if sc.Name != c.Scenario {
				continue
			}
			if _, err := sc.Run(c.Seed); err != nil {
				t.Errorf("again: %s: %v", c.Found, err)
			}
		}
	}
}

// TestCaught: a build that acknowledges too early, and a disk that lies, are caught.
// More such variants: make mutants.
func TestCaught(t *testing.T) {
	for what, run := range map[string]func(seed uint64) error{
		"acknowledges what is not durable": func(seed uint64) error {
			_, err := RunStorage(Storage{Seed: seed, AckEarly: true})
			return err
		},
		"stands on a disk that syncs nothing": func(seed uint64) error {
			_, err := RunStorage(Storage{Seed: seed, LieAboutSync: true})
			return err
		},
		"serves from a disk that syncs nothing": func(seed uint64) error {
			_, err := RunBroker(Broker{Seed: seed, LieAboutSync: true})
			return err
		},
	} {
		caught := 0
		for seed := range uint64(12) {
			if run(seed+1) != nil {
				caught++
			}
		}
		t.Logf("a build that %s: caught by %d of 12 seeds", what, caught)
		if caught < 2 {
			t.Errorf("a build that %s was caught by %d of 12 seeds", what, caught)
		}
	}
}
