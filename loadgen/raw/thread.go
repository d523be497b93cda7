package raw

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"time"
	"unsafe"

	"millrace/loadgen/measure"

	"golang.org/x/sys/unix"
)

// member is what a thread drives: a connection with its purpose.
type member interface {
	// wake is called at the time that it asked for; it says when it wants to be woken next.
	wake(now int64) (next int64)
	// ready is called when something has happened on its socket.
	ready(now int64, events uint32)
	// reroute is called when partitions have other leaders.
	reroute(now int64)
	// over says that nothing is awaited any more, once the measurement has ended.
	over(now int64) bool
	// close gives back what it holds.
	close()
}

// thread is one thread of the system with one epoll over its members.
type thread struct {
	run     *run
	rec     *measure.Recorder
	members []member
	talking []member // those of them that put load on the broker
	oldest  atomic.Int64
	timers  timers
	dirty   []*wired // have frames to send
	epoll   int
	seen    int64 // generation of the routing
	good    int64 // when a request last succeeded
	bad     int64 // when the first one failed after that; 0: none
	told    int64 // when the run was told of these two
	failure error
	wrote   bool
	events  [128]unix.EpollEvent
	scratch [4096]byte
	sleep   unix.Timespec
}

func newThread(r *run, kinds []measure.Kind) (*thread, error) {
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("raw: epoll: %w", err)
	}
	t := &thread{run: r, rec: r.m.Recorder(kinds...), epoll: ep}
	t.oldest.Store(never)
	return t, nil
}

// join takes a member in and gives it its number.
func (t *thread) join(m member) int32 {
	t.members = append(t.members, m)
	if _, idle := m.(*idler); !idle {
		t.talking = append(t.talking, m)
	}
	return t.timers.grow()
}

// watch puts a socket under the member's number.
func (t *thread) watch(fd int, who int32, events uint32) error {
	ev := unix.EpollEvent{Events: events, Fd: who}
	if err := unix.EpollCtl(t.epoll, unix.EPOLL_CTL_ADD, fd, &ev); err != nil {
		return fmt.Errorf("raw: epoll: %w", err)
	}
	return nil
}

func (t *thread) interest(fd int, who int32, events uint32) error {
	ev := unix.EpollEvent{Events: events, Fd: who}
	if err := unix.EpollCtl(t.epoll, unix.EPOLL_CTL_MOD, fd, &ev); err != nil {
		return fmt.Errorf("raw: epoll: %w", err)
	}
	return nil
}

func (t *thread) close() {
	for _, m := range t.members {
		m.close()
	}
	_ = unix.Close(t.epoll)
}

// fail ends the run for an error that is none of the broker's.
func (t *thread) fail(err error) {
	if t.failure == nil {
		t.failure = err
		t.run.m.Stop(err.Error())
	}
}

// Turns are at most this far apart, so that a run that is stopped stops.
const longest = 100 * time.Millisecond

// loop drives the members until the measurement and its drain are over.
func (t *thread) loop() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	// Timers of the kernel are 50 µs late unless told otherwise.
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0); err != nil {
		t.fail(fmt.Errorf("raw: timer slack: %w", err))
	}
	for who := range t.members {
		t.timers.set(int32(who), t.run.m.Started())
	}
	defer t.written()
	drain, checked := never, int64(0)
	for t.failure == nil {
		now := t.run.m.Now()
		t.turn(now)
		if t.run.m.Over(now) {
			if drain == never {
				drain = now + int64(t.run.patience)
			}
			if t.run.m.Stopped() {
				drain = min(drain, t.run.m.End()+int64(stoppedPatience))
			}
			if now >= checked {
				checked = now + int64(time.Millisecond)
				if t.lanesOver(now) {
					t.written()
				}
				if now >= drain || t.allOver(now) {
					return
				}
			}
		}
		t.send(now)
		t.wait(now)
	}
}

// turn tells the recorder the time, and wakes whose time has come.
func (t *thread) turn(now int64) {
	if now >= t.rec.Until() {
		t.gauges()
	}
	t.rec.Turn(now)
	if now >= t.told+int64(longest) {
		t.told = now
		t.run.good(t.good, t.bad)
		t.oldest.Store(t.awaited())
	}
	if g := t.run.generation.Load(); g != t.seen {
		t.seen = g
		for who := 0; who < len(t.members); who++ { // some may join
			t.members[who].reroute(now)
		}
	}
	for t.timers.next() <= now {
		who := t.timers.take()
		if next := t.members[who].wake(now); next != never {
			t.timers.set(who, next)
		}
	}
}

// written tells once that this thread's producers await nothing any more: readers know then what
// there is to read.
func (t *thread) written() {
	if !t.wrote {
		t.wrote = true
		t.run.writing.Add(-1)
	}
}

func (t *thread) lanesOver(now int64) bool {
	for _, m := range t.talking {
		if l, ok := m.(*lane); ok && !l.over(now) {
			return false
		}
	}
	return true
}

func (t *thread) allOver(now int64) bool {
	for _, m := range t.members {
		if !m.over(now) {
			return false
		}
	}
	return true
}

// gauges are what is told of the moment at which an interval ends.
func (t *thread) gauges() {
	t.rec.InFlight, t.rec.Lag = 0, 0
	for _, m := range t.talking {
		switch m := m.(type) {
		case *lane:
			t.rec.InFlight += int64(m.queued - m.answers)
		case *reader:
			t.rec.Lag += m.lag()
		}
	}
}

// awaited is when the oldest request was sent that has no answer; never: none is under way.
func (t *thread) awaited() int64 {
	oldest := never
	for _, m := range t.talking {
		switch m := m.(type) {
		case *lane:
			if m.answers < m.queued {
				oldest = min(oldest, m.slots[m.answers%uint64(len(m.slots))].sent)
			}
		case *reader:
			if m.waiting {
				oldest = min(oldest, m.asked)
			}
		}
	}
	return oldest
}

// send flushes what has been queued.
func (t *thread) send(now int64) {
	for i := 0; i < len(t.dirty); i++ {
		t.dirty[i].flush(now)
	}
	t.dirty = t.dirty[:0]
}

// wait sleeps for events, with the precision of the kernel's timers, and hands them out.
func (t *thread) wait(now int64) {
	until := min(t.timers.next(), t.rec.Until(), now+int64(longest))
	d := int64(0)
	if until > now {
		d = max(0, until-t.run.m.Now())
	}
	t.sleep = unix.NsecToTimespec(d)
	n, _, errno := unix.Syscall6(unix.SYS_EPOLL_PWAIT2, uintptr(t.epoll),
		uintptr(unsafe.Pointer(&t.events[0])), uintptr(len(t.events)),
		uintptr(unsafe.Pointer(&t.sleep)), 0, 0)
	switch errno {
	case 0:
	case unix.EINTR:
		return
	default:
		t.fail(fmt.Errorf("raw: epoll_pwait2: %w", errno))
		return
	}
	for _, ev := range t.events[:n] {
		t.members[ev.Fd].ready(t.run.m.Now(), ev.Events)
	}
}

// ok notes that a request has succeeded.
func (t *thread) ok(now int64) { t.good, t.bad = now, 0 }

// failed notes that one has failed.
func (t *thread) failed(now int64) {
	if t.bad == 0 {
		t.bad = now
	}
}
