package sim

import (
	"errors"
	"syscall"
	"unsafe"

	"millrace/internal/clock"
	"millrace/internal/invariant"
	"millrace/internal/vfs"
	"millrace/netio"
)

// Ring is netio.Ring over the simulated disk and network. It never parks: Reap
// returns what is there.
type Ring struct {
	w      *World
	core   *Core
	index  int32
	ready  []netio.Completion
	flying []*flight
	closed bool
	woken  bool

	// Files, when set, is where file ops go instead of the world's disk: a
	// vfs.Faults around it.
	Files vfs.ByFd
}

// entries is how many ops may be in flight in one ring.
const entries = 4096

// flight is an op between Submit and its completion.
type flight struct {
	op    netio.Op
	ring  *Ring
	at    int // in ring.flying
	sent  int // OpSend with WaitAll, OpRecv with WaitAll: bytes so far
	timed bool
	over  bool
}

var _ netio.Ring = (*Ring)(nil)

// Submit takes ops; each completes at an instant of its own.
func (r *Ring) Submit(ops []netio.Op) int {
	invariant.Check(!r.closed)
	for i := range ops {
		if len(r.flying) >= entries {
			return i
		}
		r.start(ops[i])
	}
	return len(ops)
}

func (r *Ring) start(op netio.Op) {
	op.Vec = append([]netio.Vec(nil), op.Vec...) // the caller's array is its own again
	invariant.Check(len(op.Vec) <= netio.MaxVec)
	f := &flight{op: op, ring: r, at: len(r.flying)}
	r.flying = append(r.flying, f)
	w := r.w
	switch op.Kind {
	case netio.OpNop:
		w.After(w.around(w.Pace.Turn), func() { f.end(0) })
	case netio.OpRead, netio.OpWrite, netio.OpSync:
		if op.Kind == netio.OpWrite && w.rng.IntN(4) == 0 {
			f.early()
		}
		w.After(w.around(w.Pace.Disk), func() { f.end(r.file(&f.op)) })
	case netio.OpWake:
		f.end(0)
		if int(op.Peer) < len(w.cores) {
			w.cores[op.Peer].ring.Wake()
		}
	case netio.OpCancel:
		w.After(w.around(w.Pace.Turn), func() { f.end(r.cancel(f.op.Target)) })
	default:
		w.Net.start(f)
	}
}

// early lets the kernel look at the memory now and not at the completion (I2): both are
// allowed, so what lies in it must be right at both.
func (f *flight) early() {
	n := length(&f.op)
	mem := make([]byte, n+vfs.BlockSize)
	skip := -int(uintptr(unsafe.Pointer(unsafe.SliceData(mem)))) & (vfs.BlockSize - 1)
	mem = mem[skip : skip+n]
	at := 0
	for _, v := range f.op.Vec {
		at += copy(mem[at:], unsafe.Slice(v.Base, v.Len))
	}
	if len(f.op.Vec) == 0 {
		copy(mem, f.op.Mem)
	}
	f.op.Mem, f.op.Vec = mem, nil
}

// end completes the op. An op without a tag is silent.
func (f *flight) end(res int32) { f.complete(res, false) }

func (f *flight) complete(res int32, more bool) {
	r := f.ring
	if f.over {
		return
	}
	if !more {
		f.over = true
		last := r.flying[len(r.flying)-1]
		last.at, r.flying[f.at] = f.at, last
		r.flying = r.flying[:len(r.flying)-1]
	}
	if f.op.Tag == 0 {
		return
	}
	r.w.note(uint64(r.index), uint64(f.op.Tag), uint64(uint32(res)))
	r.ready = append(r.ready, netio.Completion{Tag: f.op.Tag, Res: res, More: more})
	r.core.wake()
}

// Reap moves completions to dst.
func (r *Ring) Reap(dst []netio.Completion, _ clock.Instant) int {
	n := copy(dst, r.ready)
	r.ready = append(r.ready[:0], r.ready[n:]...)
	r.woken = false
	return n
}

// Wake lets the core turn.
func (r *Ring) Wake() {
	if !r.closed && !r.woken {
		r.woken = true
		r.core.wake()
	}
}

