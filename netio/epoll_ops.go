package netio

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"millrace/internal/invariant"
)

// acceptsPerVisit bounds how long one listener may hold the core up.
const acceptsPerVisit = 64

// start begins one op; it finishes it too when the kernel lets it.
func (e *epoll) start(op *Op) {
	invariant.Check(op.Tag.Kind() != ownKind)
	invariant.Check(len(op.Vec) <= MaxVec)
	switch op.Kind {
	case OpNop:
		e.finish(op.Tag, 0)
	case OpAccept:
		e.startAccept(op)
	case OpRecv, OpPoll:
		e.startIn(op)
	case OpSend:
		e.startSend(op)
	case OpRead, OpWrite, OpSync:
		e.startFile(op)
	case OpClose:
		e.startClose(op)
	case OpShutdown:
		e.finish(op.Tag, result(unix.RawSyscall(unix.SYS_SHUTDOWN, uintptr(op.Fd), unix.SHUT_RDWR, 0)))
	case OpCancel:
		e.finish(op.Tag, e.cancel(op.Target))
	case OpWake:
		e.wakePeer(op)
	default:
		invariant.Checkf(false, "op kind %d", op.Kind)
	}
}

func (e *epoll) finish(tag Tag, res int32) {
	if tag != tagSilent {
		e.done.push(Completion{Tag: tag, Res: res})
	}
}

func (e *epoll) wakePeer(op *Op) {
	var p Ring
	if e.o.Peers != nil {
		p = e.o.Peers(op.Peer)
	}
	if p == nil {
		p = e
	}
	p.Wake()
	e.finish(op.Tag, 0)
}

// hold moves an op into a slot. The array of pieces is copied: it is the caller's.
func (e *epoll) hold(op *Op) int32 {
	i := e.slots.get()
	p := &e.slots.all[i]
	p.kind, p.flags, p.fd, p.tag, p.off = op.Kind, op.Flags, op.Fd, op.Tag, op.Off
	p.mem = op.Mem[:min(len(op.Mem), MaxLen)]
	if len(op.Vec) > 0 {
		p.block = e.vecs.get(len(op.Vec))
		p.vec = p.block
		copy(p.vec, pieces(op.Vec))
	}
	return i
}

// drop gives a slot back and reports its op.
func (e *epoll) drop(i int32, res int32) {
	p := &e.slots.all[i]
	tag := p.tag
	if p.block != nil {
		e.vecs.put(p.block)
	}
	e.slots.put(i)
	e.finish(tag, res)
}

// end reports an op that will not go on: what it moved so far counts first.
func (e *epoll) end(i int32, errno unix.Errno) {
	if done := e.slots.all[i].done; done > 0 {
		e.drop(i, int32(done))
		return
	}
	e.drop(i, -int32(errno))
}

// enqueue lets a held op wait for an edge, in order.
func (e *epoll) enqueue(i int32, out bool) {
	fd := e.slots.all[i].fd
	if st := e.state(fd); !st.registered {
		if errno := e.register(fd); errno != 0 {
			e.end(i, errno)
			return
		}
	}
	st := e.state(fd)
	if out {
		e.slots.push(&st.out, i)
	} else {
		e.slots.push(&st.in, i)
	}
}

// mustWait tells that an op of this direction cannot be tried now: others are before
// it, or the last try found nothing and no edge has come since.
func (e *epoll) mustWait(fd int32, out bool) bool {
	st := e.known(fd)
	if st == nil {
		return false
	}
	if out {
		return st.out.head != none || st.registered && !st.writable
	}
	return st.in.head != none || st.registered && !st.readable
}

func (e *epoll) startIn(op *Op) {
	if !e.mustWait(op.Fd, false) {
		var p pending // on the stack: most ops that can be tried are done by it
		p.kind, p.flags, p.fd, p.mem = op.Kind, op.Flags, op.Fd, op.Mem[:min(len(op.Mem), MaxLen)]
		if res, ok := e.tryIn(&p); ok {
			e.finish(op.Tag, res)
			return
		}
		i := e.hold(op)
		q := &e.slots.all[i]
		q.mem, q.done = p.mem, p.done
		e.enqueue(i, false)
		return
	}
	e.enqueue(e.hold(op), false)
}

