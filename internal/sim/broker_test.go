package sim

import (
	"sync"
	"testing"
)

func TestBroker(t *testing.T) {
	var mu sync.Mutex
	var sum BrokerStats
	runs := 0
	forSeeds(t, 1<<30, func(seed uint64) {
		stats, err := RunBroker(Broker{Seed: seed})
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
		"batches produced": sum.Produced, "acknowledgements": sum.Acked, "batches sent again": sum.Resent,
		"records consumed": sum.Consumed, "commits": sum.Commits, "topics": sum.Topics,
		"assignments": sum.Assigned, "rubbish": sum.Garbage, "power losses": sum.Crashes, "kills": sum.Kills, "clean stops": sum.Stops,
		"failing disks": sum.Faults, "refusals by a full disk": sum.Full,
	} {
		if n == 0 {
			t.Errorf("in all runs there were no %s", what)
		}
	}
}

func (s *BrokerStats) add(o BrokerStats) {
	s.Produced += o.Produced
	s.Acked += o.Acked
	s.Resent += o.Resent
	s.Consumed += o.Consumed
	s.Commits += o.Commits
	s.Topics += o.Topics
	s.Connections += o.Connections
	s.Garbage += o.Garbage
	s.Assigned += o.Assigned
	s.Crashes += o.Crashes
	s.Kills += o.Kills
	s.Stops += o.Stops
	s.Cuts += o.Cuts
	s.Faults += o.Faults
	s.Full += o.Full
}

// TestBrokerRepeats: a seed gives the same run twice, byte for byte on the wire.
func TestBrokerRepeats(t *testing.T) {
	forSeeds(t, 5, func(seed uint64) {
		a, errA := RunBroker(Broker{Seed: seed})
		b, errB := RunBroker(Broker{Seed: seed})
		if a != b || (errA == nil) != (errB == nil) {
			t.Errorf("seed %d: two runs differ:\n%+v %v\n%+v %v", seed, a, errA, b, errB)
		}
	})
}

// TestBrokerMutant: a disk that syncs nothing is caught from the clients' side.
func TestBrokerMutant(t *testing.T) {
	if *oneSeed >= 0 {
		t.Skip("one seed only")
	}
	caught := 0
	for seed := range uint64(12) {
		if _, err := RunBroker(Broker{Seed: seed + 1, LieAboutSync: true}); err != nil {
			caught++
		}
	}
	t.Logf("caught by %d of 12 seeds", caught)
	if caught < 2 {
		t.Errorf("a disk that syncs nothing was caught by %d of 12 seeds", caught)
	}
}
