package netio

import (
	"fmt"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"millrace/internal/clock"
	"millrace/internal/invariant"
)

// Tags of netio's own ring operations.
const (
	ownKind = 255

	tagSilent Tag = 0
	tagBell   Tag = ownKind<<56 | 1<<32 // the armed read of the bell's eventfd
	tagPeer   Tag = ownKind<<56 | 2<<32 // a message from another ring: it only ends our sleep
	tagKick   Tag = ownKind<<56 | 3<<32 // our message to another ring; slot: the peer
)

const (
	defaultEntries = 1024
	minEntries     = 4
	maxEntries     = 32768
	vecTable       = 16 * MaxVec // gathered pieces between two enters; 256 KiB, touched as used
	// quickBytes is how much one enter may copy without telling Go's scheduler: at
	// 4 GB/s some 60 µs, for which the collector can wait.
	quickBytes = 256 << 10
)

// waitArg is struct io_uring_getevents_arg.
type waitArg struct {
	sigmask   uint64
	sigmaskSz uint32
	minWait   uint32 // µs
	ts        uint64
}

// scratch is off-heap: the kernel reads it while we sleep.
type scratch struct {
	arg  waitArg
	ts   [2]int64 // struct __kernel_timespec
	beat uint64   // where the bell's eventfd is read to
}

// uring is the io_uring engine. Submit only fills slots; Reap enters once for
// both directions.
type uring struct {
	bell bell
	k    *kring
	o    Options

	local   fifo // completions that needed no ring
	scratch *scratch
	msgs    []msghdr // one per submission slot
	vecs    []iovec  // bump-allocated between two enters: the kernel copies at enter
	vecUsed int
	bytes   uint64 // staged to be copied by the next enter

	ringFd   int32
	tid      int // the bound thread; 0 = not bound yet
	inflight int // ops whose final completion the kernel still owes
	armed    bool
	last     int // completions that the last Reap returned
	memory   [3]region
}

// NewUring makes a ring on io_uring. It may be made on any thread: the first
// Submit or Reap binds it to its thread.
func NewUring(o Options) (Ring, error) {
	u, err := newUring(o, setups[:])
	if err != nil {
		return nil, err
	}
	return u, nil
}

func newUring(o Options, flags []uint32) (*uring, error) {
	if o.Entries == 0 {
		o.Entries = defaultEntries
	}
	if o.Entries < minEntries || o.Entries > maxEntries || o.Entries&(o.Entries-1) != 0 {
		return nil, fmt.Errorf("netio: %d entries: not a power of two in [%d, %d]",
			o.Entries, minEntries, maxEntries)
	}
	u := &uring{o: o}
	u.bell.fd = -1
	var err error
	for i, n := range [...]int{sizeOf[scratch](), o.Entries * sizeOf[msghdr](),
		vecTable * sizeOf[iovec]()} {
		if u.memory[i], err = mapRegion(n); err != nil {
			u.release(true)
			return nil, err
		}
	}
	u.scratch = &table[scratch](u.memory[0], 1)[0]
	u.msgs = table[msghdr](u.memory[1], o.Entries)
	u.vecs = table[iovec](u.memory[2], vecTable)
	if err = u.bell.open(0); err != nil { // blocking: the ring's read must wait
		u.release(true)
		return nil, fmt.Errorf("netio: eventfd: %w", err)
	}
	if u.k, err = openRing(uint32(o.Entries), flags); err != nil {
		u.release(true)
		return nil, err
	}
	u.ringFd = int32(u.k.fd)
	invariant.Check(u.k.entries == uint32(o.Entries))
	return u, nil
}

// bind makes the calling thread the ring's own, for good. A ring that cannot be
// enabled is a bug: Probe has enabled one before.
func (u *uring) bind() {
	if u.tid != 0 {
		return
	}
	u.tid = unix.Gettid()
	err := u.k.enable()
	invariant.Checkf(err == nil, "%v", err)
	u.arm()
}

// arm lets the ring listen to the bell's eventfd.
func (u *uring) arm() {
	e, _ := u.k.slot()
	if e == nil {
		return // all slots are staged; Reap tries again after it has entered
	}
	e.OpCode = codeRead
	e.Fd = u.bell.fd
	e.Off = ^uint64(0)
	e.Addr = uint64(uintptr(unsafe.Pointer(&u.scratch.beat)))
	e.Len = 8
	e.UserData = uint64(tagBell)
	u.armed = true
}

// Submit implements Ring.
func (u *uring) Submit(ops []Op) int {
	u.bind()
	for i := range ops {
		if u.stage(&ops[i]) {
			continue
		}
		u.flush()
		if !u.stage(&ops[i]) {
			return i // the kernel takes no more before Reap has made room
		}
	}
	return len(ops)
}

// flush hands staged slots to the kernel without waiting.
func (u *uring) flush() {
	errno := u.k.submit(u.bytes < quickBytes)
	u.entered(errno)
}

// entered settles the books after an enter: what the kernel has taken it has also
// copied, so tables are free again.
func (u *uring) entered(errno unix.Errno) {
	switch errno {
	case 0, unix.EINTR, unix.ETIME: // woken, or the time is over
	case unix.EAGAIN, unix.EBUSY: // completions must be taken first
	default: // EBADR: a completion was lost; anything else: we built it wrong
		invariant.Checkf(u.tid == unix.Gettid(), "netio: a ring of thread %d used on thread %d",
			u.tid, unix.Gettid()) // I3
		invariant.Checkf(false, "io_uring_enter: %v", errno)
	}
	if u.k.staged() == 0 {
		u.vecUsed, u.bytes = 0, 0
	}
}