// tryIn receives or polls once, or until all is there. False: it would block.
func (e *epoll) tryIn(p *pending) (res int32, ok bool) {
	if p.kind == OpPoll {
		return e.tryPoll(p)
	}
	for {
		n, errno := e.recv(p.fd, p.mem)
		switch {
		case errno == unix.EINTR:
			continue
		case errno == unix.EAGAIN:
			if st := e.known(p.fd); st != nil {
				st.readable = false
			}
			return 0, false
		case errno != 0 && p.done == 0:
			return -int32(errno), true
		case errno != 0 || n == 0:
			return int32(p.done), true
		}
		short := n < len(p.mem)
		if st := e.known(p.fd); short && st != nil && st.registered && !st.ended {
			st.readable = false // the next byte, or the end, makes an edge
		}
		p.done += n
		p.mem = p.mem[n:]
		if !short || p.flags&WaitAll == 0 {
			return int32(p.done), true
		}
	}
}

func (e *epoll) recv(fd int32, mem []byte) (int, unix.Errno) {
	base := uintptr(unsafe.Pointer(unsafe.SliceData(mem)))
	var n uintptr
	var errno unix.Errno
	if len(mem) <= quickBytes {
		n, _, errno = unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), base, uintptr(len(mem)),
			unix.MSG_DONTWAIT, 0, 0)
	} else {
		n, _, errno = unix.Syscall6(unix.SYS_RECVFROM, uintptr(fd), base, uintptr(len(mem)),
			unix.MSG_DONTWAIT, 0, 0)
	}
	return int(n), errno
}

// tryPoll asks for readiness itself: hints may be older than the last receive.
func (e *epoll) tryPoll(p *pending) (int32, bool) {
	if p.fd < 0 { // poll(2) ignores these
		return -int32(unix.EBADF), true
	}
	pfd := unix.PollFd{Fd: p.fd, Events: pollMask}
	n, _, errno := unix.RawSyscall(unix.SYS_POLL, uintptr(unsafe.Pointer(&pfd)), 1, 0)
	switch {
	case errno == unix.EINTR || errno == 0 && n == 0:
		if st := e.known(p.fd); st != nil && errno == 0 {
			st.readable = false
		}
		return 0, false
	case errno != 0:
		return -int32(errno), true
	case pfd.Revents&unix.POLLNVAL != 0:
		return -int32(unix.EBADF), true
	}
	return int32(pfd.Revents), true
}

func (e *epoll) startAccept(op *Op) {
	setNoDelay(op.Fd)
	if errno := setNonblock(op.Fd); errno != 0 {
		e.finish(op.Tag, -int32(errno))
		return
	}
	e.enqueue(e.hold(op), false) // the first edge comes at once if somebody is there
}

func setNonblock(fd int32) unix.Errno {
	flags, _, errno := unix.RawSyscall(unix.SYS_FCNTL, uintptr(fd), unix.F_GETFL, 0)
	if errno == 0 && flags&unix.O_NONBLOCK == 0 {
		_, _, errno = unix.RawSyscall(unix.SYS_FCNTL, uintptr(fd), unix.F_SETFL,
			flags|unix.O_NONBLOCK)
	}
	return errno
}

