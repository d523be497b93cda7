package netio

import (
	"fmt"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"millrace/internal/clock"
	"millrace/internal/invariant"
)

// epoll is the engine for hosts without io_uring. An op is tried at once; one
// that would block waits in a list of its descriptor until an edge says that
// trying again pays. File ops block, so worker threads run them.
type epoll struct {
	bell bell
	o    Options
	epfd int32
	tid  int

	done  fifo
	fds   []fdState // by descriptor
	slots slab
	vecs  vecPool
	hot   []int32 // descriptors that had more to give than one visit takes
	files filePool
	busy  bool

	events  [128]unix.EpollEvent
	ts      unix.Timespec
	msg     msghdr
	noWait2 bool // no epoll_pwait2 here (before 5.11): milliseconds only
}

// fdState is what the engine knows of a descriptor. It starts anew with every
// socket accepted and after every OpClose, so that a number that is used again
// inherits nothing.
type fdState struct {
	in, out    list // ops that wait, in order
	gen        uint32
	fileOps    int32 // in flight with the workers
	closing    int32 // slot of an OpClose that waits for them; none otherwise
	registered bool
	readable   bool // trying to receive may succeed; kept only when registered
	writable   bool
	ended      bool // the peer has closed: no further edge will come
	hot        bool
}

// NewEpoll makes a ring on epoll. The first Submit or Reap binds it to its thread.
func NewEpoll(o Options) (Ring, error) {
	e := &epoll{o: o}
	e.slots.free = none
	epfd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("netio: epoll_create: %w", err)
	}
	e.epfd = int32(epfd)
	if err = e.bell.open(unix.EFD_NONBLOCK); err == nil {
		// Edge-triggered: every write is an edge, so nobody has to read the count.
		ev := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET, Fd: -1}
		err = unix.EpollCtl(epfd, unix.EPOLL_CTL_ADD, int(e.bell.fd), &ev)
	}
	if err != nil {
		e.bell.close()
		_ = unix.Close(epfd)
		return nil, fmt.Errorf("netio: eventfd: %w", err)
	}
	e.files.open(&e.bell, o.FileWorkers)
	return e, nil
}

// Submit implements Ring.
func (e *epoll) Submit(ops []Op) int {
	if e.tid == 0 {
		e.tid = unix.Gettid()
	}
	for i := range ops {
		e.start(&ops[i])
	}
	return len(ops)
}

// Reap implements Ring.
func (e *epoll) Reap(dst []Completion, until clock.Instant) int {
	invariant.Check(len(dst) > 0)
	if e.tid == 0 {
		e.tid = unix.Gettid()
	}
	for {
		e.takeFiles()
		e.visitHot()
		switch {
		case e.done.len() == 0 && len(e.hot) == 0 && e.bell.rung.Load() == 0 && until > 0:
			if e.sleep(until) {
				until = 0
			}
			e.takeFiles()
		case e.done.len() < len(dst):
			e.poll()
		}
		n := e.done.pop(dst)
		rung := e.bell.answer()
		if n > 0 || rung || until <= 0 || !until.After(clock.Mono()) {
			e.busy = n > 0
			return n
		}
	}
}

// poll looks for edges without waiting.
func (e *epoll) poll() {
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(e.epfd),
		uintptr(unsafe.Pointer(&e.events)), uintptr(len(e.events)), 0, 0, 0)
	e.edges(int(n), errno)
}

// sleep waits for an edge. It returns true when until has passed.
func (e *epoll) sleep(until clock.Instant) (over bool) {
	left := time.Duration(-1)
	if until != clock.Never {
		if left = until.Sub(clock.Mono()); left <= 0 {
			e.poll()
			return true
		}
	}
	if e.busy && e.o.Spin > 0 && e.spin(until) {
		return false
	}
	if !e.bell.park() {
		return false
	}
	n, errno := e.wait(left)
	e.bell.unpark()
	e.edges(n, errno)
	return false
}

// wait parks in the kernel; left < 0 is without end.
func (e *epoll) wait(left time.Duration) (int, unix.Errno) {
	if !e.noWait2 {
		var ts *unix.Timespec
		if left >= 0 {
			e.ts = unix.Timespec{Sec: int64(left / time.Second), Nsec: int64(left % time.Second)}
			ts = &e.ts
		}
		n, _, errno := unix.Syscall6(unix.SYS_EPOLL_PWAIT2, uintptr(e.epfd),
			uintptr(unsafe.Pointer(&e.events)), uintptr(len(e.events)),
			uintptr(unsafe.Pointer(ts)), 0, 0)
		if errno != unix.ENOSYS && errno != unix.EPERM {
			return int(n), errno
		}
		e.noWait2 = true
	}
	ms := -1
	if left >= 0 { // rounded up, or the last part of a millisecond would be spun away
		ms = int(min((left+time.Millisecond-1)/time.Millisecond, 1<<30))
	}
	n, _, errno := unix.Syscall6(unix.SYS_EPOLL_PWAIT, uintptr(e.epfd),
		uintptr(unsafe.Pointer(&e.events)), uintptr(len(e.events)), uintptr(ms), 0, 0)
	return int(n), errno
}

