package netio

import (
	"golang.org/x/sys/unix"
)

// startClose ends what waits on the descriptor, then closes it. Workers still busy
// with it keep the number taken: it must not be reused under them.
func (e *epoll) startClose(op *Op) {
	st := e.known(op.Fd)
	if st == nil {
		e.finish(op.Tag, closeFd(op.Fd))
		return
	}
	for _, l := range [...]*list{&st.in, &st.out} {
		for l.head != none {
			e.end(e.slots.pop(l), unix.ECANCELED)
		}
	}
	if st.fileOps > 0 {
		if st.closing != none { // closed twice
			e.finish(op.Tag, -int32(unix.EBADF))
			return
		}
		st.closing = e.hold(op)
		return
	}
	e.forget(st)
	e.finish(op.Tag, closeFd(op.Fd))
}

func closeFd(fd int32) int32 {
	return result(unix.Syscall(unix.SYS_CLOSE, uintptr(fd), 0, 0))
}

// cancel ends the op with this tag. It is rare, so it may look at every slot.
func (e *epoll) cancel(target Tag) int32 {
	for i := range e.slots.all {
		p := &e.slots.all[i]
		if !p.used || p.tag != target || target == tagSilent {
			continue
		}
		slot, st := int32(i), &e.fds[p.fd]
		switch p.kind {
		case OpRead, OpWrite, OpSync:
			if !e.files.withdraw(slot) {
				return -int32(unix.EALREADY)
			}
			e.fileEnded(slot, -int32(unix.ECANCELED))
			return 0
		case OpClose:
			return -int32(unix.EALREADY)
		case OpSend:
			e.slots.remove(&st.out, slot)
		default:
			e.slots.remove(&st.in, slot)
		}
		e.end(slot, unix.ECANCELED)
		return 0
	}
	return -int32(unix.ENOENT)
}

// startFile gives an op that blocks to the workers.
func (e *epoll) startFile(op *Op) {
	if op.Fd < 0 {
		e.finish(op.Tag, -int32(unix.EBADF))
		return
	}
	if st := e.known(op.Fd); st == nil {
		_, _, errno := unix.RawSyscall(unix.SYS_FCNTL, uintptr(op.Fd), unix.F_GETFD, 0)
		if errno != 0 { // no table entry for a number that is no descriptor
			e.finish(op.Tag, -int32(errno))
			return
		}
	}
	i := e.hold(op)
	e.state(op.Fd).fileOps++
	p := &e.slots.all[i]
	e.files.push(fileOp{slot: i, kind: p.kind, dsync: p.flags&Dsync != 0, fd: p.fd, off: p.off,
		mem: p.mem, vec: p.vec})
}

// takeFiles collects what the workers have done.
func (e *epoll) takeFiles() {
	for _, d := range e.files.take() {
		e.fileEnded(d.slot, d.res)
	}
}

func (e *epoll) fileEnded(i int32, res int32) {
	fd := e.slots.all[i].fd
	st := &e.fds[fd]
	st.fileOps--
	e.drop(i, res)
	if st.fileOps == 0 && st.closing != none {
		c := st.closing
		st.closing = none
		e.forget(st)
		e.drop(c, closeFd(fd))
	}
}