// accept takes connections until there are none. False: it stays armed.
func (e *epoll) accept(i int32) (res int32, ended bool) {
	p := &e.slots.all[i]
	for range acceptsPerVisit {
		fd, _, errno := unix.RawSyscall6(unix.SYS_ACCEPT4, uintptr(p.fd), 0, 0,
			unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
		switch errno {
		case 0:
			if st := e.known(int32(fd)); st != nil {
				e.forget(st)
			}
			e.done.push(Completion{Tag: p.tag, Res: int32(fd), More: true})
		case unix.EINTR, unix.ECONNABORTED:
		case unix.EAGAIN:
			e.state(p.fd).readable = false
			return 0, false
		default:
			return -int32(errno), true
		}
	}
	if st := e.state(p.fd); !st.hot {
		st.hot = true
		e.hot = append(e.hot, p.fd)
	}
	return 0, false
}

// serveIn tries what waits to receive. events is what an edge has just said, or 0.
func (e *epoll) serveIn(fd, events int32) {
	for {
		st := &e.fds[fd]
		i := st.in.head
		if i == none || !st.readable {
			return
		}
		var res int32
		var ok bool
		p := &e.slots.all[i]
		switch {
		case p.kind == OpAccept:
			if res, ok = e.accept(i); !ok {
				return
			}
		case p.kind == OpPoll && events != 0:
			res, ok = events&(pollMask|unix.POLLHUP|unix.POLLERR), true
		default:
			if res, ok = e.tryIn(p); !ok {
				return
			}
		}
		e.slots.pop(&e.fds[fd].in)
		e.drop(i, res)
		events = 0 // a receive may have taken what the edge told of
	}
}

func (e *epoll) startSend(op *Op) {
	if e.mustWait(op.Fd, true) {
		e.enqueue(e.hold(op), true)
		return
	}
	mem := op.Mem[:min(len(op.Mem), MaxLen)]
	n, want, errno := e.send(op.Fd, mem, pieces(op.Vec))
	for errno == unix.EINTR {
		n, want, errno = e.send(op.Fd, mem, pieces(op.Vec))
	}
	switch {
	case errno == unix.EAGAIN:
		if st := e.known(op.Fd); st != nil {
			st.writable = false
		}
	case errno != 0:
		e.finish(op.Tag, -int32(errno))
		return
	case n == want || op.Flags&WaitAll == 0:
		e.finish(op.Tag, int32(n))
		return
	}
	i := e.hold(op)
	if errno == 0 {
		e.slots.all[i].advance(n)
		if res, ok := e.tryOut(&e.slots.all[i]); ok {
			e.drop(i, res)
			return
		}
	}
	e.enqueue(i, true)
}

// send sends without waiting, and tells how much it was to send.
func (e *epoll) send(fd int32, mem []byte, vec []iovec) (n, want int, errno unix.Errno) {
	const flags = unix.MSG_NOSIGNAL | unix.MSG_DONTWAIT
	var r uintptr
	if len(vec) == 0 {
		want = len(mem)
		base := uintptr(unsafe.Pointer(unsafe.SliceData(mem)))
		if want <= quickBytes {
			r, _, errno = unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), base, uintptr(want), flags, 0, 0)
		} else {
			r, _, errno = unix.Syscall6(unix.SYS_SENDTO, uintptr(fd), base, uintptr(want), flags, 0, 0)
		}
		return int(r), want, errno
	}
	want = int(totalLen(vec))
	e.msg = msghdr{iov: uintptr(unsafe.Pointer(unsafe.SliceData(vec))), iovlen: uint64(len(vec))}
	h := uintptr(unsafe.Pointer(&e.msg))
	if want <= quickBytes {
		r, _, errno = unix.RawSyscall(unix.SYS_SENDMSG, uintptr(fd), h, flags)
	} else {
		r, _, errno = unix.Syscall(unix.SYS_SENDMSG, uintptr(fd), h, flags)
	}
	return int(r), want, errno
}

// advance steps over n bytes that have gone.
func (p *pending) advance(n int) {
	p.done += n
	if len(p.vec) == 0 {
		p.mem = p.mem[n:]
		return
	}
	left := uint64(n)
	for len(p.vec) > 0 && left >= p.vec[0].len {
		left -= p.vec[0].len
		p.vec = p.vec[1:]
	}
	if left > 0 {
		p.vec[0].base += uintptr(left)
		p.vec[0].len -= left
	}
}

// tryOut goes on with a held send. False: it would block.
func (e *epoll) tryOut(p *pending) (res int32, ok bool) {
	for {
		n, want, errno := e.send(p.fd, p.mem, p.vec)
		switch {
		case errno == unix.EINTR:
			continue
		case errno == unix.EAGAIN:
			if st := e.known(p.fd); st != nil {
				st.writable = false
			}
			return 0, false
		case errno != 0 && p.done == 0:
			return -int32(errno), true
		case errno != 0:
			return int32(p.done), true
		}
		p.advance(n)
		if n == want || p.flags&WaitAll == 0 {
			return int32(p.done), true
		}
	}
}

func (e *epoll) serveOut(fd int32) {
	for {
		st := &e.fds[fd]
		i := st.out.head
		if i == none || !st.writable {
			return
		}
		res, ok := e.tryOut(&e.slots.all[i])
		if !ok {
			return
		}
		e.slots.pop(&st.out)
		e.drop(i, res)
	}
}
