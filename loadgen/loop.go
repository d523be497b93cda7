package loadgen

import (
	"context"
	"fmt"
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// load is what a loop drives: one connection number per event.
type load interface {
	// answer is called with each whole frame of a connection.
	answer(conn int, id uint32, body []byte) error
	// turn is called after each round of events; it may queue frames and says when it wants to
	// be called again without an event (0: as soon as possible, negative: only by events).
	turn(now time.Duration) (wait time.Duration, done bool, err error)
}

// loop is one thread with one epoll over all connections.
type loop struct {
	conns  []*conn
	full   []bool // waits for room in the socket
	epoll  int
	start  time.Time
	events [64]unix.EpollEvent
}

func newLoop(conns []*conn) (*loop, error) {
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("loadgen: epoll: %w", err)
	}
	l := &loop{conns: conns, full: make([]bool, len(conns)), epoll: ep, start: time.Now()}
	for i, c := range conns {
		ev := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(i)}
		if err := unix.EpollCtl(ep, unix.EPOLL_CTL_ADD, c.fd, &ev); err != nil {
			return nil, fmt.Errorf("loadgen: epoll: %w", err)
		}
	}
	return l, nil
}

func (l *loop) now() time.Duration { return time.Since(l.start) }

func (l *loop) close() {
	_ = unix.Close(l.epoll)
	for _, c := range l.conns {
		c.close()
	}
}

// run drives the load until it is done.
func (l *loop) run(ctx context.Context, w load) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	// Timers of the kernel are 50 µs late unless told otherwise.
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("loadgen: timer slack: %w", err)
	}
	for turns := 0; ; turns++ {
		if turns&1023 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		wait, done, err := w.turn(l.now())
		if err != nil || done {
			return err
		}
		if err := l.send(); err != nil {
			return err
		}
		n, err := l.wait(wait)
		if err != nil {
			return err
		}
		for _, ev := range l.events[:n] {
			if ev.Events&unix.EPOLLOUT != 0 {
				l.full[ev.Fd] = false
				if err := l.interest(int(ev.Fd), unix.EPOLLIN); err != nil {
					return err
				}
			}
			if ev.Events&^unix.EPOLLOUT != 0 {
				if err := l.drain(int(ev.Fd), w); err != nil {
					return err
				}
			}
		}
	}
}

// send flushes what the turn has queued.
func (l *loop) send() error {
	for i, c := range l.conns {
		if len(c.out) == 0 || l.full[i] {
			continue
		}
		full, err := c.flush()
		if err != nil {
			return err
		}
		if full {
			l.full[i] = true
			if err := l.interest(i, unix.EPOLLIN|unix.EPOLLOUT); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l *loop) interest(i int, events uint32) error {
	ev := unix.EpollEvent{Events: events, Fd: int32(i)}
	if err := unix.EpollCtl(l.epoll, unix.EPOLL_CTL_MOD, l.conns[i].fd, &ev); err != nil {
		return fmt.Errorf("loadgen: epoll: %w", err)
	}
	return nil
}

// drain reads a connection until it is empty and hands on its frames.
func (l *loop) drain(i int, w load) error {
	c := l.conns[i]
	for {
		more, err := c.receive()
		if err != nil {
			return err
		}
		for {
			id, body, ok, err := c.frame()
			if err != nil {
				return err
			}
			if !ok {
				break
			}
			if err := w.answer(i, id, body); err != nil {
				return err
			}
		}
		if !more {
			return nil
		}
	}
}

// wait sleeps for events, with the precision of the kernel's timers. It looks up from an endless
// wait every 100 ms, for the context.
func (l *loop) wait(d time.Duration) (int, error) {
	if d < 0 || d > 100*time.Millisecond {
		d = 100 * time.Millisecond
	}
	ts := unix.NsecToTimespec(int64(d))
	n, _, errno := unix.Syscall6(unix.SYS_EPOLL_PWAIT2, uintptr(l.epoll),
		uintptr(unsafe.Pointer(&l.events[0])), uintptr(len(l.events)),
		uintptr(unsafe.Pointer(&ts)), 0, 0)
	switch errno {
	case 0:
		return int(n), nil
	case unix.EINTR:
		return 0, nil
	}
	return 0, fmt.Errorf("loadgen: epoll_pwait2: %w", errno)
}
