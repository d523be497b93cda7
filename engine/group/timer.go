package group

import "millrace/internal/clock"

// timer fires once when its time is there. Moving it to a later time, which heartbeats do
// all the time, costs nothing: its place in the heap is put right when it comes up.
type timer struct {
	fire func()
	due  clock.Instant
	at   clock.Instant // key in the heap, ≤ due
	slot int           // index in the heap + 1; 0: not armed
}

// timers is a binary heap by at.
type timers struct{ heap []*timer }

func (h *timers) next() clock.Instant {
	if len(h.heap) == 0 {
		return clock.Never
	}
	return h.heap[0].at
}

// arm sets t to fire at due, whatever it was set to before.
func (h *timers) arm(t *timer, due clock.Instant) {
	t.due = due
	switch {
	case t.slot == 0:
		t.at = due
		h.heap = append(h.heap, t)
		t.slot = len(h.heap)
		h.up(t)
	case due < t.at:
		t.at = due
		h.up(t)
	}
}

// cancel disarms t; a timer that is not armed stays so.
func (h *timers) cancel(t *timer) {
	if t.slot == 0 {
		return
	}
	last := h.heap[len(h.heap)-1]
	h.heap[len(h.heap)-1] = nil
	h.heap = h.heap[:len(h.heap)-1]
	if last != t {
		h.place(last, t.slot)
		h.up(last)
		h.down(last)
	}
	t.slot = 0
}

// pop returns a timer that is due, disarmed, or nil.
func (h *timers) pop(now clock.Instant) *timer {
	for len(h.heap) > 0 && h.heap[0].at <= now {
		t := h.heap[0]
		if t.due > now {
			t.at = t.due
			h.down(t)
			continue
		}
		h.cancel(t)
		return t
	}
	return nil
}

func (h *timers) place(t *timer, slot int) {
	h.heap[slot-1] = t
	t.slot = slot
}

func (h *timers) up(t *timer) {
	for slot := t.slot; slot > 1; {
		parent := h.heap[slot/2-1]
		if parent.at <= t.at {
			return
		}
		h.place(parent, slot)
		slot /= 2
		h.place(t, slot)
	}
}

func (h *timers) down(t *timer) {
	for slot := t.slot; ; {
		child := 2 * slot
		if child > len(h.heap) {
			return
		}
		if child < len(h.heap) && h.heap[child].at < h.heap[child-1].at {
			child++
		}
		lower := h.heap[child-1]
		if t.at <= lower.at {
			return
		}
		h.place(lower, slot)
		slot = child
		h.place(t, slot)
	}
}
