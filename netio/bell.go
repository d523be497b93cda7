package netio

import (
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// bell makes a ring return from Reap. The thread that strikes it enters the
// kernel only when the ring sleeps there and nobody else has struck already, so
// that a busy ring costs its peers no system call.
//
// No wake-up is lost: a striker sets rung and then reads parked; the ring sets
// parked and then reads rung before it sleeps. One of the two sees the other.
type bell struct {
	rung   atomic.Uint32 // somebody wants the ring to return
	parked atomic.Uint32 // the ring sleeps in the kernel, or is about to
	_      [56]byte      // what follows is another cache line's matter
	mu     sync.Mutex    // keeps fd open while it is written to
	fd     int32         // an eventfd the sleeping ring listens to; -1 when closed
}

func (b *bell) open(flags int) error {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|flags)
	if err != nil {
		b.fd = -1
		return err
	}
	b.fd = int32(fd)
	return nil
}

func (b *bell) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fd >= 0 {
		_ = unix.Close(int(b.fd))
		b.fd = -1
	}
}

// strike marks the bell and tells whether the caller has to kick the ring awake.
func (b *bell) strike() (kick bool) {
	return b.rung.Swap(1) == 0 && b.parked.Load() != 0
}

// kick wakes the sleeping ring by its eventfd. Any thread may call it.
func (b *bell) kick() {
	one := uint64(1)
	b.mu.Lock()
	if b.fd >= 0 {
		// Cannot sleep: the count never comes near its limit.
		_, _, _ = unix.RawSyscall(unix.SYS_WRITE, uintptr(b.fd), uintptr(unsafe.Pointer(&one)), 8)
	}
	b.mu.Unlock()
}

func (b *bell) wake() {
	if b.strike() {
		b.kick()
	}
}

// park announces sleep. False: it was struck meanwhile, do not sleep.
func (b *bell) park() bool {
	b.parked.Store(1)
	if b.rung.Load() == 0 {
		return true
	}
	b.parked.Store(0)
	return false
}

func (b *bell) unpark() { b.parked.Store(0) }

// answer takes the mark away and tells whether it was there. The ring's user looks
// into its inboxes after this, so it sees what was put there before the strike.
func (b *bell) answer() bool {
	if b.rung.Load() == 0 {
		return false
	}
	b.rung.Store(0)
	return true
}