// Close ends the ring. Nothing may be in flight that holds memory, but for ops that
// wait for a client.
func (r *Ring) Close() error {
	for len(r.flying) > 0 {
		f := r.flying[len(r.flying)-1]
		kind := f.op.Kind
		invariant.Check(kind != netio.OpWrite && kind != netio.OpRead)
		f.end(-int32(syscall.ECANCELED))
	}
	r.closed = true
	r.core.Stop()
	return nil
}

func (r *Ring) disk() vfs.ByFd {
	if r.Files != nil {
		return r.Files
	}
	return r.w.Disk
}

// file does a file op, at its completion (I2).
func (r *Ring) file(op *netio.Op) int32 {
	w, d := r.w, r.disk()
	if w.Chance(w.Pace.Again) {
		w.Tally[Again]++
		return -int32([]syscall.Errno{syscall.EINTR, syscall.EAGAIN}[w.rng.IntN(2)])
	}
	var n int
	var err error
	switch op.Kind {
	case netio.OpSync:
		err = d.SyncFd(op.Fd)
	case netio.OpRead:
		n, err = d.ReadFd(op.Fd, op.Mem[:r.short(len(op.Mem))], op.Off)
	case netio.OpWrite:
		n, err = r.write(op, r.short(length(op)), op.Flags&netio.Dsync != 0)
	}
	return result(n, err)
}

// write puts the op's memory, all pieces of it up to limit bytes, where it belongs.
func (r *Ring) write(op *netio.Op, limit int, dsync bool) (int, error) {
	done := 0
	for i := 0; ; i++ {
		p := op.Mem
		if len(op.Vec) > 0 {
			if i == len(op.Vec) {
				return done, nil
			}
			p = unsafe.Slice(op.Vec[i].Base, op.Vec[i].Len)
		}
		p = p[:min(len(p), limit-done)]
		n, err := r.disk().WriteFd(op.Fd, p, op.Off+int64(done), dsync)
		done += n
		switch {
		case err != nil && done == 0:
			return 0, err
		case err != nil || n < len(p) || done == limit || len(op.Vec) == 0:
			return done, nil
		}
	}
}

// length is how many bytes an op names.
func length(op *netio.Op) int {
	if len(op.Vec) == 0 {
		return len(op.Mem)
	}
	n := 0
	for _, v := range op.Vec {
		n += int(v.Len)
	}
	return n
}

// short is how much of n bytes a transfer does: now and then a part, in whole blocks as
// O_DIRECT does.
func (r *Ring) short(n int) int {
	if blocks := n / vfs.BlockSize; blocks > 1 && r.w.Chance(r.w.Pace.Short) {
		r.w.Tally[Short]++
		return (1 + r.w.rng.IntN(blocks-1)) * vfs.BlockSize
	}
	return n
}

func result(n int, err error) int32 {
	var errno syscall.Errno
	switch {
	case err == nil:
		return int32(n)
	case errors.As(err, &errno):
		return -int32(errno)
	}
	return -int32(syscall.EIO)
}

// cancel ends an op that waits for a client. A file op cannot be stopped any more.
func (r *Ring) cancel(target netio.Tag) int32 {
	for _, f := range r.flying {
		if f.op.Tag != target || f.op.Kind == netio.OpCancel {
			continue
		}
		if !r.w.Net.forget(f) {
			return -int32(syscall.EALREADY)
		}
		f.end(-int32(syscall.ECANCELED))
		return 0
	}
	return -int32(syscall.ENOENT)
}

// crash lets ops in flight happen, or a part of them, or not (I3).
func (r *Ring) crash() {
	for _, f := range r.flying {
		if f.op.Kind == netio.OpWrite && r.w.rng.IntN(3) > 0 {
			limit := length(&f.op)
			if blocks := limit / vfs.BlockSize; blocks > 0 && r.w.rng.IntN(2) == 0 {
				limit = r.w.rng.IntN(blocks+1) * vfs.BlockSize
				r.w.Tally[Torn]++
			}
			_, _ = r.write(&f.op, limit, false)
		}
	}
	r.flying, r.ready, r.closed = nil, nil, true
	r.core.Stop()
}
