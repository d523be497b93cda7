package workload

import (
	"math/rand/v2"
	"time"
)

// Schedule gives the intended times of one producer's messages (or batches), from the begin of
// the load on. Several producers share a rate: each gets its own share of it, evenly shifted, so
// that together they make the whole.
type Schedule struct {
	gap    float64 // mean nanoseconds between two
	next   float64
	random *rand.Rand // Poisson; nil: constant
}

// NewSchedule is the schedule of producer i of n for things that come perSecond over all of them.
func (w *Workload) NewSchedule(i, n int, perSecond float64) *Schedule {
	s := &Schedule{gap: 1e9 / perSecond * float64(n)}
	if w.Arrival == Poisson {
		s.random = w.Random("arrival", i)
		s.next = s.gap * s.random.ExpFloat64()
		return s
	}
	s.next = s.gap * float64(i) / float64(n)
	return s
}

// Peek is when the next one is due.
func (s *Schedule) Peek() time.Duration { return time.Duration(s.next) }

// Take returns when the next one is due and goes on to the one behind it.
func (s *Schedule) Take() time.Duration {
	due := s.next
	if s.random != nil {
		s.next += s.gap * s.random.ExpFloat64()
	} else {
		s.next += s.gap
	}
	return time.Duration(due)
}

// Random is a source of chance for one purpose of one producer: the same for a seed, whatever
// other purposes draw.
func (w *Workload) Random(purpose string, i int) *rand.Rand {
	h := uint64(0xcbf29ce484222325)
	for _, c := range []byte(purpose) {
		h = (h ^ uint64(c)) * 0x100000001b3
	}
	return rand.New(rand.NewPCG(w.Seed, h^uint64(i)<<32))
}
