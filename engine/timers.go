package engine

import "millrace/internal/clock"

// timer is one entry: what to do and when. Cancelled timers stay until they are due;
// seq tells them apart from live ones.
type timer struct {
	at    clock.Instant
	order uint64 // of arming: equal instants fire in order
	task  *fetchTask
	seq   uint32
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
func (t *timers) fetch(at clock.Instant, f *fetchTask) {
	t.push(timer{at: at, task: f, seq: f.seq})
}

func (t *timers) push(x timer) {
	t.order++
	x.order = t.order
	t.heap = append(t.heap, x)
	for i := len(t.heap) - 1; i > 0; {
		p := (i - 1) / 2
		if !t.heap[i].before(&t.heap[p]) {
			break
		}
		t.heap[i], t.heap[p] = t.heap[p], t.heap[i]
		i = p
	}
}

func (t *timers) pop() timer {
	top := t.heap[0]
	n := len(t.heap) - 1
	t.heap[0] = t.heap[n]
	t.heap[n] = timer{}
	t.heap = t.heap[:n]
	for i := 0; ; {
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
		t.heap[i], t.heap[m] = t.heap[m], t.heap[i]
		i = m
	}
	return top
}

func (a *timer) before(b *timer) bool {
	return a.at < b.at || a.at == b.at && a.order < b.order
}

// expire fires what is due.
func (t *timers) expire(c *Core) {
	for len(t.heap) > 0 && t.heap[0].at <= c.now.Mono {
		x := t.pop()
		if x.task != nil {
			c.fetches.expired(c, x.task, x.seq)
			continue
		}
		x.fn(c)
	}
}
