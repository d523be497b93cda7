package engine

import (
	"runtime"
	"runtime/debug"
	"testing"
)

// Steps of steady produce and fetch allocate nothing.
func TestStepsAllocateNothing(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	for _, cores := range []int{1, 2} {
		r := newRig(t, cores)
		r.create("t", 2)
		a, b := r.connect(0), r.connect(0)
		put := formatter.AppendRequest(nil, produceRequest("t", 0, records(8, "value")), 1)
		put1 := formatter.AppendRequest(nil, produceRequest("t", 1, records(8, "value")), 1)
		f := fetchRequest("t", 0, 0, 0)
		f.Topics[0].Partitions[0].PartitionMaxBytes = 4096
		get := formatter.AppendRequest(nil, f, 2)
		step := func() {
			r.write(a, put)
			r.write(a, put1)
			r.write(b, get)
			r.ends[a].got, r.ends[b].got = r.ends[a].got[:0], r.ends[b].got[:0]
		}
		for range 100 { // warm; few enough that the journal does not wrap
			step()
		}
		r.mallocs, r.measure = 0, true
		const rounds = 200
		for range rounds {
			step()
		}
		if r.mallocs/rounds > 0 { // as testing.AllocsPerRun: what grows once in a while is no matter
			t.Errorf("%d cores: %d allocations in %d rounds of two produces and a fetch",
				cores, r.mallocs, rounds)
		}
	}
}

// counted runs f and adds what it allocated.
func (r *rig) counted(f func()) {
	if !r.measure {
		f()
		return
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	r.mallocs += after.Mallocs - before.Mallocs
}
