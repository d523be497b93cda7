package sim

import (
	"flag"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

var (
	seeds   = flag.Int("seeds", 200, "how many seeds to simulate")
	oneSeed = flag.Int64("seed", -1, "simulate this seed only")
)

// forSeeds runs f for the seeds that the flags ask for, on all processors.
func forSeeds(t *testing.T, limit int, f func(seed uint64)) {
	if *oneSeed >= 0 {
		f(uint64(*oneSeed))
		return
	}
	n := min(*seeds, limit)
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

func TestStorage(t *testing.T) {
	var mu sync.Mutex
	var sum StorageStats
	runs := 0
	forSeeds(t, 1<<30, func(seed uint64) {
		stats, err := RunStorage(Storage{Seed: seed})
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			t.Errorf("%v\nagain: make sim-replay SEED=%d", err, seed)
		}
		sum.add(stats)
		runs++
	})
	t.Logf("%d runs: %+v", runs, sum)
	if runs < 20 || t.Failed() {
		return
	}
	for what, n := range map[string]int{
		"appends": sum.Appends, "acks": sum.Acks, "reads": sum.Reads, "cold reads": sum.Cold,
		"finds": sum.Finds, "duplicates": sum.Duplicates, "retries after a crash": sum.Retried,
		"batches lost before their acknowledgement": sum.Lost, "dropped topics": sum.Drops,
		"power losses": sum.Crashes, "kills": sum.Kills, "clean stops": sum.Stops,
		"faults": sum.Faults, "power losses in recovery": sum.Cuts, "checked logs": sum.Checked,
	} {
		if n == 0 {
			t.Errorf("in all runs there were no %s", what)
		}
	}
}

func (s *StorageStats) add(o StorageStats) {
	s.Appends += o.Appends
	s.Acks += o.Acks
	s.Reads += o.Reads
	s.Cold += o.Cold
	s.Finds += o.Finds
	s.Duplicates += o.Duplicates
	s.Retried += o.Retried
	s.Lost += o.Lost
	s.Drops += o.Drops
	s.Waits += o.Waits
	s.Crashes += o.Crashes
	s.Kills += o.Kills
	s.Stops += o.Stops
	s.Faults += o.Faults
	s.Cuts += o.Cuts
	s.Full += o.Full
	s.Checked += o.Checked
}

// TestStorageRepeats: a seed gives the same run twice.
func TestStorageRepeats(t *testing.T) {
	forSeeds(t, 10, func(seed uint64) {
		a, errA := RunStorage(Storage{Seed: seed})
		b, errB := RunStorage(Storage{Seed: seed})
		if a != b || (errA == nil) != (errB == nil) {
			t.Errorf("seed %d: two runs differ:\n%+v %v\n%+v %v", seed, a, errA, b, errB)
		}
	})
}

// TestMutants: a build that acknowledges too early, and a disk that lies, are caught.
func TestMutants(t *testing.T) {
	if *oneSeed >= 0 {
		t.Skip("one seed only")
	}
	for name, o := range map[string]Storage{
		"acknowledges what is not durable": {AckEarly: true},
		"syncs nothing":                    {LieAboutSync: true},
	} {
		caught := 0
		for seed := range uint64(30) {
			o.Seed = seed + 1
			if _, err := RunStorage(o); err != nil {
				caught++
				if !strings.Contains(err.Error(), "lost") {
					t.Logf("%s: seed %d: %v", name, o.Seed, err)
				}
			}
		}
		t.Logf("%s: caught by %d of 30 seeds", name, caught)
		if caught < 3 {
			t.Errorf("a build that %s was caught by %d of 30 seeds", name, caught)
		}
	}
}
