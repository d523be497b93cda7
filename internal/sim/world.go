package sim

import (
	"container/heap"
	"math/rand/v2"
	"time"

	"millrace/internal/clock"
	"millrace/internal/vfs"
	"millrace/netio"
)

// World is time, chance, a disk and a network.
type World struct {
	Disk  *vfs.Mem
	Net   *Net
	Pace  Pace
	Tally Tally

	rng    *rand.Rand
	now    clock.Now
	events eventHeap
	made   uint64
	trace  uint64
	cores  []*Core
	life   int    // counts crashes: events of an earlier life are gone
	usual  func() // ends a hiccup of the disk
}

// Pace is how long things take, and how often they go a little wrong.
type Pace struct {
	Disk, Net, Job, Turn time.Duration // typical
	Slow                 float64       // share of events that take 50 times as long
	Short                float64       // share of transfers that are short
	Again                float64       // share of file ops that end with EINTR or EAGAIN
}

// event is something that happens at an instant.
type event struct {
	at    clock.Instant
	order uint64 // among events of one instant, as they were made
	do    func()
}

// New makes a world. Everything in it follows from the seed.
func New(seed uint64) *World {
	w := &World{
		Disk:  vfs.NewMem(seed),
		rng:   rand.New(rand.NewPCG(seed, 0x73696d)),
		now:   clock.Now{Mono: 1_000_000_000, Wall: 1_700_000_000_000},
		trace: 14695981039346656037,
	}
	w.Net = &Net{w: w}
	w.Pace = Pace{
		Disk: time.Duration(20+w.rng.IntN(400)) * time.Microsecond,
		Net:  time.Duration(5+w.rng.IntN(200)) * time.Microsecond,
		Job:  time.Duration(50+w.rng.IntN(5000)) * time.Microsecond,
		Turn: time.Duration(1+w.rng.IntN(30)) * time.Microsecond,
		Slow: []float64{0, 0.01, 0.1}[w.rng.IntN(3)], Short: 0.03, Again: 0.01,
	}
	return w
}

// Now is the simulated time; World is a clock.Clock.
func (w *World) Now() clock.Now { return w.now }

// Rand is the world's source of chance.
func (w *World) Rand() *rand.Rand { return w.rng }

// Chance is true with probability p.
func (w *World) Chance(p float64) bool { return p > 0 && w.rng.Float64() < p }

// Trace is a sum over everything that has happened: equal for equal runs.
func (w *World) Trace() uint64 { return w.trace }

// note adds to the trace (FNV-1a, a word at a time).
func (w *World) note(words ...uint64) {
	for _, v := range words {
		w.trace = (w.trace ^ v) * 1099511628211
	}
}

func (w *World) noteBytes(b []byte) {
	h := w.trace
	for _, c := range b {
		h = (h ^ uint64(c)) * 1099511628211
	}
	w.trace = h
}

// After lets do happen d later, unless a crash comes first.
func (w *World) After(d time.Duration, do func()) { w.at(w.now.Mono.Add(d), do) }

func (w *World) at(at clock.Instant, do func()) {
	w.made++
	heap.Push(&w.events, event{at: max(at, w.now.Mono), order: w.made, do: do})
}

// around is a random duration near d, sometimes a long one.
func (w *World) around(d time.Duration) time.Duration {
	n := time.Duration(w.rng.Int64N(int64(2*d) + 1))
	if w.Chance(w.Pace.Slow) {
		w.Tally[Slow]++
		n *= 50
	}
	return n
}

// Step lets the next event happen; false when there is none.
func (w *World) Step() bool {
	if len(w.events) == 0 {
		return false
	}
	e := heap.Pop(&w.events).(event)
	w.Tally[Steps]++
	w.setTime(e.at)
	e.do()
	return true
}

func (w *World) setTime(at clock.Instant) {
	w.now.Wall += int64(at)/1e6 - int64(w.now.Mono)/1e6
	w.now.Mono = at
	w.note(uint64(at))
}

// RunUntil steps until stop says so, nothing is left to happen, or limit events have
// happened; it says whether stop did.
func (w *World) RunUntil(limit int, stop func() bool) bool {
	for range limit {
		if stop() {
			return true
		}
		if !w.Step() {
			return stop()
		}
	}
	return stop()
}

