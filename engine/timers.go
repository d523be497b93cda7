package engine

import "millrace/internal/clock"

// timer is one entry: what to do and when. A fetch's entry knows its place through the
// task, so that it goes when the fetch ends: deadlines may lie weeks ahead.
type timer struct {
	at    clock.Instant
	order uint64 // of arming: equal instants fire in order
	task  *fetchTask
	fn    func(c *Core)
}

// timers is a binary heap by time.
type timers struct {
	heap  []timer
	order uint64
}

func (t *timers) init() { t.heap = make([]timer, 0, 64) }

func (t *timers) next() clock.Instant {
	if len(t.heap) == 0 {
		return clock.Never
	}
	return t.heap[0].at
}

// after arms a cold timer.
func (t *timers) after(at clock.Instant, fn func(c *Core)) { t.push(timer{at: at, fn: fn}) }

// fetch arms the deadline of a parked fetch, without allocation.
func (t *timers) fetch(f *fetchTask) { t.push(timer{at: f.deadline, task: f}) }

// drop disarms the deadline of a fetch, if it is armed.
func (t *timers) drop(f *fetchTask) {
	if f.timer > 0 {
		t.take(int(f.timer) - 1)
	}
}

func (t *timers) push(x timer) {
	t.order++
	x.order = t.order
	t.heap = append(t.heap, x)
	t.up(len(t.heap) - 1)
}

// take removes the entry at i.
func (t *timers) take(i int) timer {
	x := t.heap[i]
	n := len(t.heap) - 1
	if x.task != nil {
		x.task.timer = 0
	}
	t.heap[i] = t.heap[n]
	t.heap[n] = timer{}
	t.heap = t.heap[:n]
	if i < n {
		t.down(i)
		t.up(i)
	}
	return x
}

// up moves the entry at i to its place among those before it.
func (t *timers) up(i int) {
	for i > 0 {
		p := (i - 1) / 2
		if !t.heap[i].before(&t.heap[p]) {
			break
		}
		t.swap(i, p)
		i = p
	}
	t.placed(i)
}

// down moves the entry at i to its place among those behind it.
func (t *timers) down(i int) {
	for n := len(t.heap); ; {
		l, r, m := 2*i+1, 2*i+2, i
		if l < n && t.heap[l].before(&t.heap[m]) {
			m = l
		}
		if r < n && t.heap[r].before(&t.heap[m]) {
			m = r
		}
		if m == i {
			break
		}
		t.swap(i, m)
		i = m
	}
	t.placed(i)
}

func (t *timers) swap(i, j int) {
	t.heap[i], t.heap[j] = t.heap[j], t.heap[i]
	t.placed(i)
	t.placed(j)
}

// placed notes where a fetch's entry is.
func (t *timers) placed(i int) {
	if f := t.heap[i].task; f != nil {
		f.timer = uint32(i) + 1
	}
}

func (a *timer) before(b *timer) bool {
	return a.at < b.at || a.at == b.at && a.order < b.order
}

// expire fires what is due. What is armed meanwhile waits for the next turn, even if it
// is due already: nothing can keep a turn from ending.
func (t *timers) expire(c *Core) {
	last := t.order
	for len(t.heap) > 0 && t.heap[0].at <= c.now.Mono && t.heap[0].order <= last {
		x := t.take(0)
		if x.task != nil {
			c.fetches.expired(c, x.task)
			continue
		}
		x.fn(c)
	}
}
