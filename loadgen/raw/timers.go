package raw

import "math"

// never is a time that does not come.
const never = int64(math.MaxInt64)

// timers are the members of a thread by when they want to be woken: a binary heap that knows
// where each of them is.
type timers struct {
	heap []timer
	at   []int32 // by member: its place in the heap; -1: none
}

type timer struct {
	when int64
	who  int32
}

// grow makes room for one more member and returns its number.
func (t *timers) grow() int32 {
	t.at = append(t.at, -1)
	t.heap = append(t.heap, timer{})[:len(t.heap)]
	return int32(len(t.at) - 1)
}

// next is when the first one wants to be woken.
func (t *timers) next() int64 {
	if len(t.heap) == 0 {
		return never
	}
	return t.heap[0].when
}

// take removes the first one.
func (t *timers) take() int32 {
	who := t.heap[0].who
	t.set(who, never)
	return who
}

// set says when a member wants to be woken, instead of what was said before.
func (t *timers) set(who int32, when int64) {
	i := t.at[who]
	switch {
	case i < 0 && when == never:
	case i < 0:
		t.heap = append(t.heap, timer{when, who})
		t.at[who] = int32(len(t.heap) - 1)
		t.up(len(t.heap) - 1)
	case when == never:
		last := len(t.heap) - 1
		t.swap(int(i), last)
		t.heap = t.heap[:last]
		t.at[who] = -1
		if int(i) < last {
			t.fix(int(i))
		}
	default:
		t.heap[i].when = when
		t.fix(int(i))
	}
}

func (t *timers) fix(i int) {
	t.up(i)
	t.down(i)
}

func (t *timers) swap(i, j int) {
	t.heap[i], t.heap[j] = t.heap[j], t.heap[i]
	t.at[t.heap[i].who], t.at[t.heap[j].who] = int32(i), int32(j)
}

func (t *timers) up(i int) {
	for i > 0 {
		above := (i - 1) / 2
		if t.heap[above].when <= t.heap[i].when {
			return
		}
		t.swap(i, above)
		i = above
	}
}

func (t *timers) down(i int) {
	for {
		least := i
		for _, j := range [2]int{2*i + 1, 2*i + 2} {
			if j < len(t.heap) && t.heap[j].when < t.heap[least].when {
				least = j
			}
		}
		if least == i {
			return
		}
		t.swap(i, least)
		i = least
	}
}
