package netio

import (
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

const defaultFileWorkers = 4

// fileOp is one blocking file operation, whole, so that a worker needs nothing of
// the ring's own tables.
type fileOp struct {
	slot  int32
	kind  Kind
	dsync bool
	fd    int32
	off   int64
	mem   []byte
	vec   []iovec
}

type fileDone struct {
	slot int32
	res  int32
}

// filePool runs blocking file ops on a few threads, started as they are needed.
type filePool struct {
	bell  *bell
	limit int

	mu      sync.Mutex
	work    sync.Cond
	queue   []fileOp // from next on
	next    int
	idle    int
	workers int
	closed  bool
	done    []fileDone

	some  atomic.Bool // done is not empty
	taken []fileDone  // the ring's side of done: both are used again and again
	ended sync.WaitGroup
}

func (f *filePool) open(b *bell, limit int) {
	if limit <= 0 {
		limit = defaultFileWorkers
	}
	f.bell, f.limit = b, limit
	f.work.L = &f.mu
}

func (f *filePool) push(op fileOp) {
	f.mu.Lock()
	if f.next > 0 && len(f.queue) == cap(f.queue) { // room at the front first
		n := copy(f.queue, f.queue[f.next:])
		clear(f.queue[n:])
		f.queue, f.next = f.queue[:n], 0
	}
	f.queue = append(f.queue, op)
	switch {
	case f.idle > 0:
		f.work.Signal()
	case f.workers < f.limit:
		f.workers++
		f.ended.Go(f.run)
	}
	f.mu.Unlock()
}

// withdraw takes an op back that no worker has begun.
func (f *filePool) withdraw(slot int32) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := f.next; i < len(f.queue); i++ {
		if f.queue[i].slot == slot {
			f.queue = append(f.queue[:i], f.queue[i+1:]...)
			return true
		}
	}
	return false
}

// take returns what is done; the slice is valid until the next call.
func (f *filePool) take() []fileDone {
	if !f.some.Load() {
		return nil
	}
	f.mu.Lock()
	f.some.Store(false)
	f.done, f.taken = f.taken[:0], f.done
	f.mu.Unlock()
	return f.taken
}

func (f *filePool) run() {
	f.mu.Lock()
	for {
		for f.next == len(f.queue) && !f.closed {
			f.idle++
			f.work.Wait()
			f.idle--
		}
		if f.closed {
			f.mu.Unlock()
			return
		}
		op := f.queue[f.next]
		f.queue[f.next] = fileOp{}
		if f.next++; f.next == len(f.queue) {
			f.queue, f.next = f.queue[:0], 0
		}
		f.mu.Unlock()

		res := op.do()

		f.mu.Lock()
		f.done = append(f.done, fileDone{op.slot, res})
		f.some.Store(true)
		f.mu.Unlock()
		f.bell.wake()
		f.mu.Lock()
	}
}

// close drops what no worker has begun and waits for the rest.
func (f *filePool) close() {
	f.mu.Lock()
	f.closed = true
	f.work.Broadcast()
	f.mu.Unlock()
	f.ended.Wait()
}

func (op *fileOp) do() int32 {
	for {
		res := op.once()
		if res != -int32(unix.EINTR) {
			return res
		}
	}
}

func (op *fileOp) once() int32 {
	switch op.kind {
	case OpSync:
		return result(unix.Syscall(unix.SYS_FDATASYNC, uintptr(op.fd), 0, 0))
	case OpRead:
		return result(unix.Syscall6(unix.SYS_PREAD64, uintptr(op.fd), address(op.mem),
			uintptr(len(op.mem)), uintptr(op.off), 0, 0))
	}
	one := [1]iovec{{base: address(op.mem), len: uint64(len(op.mem))}}
	vec := op.vec
	if len(vec) == 0 {
		vec = one[:]
	}
	flags := uintptr(0)
	if op.dsync {
		flags = unix.RWF_DSYNC
	}
	return result(unix.Syscall6(unix.SYS_PWRITEV2, uintptr(op.fd),
		uintptr(unsafe.Pointer(unsafe.SliceData(vec))), uintptr(len(vec)), uintptr(op.off), 0, flags))
}
