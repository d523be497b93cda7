package engine

import (
	"runtime"
	"sync"

	"golang.org/x/sys/unix"

	"millrace/internal/clock"
	"millrace/netio"
)

// The driver is where a core meets a thread, a clock and the kernel. Everything here
// has a twin in the simulator.

// reapMax is how many completions one turn takes.
const reapMax = 512

// driver runs one core on one ring.
type driver struct {
	core *Core
	ring netio.Ring
	jobs *jobPool
	cpu  int // to pin to; −1: let the kernel choose
	done chan struct{}
}

// run turns until the core says that it has ended. It keeps its thread to itself.
func (d *driver) run(clk clock.Clock) {
	runtime.LockOSThread() // never unlocked: the thread dies with the goroutine
	defer close(d.done)
	if d.cpu >= 0 {
		var set unix.CPUSet
		set.Set(d.cpu)
		_ = unix.SchedSetaffinity(0, &set) // a wish: a container may forbid it
	}
	var in Input
	var out Output
	buf := make([]netio.Completion, reapMax)
	c := d.core
	began := clk.Now()
	for {
		c.Gather(&in)
		in.Now = began
		c.Step(&in, &out)
		d.submit(&out, buf)
		if c.ended() {
			return
		}
		parked := clk.Now()
		n := d.ring.Reap(buf, out.Next)
		in.Done = buf[:n]
		began = clk.Now()
		c.stats.BusyNanos += uint64(parked.Mono - in.Now.Mono)
		c.stats.ParkedNanos += uint64(began.Mono - parked.Mono)
	}
}

// submit hands the turn's wishes over. A full ring is emptied by extra turns that only
// take completions.
func (d *driver) submit(out *Output, buf []netio.Completion) {
	for i := range out.Jobs {
		d.jobs.run(out.Jobs[i], d.core)
		out.Jobs[i] = Job{}
	}
	ops := out.Ops
	for len(ops) > 0 {
		n := d.ring.Submit(ops)
		ops = ops[n:]
		if len(ops) > 0 {
			d.core.keep(buf[:d.ring.Reap(buf, 0)])
		}
	}
}

// jobPool runs jobs on a few goroutines, which come and go with the work.
type jobPool struct {
	mu    sync.Mutex
	queue []func()
	busy  int
	limit int
	quiet sync.WaitGroup
}

func newJobPool(limit int) *jobPool { return &jobPool{limit: limit} }

func (p *jobPool) run(j Job, c *Core) {
	then := j.Then
	work := j.Run
	p.push(func() {
		v := work()
		c.inbox.Post(func(c *Core) { then(c, v) })
	})
}

func (p *jobPool) push(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.queue = append(p.queue, f)
	if p.busy < p.limit {
		p.busy++
		p.quiet.Add(1)
		go p.loop()
	}
}

func (p *jobPool) loop() {
	defer p.quiet.Done()
	for {
		p.mu.Lock()
		if len(p.queue) == 0 {
			p.busy--
			p.mu.Unlock()
			return
		}
		f := p.queue[0]
		p.queue[0] = nil
		p.queue = p.queue[1:]
		p.mu.Unlock()
		f()
	}
}

// allowedCPUs are the processors that this process may run on.
func allowedCPUs() (list []int) {
	var set unix.CPUSet
	if unix.SchedGetaffinity(0, &set) != nil {
		return nil
	}
	for i := range len(set) * 64 {
		if set.IsSet(i) {
			list = append(list, i)
		}
	}
	return list
}