// spin polls for a while. True: something has come.
func (e *epoll) spin(until clock.Instant) bool {
	end := min(until, clock.Mono().Add(e.o.Spin))
	for {
		e.poll()
		if e.done.len() != 0 || e.bell.rung.Load() != 0 {
			return true
		}
		if !end.After(clock.Mono()) {
			return false
		}
	}
}

// edges handles what the kernel reported. All of one report is handled before any
// further op starts, and the generation is compared: an edge of a closed
// descriptor never reaches the next user of its number.
func (e *epoll) edges(n int, errno unix.Errno) {
	if errno != 0 {
		invariant.Checkf(errno == unix.EINTR, "epoll_wait: %v", errno)
		return
	}
	for i := range e.events[:n] {
		ev := &e.events[i]
		if ev.Fd < 0 { // the bell
			continue
		}
		st := &e.fds[ev.Fd]
		if !st.registered || st.gen != uint32(ev.Pad) {
			continue
		}
		const ends = unix.EPOLLRDHUP | unix.EPOLLHUP | unix.EPOLLERR
		if ev.Events&ends != 0 {
			st.ended = true
		}
		if ev.Events&(unix.EPOLLIN|ends) != 0 {
			st.readable = true
			e.serveIn(ev.Fd, int32(ev.Events))
		}
		if ev.Events&(unix.EPOLLOUT|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
			st = &e.fds[ev.Fd]
			st.writable = true
			e.serveOut(ev.Fd)
		}
	}
}

// visitHot goes on where the last visit was cut short.
func (e *epoll) visitHot() {
	n := len(e.hot)
	for i := range n {
		fd := e.hot[i]
		if st := &e.fds[fd]; st.hot {
			st.hot = false
			e.serveIn(fd, 0)
		}
	}
	e.hot = e.hot[:copy(e.hot, e.hot[n:])]
}

// register asks for edges of both directions, once in a descriptor's life. If it is
// ready already, the first edge comes at once.
func (e *epoll) register(fd int32) unix.Errno {
	st := e.state(fd)
	ev := unix.EpollEvent{Fd: fd, Pad: int32(st.gen)}
	ev.Events = unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET&0xffffffff
	_, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_CTL, uintptr(e.epfd), unix.EPOLL_CTL_ADD,
		uintptr(fd), uintptr(unsafe.Pointer(&ev)), 0, 0)
	if errno == 0 {
		st.registered, st.readable, st.writable, st.ended = true, false, false, false
	}
	return errno
}

// state of a descriptor that the kernel has just shown to be one.
func (e *epoll) state(fd int32) *fdState {
	for int(fd) >= len(e.fds) {
		e.fds = append(e.fds, fdState{in: empty, out: empty, closing: none})
		e.fds = e.fds[:cap(e.fds)]
		for i := range e.fds {
			if e.fds[i].gen == 0 {
				e.fds[i] = fdState{in: empty, out: empty, closing: none, gen: 1}
			}
		}
	}
	return &e.fds[fd]
}

// known is the state of a descriptor seen before, or nil.
func (e *epoll) known(fd int32) *fdState {
	if fd < 0 || int(fd) >= len(e.fds) {
		return nil
	}
	return &e.fds[fd]
}

// forget makes a number fresh for its next user.
func (e *epoll) forget(st *fdState) {
	invariant.Check(st.in == empty && st.out == empty && st.fileOps == 0)
	*st = fdState{in: empty, out: empty, closing: none, gen: st.gen + 1, hot: false}
}

// Wake implements Ring.
func (e *epoll) Wake() { e.bell.wake() }

// Close implements Ring. Ops that wait for an edge hold no kernel resources; file
// ops are waited for.
func (e *epoll) Close() error {
	if e.epfd < 0 {
		return nil
	}
	e.files.close()
	e.bell.close()
	err := unix.Close(int(e.epfd))
	e.epfd = -1
	e.vecs.release()
	if err != nil {
		return fmt.Errorf("netio: close: %w", err)
	}
	return nil
}
