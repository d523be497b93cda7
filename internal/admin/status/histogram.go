package status

import "math/bits"

// Buckets of a Histogram: values below 8 have a bucket each, above that every
// octave is cut in four, so that a quantile is at most 25 % off.
const (
	linear  = 8
	perOct  = 4
	octaves = 37 // up to 2^40
	Buckets = linear + perOct*octaves
)

// Histogram counts whole numbers (microseconds, bytes). The zero value is empty.
// It is a plain value: copy it to publish it.
type Histogram struct {
	Counts [Buckets]uint64
	Sum    uint64
}

// Observe counts one value; negative ones count as 0.
//
//hot:noalloc
func (h *Histogram) Observe(v int64) {
	if v < 0 {
		v = 0
	}
	h.Counts[bucket(uint64(v))]++
	h.Sum += uint64(v)
}

// ObserveN counts the same value n times.
//
//hot:noalloc
func (h *Histogram) ObserveN(v int64, n uint64) {
	if v < 0 {
		v = 0
	}
	h.Counts[bucket(uint64(v))] += n
	h.Sum += uint64(v) * n
}

// Add merges o into h.
func (h *Histogram) Add(o *Histogram) {
	for i, n := range o.Counts {
		h.Counts[i] += n
	}
	h.Sum += o.Sum
}

// Count is the number of values seen.
func (h *Histogram) Count() uint64 {
	var n uint64
	for _, c := range h.Counts {
		n += c
	}
	return n
}

// Quantile is the upper bound of the bucket that holds quantile q (0..1), 0 when
// empty.
func (h *Histogram) Quantile(q float64) uint64 {
	total := h.Count()
	if total == 0 {
		return 0
	}
	rank := uint64(q * float64(total))
	if rank >= total {
		rank = total - 1
	}
	var seen uint64
	for i, c := range h.Counts {
		seen += c
		if seen > rank {
			return upper(i)
		}
	}
	return upper(Buckets - 1)
}

// AtMost is the number of values below 2^exp, for exp ≥ 3: exact, since octaves
// end at powers of two.
func (h *Histogram) AtMost(exp int) uint64 {
	last := linear + perOct*(exp-3)
	if last > Buckets {
		last = Buckets
	}
	var n uint64
	for _, c := range h.Counts[:last] {
		n += c
	}
	return n
}

// bucket is the index for v: its octave, then the two bits after the leading one.
func bucket(v uint64) int {
	if v < linear {
		return int(v)
	}
	exp := bits.Len64(v) - 1 // ≥ 3
	i := linear + perOct*(exp-3) + int(v>>(exp-2))&3
	if i >= Buckets {
		return Buckets - 1
	}
	return i
}

// upper is the largest value of bucket i.
func upper(i int) uint64 {
	if i < linear {
		return uint64(i)
	}
	exp := (i-linear)/perOct + 3
	sub := uint64((i-linear)%perOct) + perOct
	return (sub+1)<<(exp-2) - 1
}
