package ledger

import "sort"

// span is the numbers from From up to, not including, To.
type span struct{ From, To uint64 }

// spans is a set of numbers: stretches in order that do not touch.
type spans struct {
	list  []span
	count uint64
}

// add takes the numbers [from, to) in and returns how many of them are new.
func (s *spans) add(from, to uint64) (fresh uint64) {
	if from >= to {
		return 0
	}
	n := len(s.list)
	if n > 0 && s.list[n-1].To == from { // by far the most common
		s.list[n-1].To = to
		s.count += to - from
		return to - from
	}
	if n == 0 || s.list[n-1].To < from {
		s.list = append(s.list, span{from, to})
		s.count += to - from
		return to - from
	}
	// The first stretch that touches, and the one behind the last that does.
	i := sort.Search(n, func(i int) bool { return s.list[i].To >= from })
	j := i
	whole := span{from, to}
	had := uint64(0)
	for ; j < n && s.list[j].From <= to; j++ {
		had += overlap(s.list[j], span{from, to})
		whole.From, whole.To = min(whole.From, s.list[j].From), max(whole.To, s.list[j].To)
	}
	if i == j {
		s.list = append(s.list, span{})
		copy(s.list[i+1:], s.list[i:])
		s.list[i] = whole
	} else {
		s.list[i] = whole
		s.list = append(s.list[:i+1], s.list[j:]...)
	}
	fresh = to - from - had
	s.count += fresh
	return fresh
}

func overlap(a, b span) uint64 {
	from, to := max(a.From, b.From), min(a.To, b.To)
	if from >= to {
		return 0
	}
	return to - from
}

// has says whether n is in the set.
func (s *spans) has(n uint64) bool {
	i := sort.Search(len(s.list), func(i int) bool { return s.list[i].To > n })
	return i < len(s.list) && s.list[i].From <= n
}

// end is the number behind the greatest one.
func (s *spans) end() uint64 {
	if len(s.list) == 0 {
		return 0
	}
	return s.list[len(s.list)-1].To
}

// without calls f with every stretch of s that is not in o, in order.
func (s *spans) without(o *spans, f func(span)) {
	j := 0
	for _, a := range s.list {
		for j < len(o.list) && o.list[j].To <= a.From {
			j++
		}
		at := a.From
		for k := j; k < len(o.list) && o.list[k].From < a.To; k++ {
			if o.list[k].From > at {
				f(span{at, o.list[k].From})
			}
			at = max(at, o.list[k].To)
		}
		if at < a.To {
			f(span{at, a.To})
		}
	}
}

// common calls f with every stretch that is in both, in order.
func (s *spans) common(o *spans, f func(span)) {
	for i, j := 0, 0; i < len(s.list) && j < len(o.list); {
		a, b := s.list[i], o.list[j]
		if both := (span{max(a.From, b.From), min(a.To, b.To)}); both.From < both.To {
			f(both)
		}
		if a.To < b.To {
			i++
		} else {
			j++
		}
	}
}