// Crash ends every core at once: by a power loss, or only the process. Ops in flight
// happen, or a part of them, or not.
func (w *World) Crash(power bool) {
	w.life++
	for _, c := range w.cores {
		c.ring.crash()
	}
	w.events, w.cores = w.events[:0], nil
	w.Net.crash()
	if w.usual != nil {
		w.usual()
	}
	if power {
		w.Tally[PowerLosses]++
		s0, e0 := w.Disk.Lost()
		w.Disk.Crash()
		s1, e1 := w.Disk.Lost()
		w.Tally[Sectors] += s1 - s0
		w.Tally[Entries] += e1 - e0
	} else {
		w.Tally[Kills]++
		w.Disk.Kill()
	}
	w.note(0xdead, uint64(w.life))
}

type eventHeap []event

func (h eventHeap) Len() int { return len(h) }
func (h eventHeap) Less(i, j int) bool {
	if h[i].at != h[j].at {
		return h[i].at < h[j].at
	}
	return h[i].order < h[j].order
}
func (h eventHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *eventHeap) Push(x any)   { *h = append(*h, x.(event)) }
func (h *eventHeap) Pop() any {
	old := *h
	n := len(old) - 1
	e := old[n]
	old[n] = event{}
	*h = old[:n]
	return e
}

// Job is blocking work of a core; Done gets what Run returned, in a turn.
type Job struct {
	Run  func() any
	Done func(v any)
}

// Turn is one turn of a core: completions go in, ops and jobs come out, and when it
// wants to turn again without other cause.
type Turn func(now clock.Now, done []netio.Completion) (ops []netio.Op, jobs []Job, next clock.Instant)

// Core is what drives a Turn: the simulated thread, its ring and its helpers.
type Core struct {
	w       *World
	turn    Turn
	ring    *Ring
	mail    []func()
	backlog []netio.Op
	next    clock.Instant
	due     bool // a turn is scheduled
	stopped bool
	buf     [64]netio.Completion
}

// AddCore starts a core. Its first turn comes soon.
func (w *World) AddCore(turn Turn) *Core {
	c := &Core{w: w, turn: turn, next: clock.Never}
	c.ring = &Ring{w: w, core: c, index: int32(len(w.cores))}
	w.cores = append(w.cores, c)
	c.wake()
	return c
}

// Ring is the core's border with the simulated kernel.
func (c *Core) Ring() *Ring { return c.ring }

// Stop ends the core: it does not turn any more.
func (c *Core) Stop() { c.stopped = true }

// wake schedules a turn soon. What else comes in until then is seen by the same turn.
func (c *Core) wake() {
	if c.due || c.stopped {
		return
	}
	c.due = true
	c.w.After(c.w.around(c.w.Pace.Turn), c.run)
}

func (c *Core) run() {
	c.due = false
	if c.stopped {
		return
	}
	mail := c.mail
	c.mail = nil
	for _, m := range mail {
		m()
	}
	n := c.ring.Reap(c.buf[:], 0)
	ops, jobs, next := c.turn(c.w.now, c.buf[:n])
	c.w.note(7, uint64(c.ring.index), uint64(n), uint64(len(ops)), uint64(len(jobs)))
	c.backlog = append(c.backlog, ops...)
	took := c.ring.Submit(c.backlog)
	c.backlog = append(c.backlog[:0], c.backlog[took:]...)
	for _, j := range jobs {
		c.help(j)
	}
	c.next = next
	switch {
	case next <= c.w.now.Mono || len(c.ring.ready) > 0:
		c.wake()
	case next != clock.Never:
		c.w.at(next, func() {
			if c.next == next {
				c.wake()
			}
		})
	}
}

// help runs a job at a random later instant and brings the result back at another.
func (c *Core) help(j Job) {
	c.w.After(c.w.around(c.w.Pace.Job), func() {
		v := j.Run()
		c.w.After(c.w.around(c.w.Pace.Turn), func() {
			c.mail = append(c.mail, func() { j.Done(v) })
			c.wake()
		})
	})
}