// Reap implements Ring.
func (u *uring) Reap(dst []Completion, until clock.Instant) int {
	invariant.Check(len(dst) > 0)
	u.bind()
	for {
		if !u.armed {
			u.arm()
		}
		if u.mayPark(until) {
			if u.sleep(until) {
				until = 0 // the time is over: one last look
			}
		} else if u.k.staged() != 0 || u.k.pending() && int(u.k.ready()) < len(dst) {
			u.flush()
		}
		n := u.drain(dst)
		rung := u.bell.answer()
		if n > 0 || rung || until <= 0 || !until.After(clock.Mono()) {
			u.last = n
			return n
		}
	}
}

// mayPark tells that nothing is at hand and time is left.
func (u *uring) mayPark(until clock.Instant) bool {
	return u.local.len() == 0 && u.k.ready() == 0 && u.bell.rung.Load() == 0 && until > 0
}

// sleep enters and waits. It returns true when until has passed.
func (u *uring) sleep(until clock.Instant) (over bool) {
	arg := (*waitArg)(nil)
	want := uint32(1)
	if until != clock.Never {
		left := until.Sub(clock.Mono())
		if left <= 0 {
			if u.k.staged() != 0 || u.k.pending() {
				u.flush()
			}
			return true
		}
		arg = &u.scratch.arg
		*arg = waitArg{ts: uint64(uintptr(unsafe.Pointer(&u.scratch.ts)))}
		u.scratch.ts = [2]int64{int64(left / time.Second), int64(left % time.Second)}
	}
	if u.last > 0 && u.o.Spin > 0 && u.spin(until) {
		return false
	}
	if u.last > 1 && u.o.Gather > 0 && u.k.features&featMinWait != 0 {
		if arg == nil {
			arg = &u.scratch.arg
			*arg = waitArg{}
		}
		arg.minWait = uint32(u.o.Gather / time.Microsecond)
		want = uint32(max(u.o.GatherCount, 1))
	}
	if !u.bell.park() {
		if u.k.staged() != 0 || u.k.pending() {
			u.flush()
		}
		return false
	}
	errno := u.k.park(want, arg)
	u.bell.unpark()
	u.entered(errno)
	return errno == unix.ETIME
}

// spin submits, then polls for a while. True: something has come.
func (u *uring) spin(until clock.Instant) bool {
	if u.k.staged() != 0 {
		u.flush()
	}
	end := min(until, clock.Mono().Add(u.o.Spin))
	for {
		if u.k.pending() {
			u.flush()
		}
		if u.k.ready() != 0 || u.bell.rung.Load() != 0 {
			return true
		}
		if !end.After(clock.Mono()) {
			return false
		}
	}
}

// drain moves completions into dst and keeps netio's own to itself.
func (u *uring) drain(dst []Completion) int {
	n := u.local.pop(dst)
	head := *u.k.chead
	tail := head + u.k.ready()
	for ; head != tail && n < len(dst); head++ {
		c := &u.k.cqes[head&u.k.cmask]
		tag := Tag(c.UserData)
		if tag.Kind() == ownKind || tag == tagSilent {
			u.own(tag, c.Res)
			continue
		}
		dst[n] = Completion{Tag: tag, Res: c.Res, More: c.Flags&cqeMore != 0}
		if !dst[n].More {
			u.inflight--
		}
		n++
	}
	u.k.consumed(head)
	return n
}

// own handles a completion of netio's own.
func (u *uring) own(tag Tag, res int32) {
	switch tag &^ Tag(^uint32(0)) {
	case tagBell:
		u.armed = false // the next Reap arms it again
	case tagKick:
		// The message did not get through (the kernel is out of memory, or the
		// peer's ring is going away): its eventfd does.
		if r, ok := u.peer(int32(tag.Slot())).(*uring); ok && res < 0 {
			r.bell.kick()
		}
	}
}

func (u *uring) peer(i int32) Ring {
	if u.o.Peers == nil {
		return nil
	}
	return u.o.Peers(i)
}

// Wake implements Ring.
func (u *uring) Wake() { u.bell.wake() }

// closeWait bounds how long Close waits for the kernel to give memory back.
const closeWait = 2 * time.Second

// Close implements Ring. When the ring's thread has ended, the kernel has cancelled
// everything with it.
func (u *uring) Close() error {
	if u.k == nil {
		return nil
	}
	var err error
	onThread := u.tid == unix.Gettid()
	if onThread {
		err = u.cancelAll()
	}
	u.release(onThread || u.tid == 0)
	return err
}

// cancelAll ends what is in flight, so that the kernel touches no memory of ours
// after Close.
func (u *uring) cancelAll() error {
	var buf [64]Completion
	end := clock.Mono().Add(closeWait)
	for asked := false; u.inflight > 0; {
		if !asked {
			if e, _ := u.k.slot(); e != nil {
				e.OpCode, e.Fd = codeCancel, -1
				e.OpcodeFlags = cancelAll | cancelAny
				e.UserData = uint64(tagSilent)
				asked = true
			}
		}
		if u.Reap(buf[:], clock.Mono().Add(10*time.Millisecond)) == 0 {
			asked = false // an op that was being started escapes a single cancel
			if !end.After(clock.Mono()) {
				return fmt.Errorf("netio: close: %d ops did not end", u.inflight)
			}
		}
	}
	return nil
}

// release gives everything back. settled: the kernel holds none of our memory any
// more; otherwise the armed read of the bell may linger until the ring's thread is
// gone for good, so that its page stays.
func (u *uring) release(settled bool) {
	if u.k != nil {
		u.k.close(settled)
		u.k = nil
	}
	u.bell.close()
	for i, m := range u.memory {
		if i > 0 || settled {
			m.unmap()
		}
		u.memory[i] = nil
	}
}
