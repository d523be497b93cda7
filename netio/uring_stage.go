package netio

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"millrace/internal/invariant"
)

// pollMask is what OpPoll waits for, on both engines.
const pollMask = unix.POLLIN | unix.POLLRDHUP

// stage turns one op into submission slots. False: there is no room now.
func (u *uring) stage(op *Op) bool {
	invariant.Check(op.Tag.Kind() != ownKind)
	invariant.Check(len(op.Vec) <= MaxVec)
	switch op.Kind {
	case OpShutdown:
		return u.shutdown(op)
	case OpWake:
		return u.wakePeer(op)
	case OpClose:
		return u.stageClose(op)
	}
	if u.vecUsed+len(op.Vec) > len(u.vecs) {
		return false
	}
	e, slot := u.k.slot()
	if e == nil {
		return false
	}
	e.Fd = op.Fd
	e.UserData = uint64(op.Tag)
	u.fill(e, slot, op)
	u.owe(e, op.Tag)
	return true
}

// owe books the completion to come; nobody hears of silent ops.
func (u *uring) owe(e *sqe, tag Tag) {
	if tag == tagSilent {
		e.Flags |= sqeSkipSuccess
		return
	}
	u.inflight++
}

// fill writes what is the op's own into an otherwise zero slot.
func (u *uring) fill(e *sqe, slot uint32, op *Op) {
	switch op.Kind {
	case OpNop:
		e.OpCode = codeNop
	case OpAccept:
		setNoDelay(op.Fd)
		e.OpCode = codeAccept
		e.IoPrio = acceptMultishot
		e.OpcodeFlags = unix.SOCK_NONBLOCK | unix.SOCK_CLOEXEC
	case OpRecv:
		e.OpCode = codeRecv
		u.piece(e, op.Mem)
		if op.Flags&WaitAll != 0 {
			e.OpcodeFlags = unix.MSG_WAITALL
		}
	case OpPoll:
		e.OpCode = codePoll
		e.OpcodeFlags = pollMask
	case OpSend:
		u.fillSend(e, slot, op)
	case OpRead:
		e.OpCode = codeRead
		e.Off = uint64(op.Off)
		u.piece(e, op.Mem)
	case OpWrite:
		u.fillWrite(e, op)
	case OpSync:
		e.OpCode = codeSync
		e.OpcodeFlags = fsyncDatasync
	case OpCancel:
		e.OpCode, e.Fd = codeCancel, -1
		e.Addr = uint64(op.Target)
	default:
		invariant.Checkf(false, "op kind %d", op.Kind)
	}
}

func (u *uring) piece(e *sqe, mem []byte) {
	n := min(len(mem), MaxLen)
	e.Addr = uint64(address(mem))
	e.Len = uint32(n)
}

func (u *uring) fillSend(e *sqe, slot uint32, op *Op) {
	e.OpcodeFlags = unix.MSG_NOSIGNAL
	if op.Flags&WaitAll != 0 {
		e.OpcodeFlags |= unix.MSG_WAITALL
	}
	switch len(op.Vec) {
	case 0:
		e.OpCode = codeSend
		u.piece(e, op.Mem)
		u.bytes += uint64(e.Len)
	case 1: // no need for a header
		e.OpCode = codeSend
		e.Addr = uint64(uintptr(unsafe.Pointer(op.Vec[0].Base)))
		e.Len = uint32(min(op.Vec[0].Len, MaxLen))
		u.bytes += uint64(e.Len)
	default:
		vecs := u.copyVecs(op.Vec)
		h := &u.msgs[slot]
		*h = msghdr{iov: uintptr(unsafe.Pointer(&vecs[0])), iovlen: uint64(len(vecs))}
		e.OpCode = codeSendmsg
		e.Addr = uint64(uintptr(unsafe.Pointer(h)))
		e.Len = 1
	}
}

func (u *uring) fillWrite(e *sqe, op *Op) {
	e.Off = uint64(op.Off)
	if op.Flags&Dsync != 0 {
		e.OpcodeFlags = unix.RWF_DSYNC
	}
	if len(op.Vec) == 0 {
		e.OpCode = codeWrite
		u.piece(e, op.Mem)
		return
	}
	vecs := u.copyVecs(op.Vec)
	e.OpCode = codeWritev
	e.Addr = uint64(uintptr(unsafe.Pointer(&vecs[0])))
	e.Len = uint32(len(vecs))
}

// copyVecs takes pieces over until the next enter, in which the kernel copies them
// (IORING_FEAT_SUBMIT_STABLE).
func (u *uring) copyVecs(vec []Vec) []iovec {
	dst := u.vecs[u.vecUsed : u.vecUsed+len(vec)]
	u.vecUsed += len(vec)
	copy(dst, pieces(vec))
	u.bytes += totalLen(dst)
	return dst
}

// stageClose ends what is in flight on the descriptor, then closes it: two slots,
// which the kernel starts in this order. Without the first, an op in flight would
// keep the file open behind the closed descriptor.
func (u *uring) stageClose(op *Op) bool {
	if u.k.room() < 2 {
		return false
	}
	c, _ := u.k.slot()
	c.OpCode, c.Fd = codeCancel, op.Fd
	c.OpcodeFlags = cancelFd | cancelAll
	c.Flags = sqeSkipSuccess
	c.UserData = uint64(tagSilent)

	e, _ := u.k.slot()
	e.OpCode, e.Fd = codeClose, op.Fd
	e.UserData = uint64(op.Tag)
	u.owe(e, op.Tag)
	return true
}

// shutdown is a plain system call, because the ring gives it to a worker thread.
// What was submitted before it starts before it.
func (u *uring) shutdown(op *Op) bool {
	if u.k.staged() != 0 {
		u.flush()
		if u.k.staged() != 0 {
			return false
		}
	}
	u.finish(op.Tag, result(unix.RawSyscall(unix.SYS_SHUTDOWN, uintptr(op.Fd), unix.SHUT_RDWR, 0)))
	return true
}

// wakePeer strikes the peer's bell; if it sleeps, a message that leaves with the
// next enter wakes it.
func (u *uring) wakePeer(op *Op) bool {
	if u.k.room() < 1 {
		return false
	}
	switch p := u.peer(op.Peer).(type) {
	case nil:
		u.bell.wake() // a single core: to itself
	case *uring:
		if p.bell.strike() {
			u.message(p, op.Peer)
		}
	default:
		p.Wake()
	}
	u.finish(op.Tag, 0)
	return true
}

func (u *uring) message(p *uring, index int32) {
	e, _ := u.k.slot()
	e.OpCode, e.Fd = codeMessage, p.ringFd
	e.Off = uint64(tagPeer)
	e.Flags = sqeSkipSuccess
	e.UserData = uint64(tagKick | Tag(uint32(index)))
}

// finish reports an op that is already done.
func (u *uring) finish(tag Tag, res int32) {
	if tag != tagSilent {
		u.local.push(Completion{Tag: tag, Res: res})
	}
}

// result is a system call's outcome as a completion has it.
func result(r, _ uintptr, errno unix.Errno) int32 {
	if errno != 0 {
		return -int32(errno)
	}
	return int32(r)
}

// setNoDelay is inherited by accepted sockets, so that it is set once per listener.
// A listener without it (a Unix socket) refuses, which is no matter.
func setNoDelay(fd int32) {
	one := int32(1)
	_, _, _ = unix.RawSyscall6(unix.SYS_SETSOCKOPT, uintptr(fd), unix.IPPROTO_TCP,
		unix.TCP_NODELAY, uintptr(unsafe.Pointer(&one)), unsafe.Sizeof(one), 0)
}
