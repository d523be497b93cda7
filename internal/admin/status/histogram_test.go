package status

import (
	"math"
	"testing"
)

func TestBucketsTileTheNumbers(t *testing.T) {
	for i := 0; i < Buckets-1; i++ {
		if got := bucket(upper(i)); got != i {
			t.Fatalf("upper(%d) = %d falls into bucket %d", i, upper(i), got)
		}
		if got := bucket(upper(i) + 1); got != i+1 {
			t.Fatalf("%d falls into bucket %d, want %d", upper(i)+1, got, i+1)
		}
	}
	if bucket(math.MaxUint64) != Buckets-1 {
		t.Error("the largest value is not in the last bucket")
	}
}

func TestQuantilesAndBounds(t *testing.T) {
	var h Histogram
	if h.Quantile(0.99) != 0 || h.Count() != 0 {
		t.Error("empty histogram")
	}
	for v := int64(1); v <= 100_000; v++ {
		h.Observe(v)
	}
	h.Observe(-5)
	if h.Count() != 100_001 {
		t.Fatalf("count %d", h.Count())
	}
	if h.Sum != 100_000*100_001/2 {
		t.Errorf("sum %d", h.Sum)
	}
	for _, q := range []float64{0.5, 0.9, 0.99, 0.999} {
		want := q * 100_000
		if got := float64(h.Quantile(q)); got < want || got > want*1.26 {
			t.Errorf("q%v = %v, want %v to %v", q, got, want, want*1.26)
		}
	}
	for exp := 3; exp <= 16; exp++ {
		if got, want := h.AtMost(exp), uint64(1)<<exp; got != want { // 0 .. 2^exp-1
			t.Errorf("AtMost(%d) = %d, want %d", exp, got, want)
		}
	}
	var sum Histogram
	sum.Add(&h)
	sum.ObserveN(7, 3)
	if sum.Count() != h.Count()+3 || sum.Sum != h.Sum+21 {
		t.Error("Add or ObserveN")
	}
}

func TestObserveAllocatesNothing(t *testing.T) {
	h := new(Histogram)
	if n := testing.AllocsPerRun(100, func() { h.Observe(12345) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
