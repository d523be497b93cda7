package netio

import (
	"fmt"
	"reflect"
	"sync/atomic"
	"unsafe"

	"github.com/pawelgaczynski/giouring"
	"golang.org/x/sys/unix"
)

// This file is the only one that knows giouring. From it come the set-up and
// mapping of a ring, the layout of its entries and the opcodes; entering the
// kernel and both queues' indices are ours, because the library's ways of waiting
// keep kernel-visible structures on movable stacks and its batch peek overruns.
// None of its Prepare functions is used: several pass the address of a slice
// header, and none of them clears what the slot's last user left behind.

type (
	sqe = giouring.SubmissionQueueEntry
	cqe = giouring.CompletionQueueEvent
)

// What the kernel has and the library does not name.
const (
	featMinWait  = 1 << 15 // io_uring_getevents_arg.min_wait_usec, kernel 6.12
	featNoIOWait = 1 << 17 // kernel 6.15

	enterNoIOWait = 1 << 7 // sleeping in the ring is not waiting for a disk

	registerRingFDs   = giouring.RegisterRingFDs
	unregisterRingFDs = giouring.UnregisterRingFDs

	cancelAll = giouring.AsyncCancelAll
	cancelFd  = giouring.AsyncCancelFd
	cancelAny = giouring.AsyncCancelAny

	acceptMultishot = giouring.AcceptMultishot
	fsyncDatasync   = giouring.FsyncDatasync

	cqeMore        = giouring.CQEFMore
	sqeSkipSuccess = giouring.SqeCQESkipSuccess
)

// The ring's opcodes that are in use.
const (
	codeNop     = giouring.OpNop
	codeAccept  = giouring.OpAccept
	codeRecv    = giouring.OpRecv
	codePoll    = giouring.OpPollAdd
	codeSend    = giouring.OpSend
	codeSendmsg = giouring.OpSendmsg
	codeRead    = giouring.OpRead
	codeWrite   = giouring.OpWrite
	codeWritev  = giouring.OpWritev
	codeSync    = giouring.OpFsync
	codeClose   = giouring.OpClose
	codeCancel  = giouring.OpAsyncCancel
	codeMessage = giouring.OpMsgRing
)

const featNeeded = giouring.FeatNoDrop | giouring.FeatSubmitStable | giouring.FeatFastPoll |
	giouring.FeatExtArg | giouring.FeatCQESkip

const setupAlways = giouring.SetupCQSize | giouring.SetupClamp | giouring.SetupRDisabled

// setups are the flags of a ring, best first; a kernel takes the first one it
// knows. Every ring starts disabled, so that the thread that first submits, not
// the one that made the ring, becomes its single issuer.
var setups = [...]uint32{
	giouring.SetupSingleIssuer | giouring.SetupDeferTaskrun | giouring.SetupCoopTaskrun |
		giouring.SetupTaskrunFlag | giouring.SetupSubmitAll, // 6.1
	giouring.SetupCoopTaskrun | giouring.SetupTaskrunFlag | giouring.SetupSubmitAll, // 5.19
	giouring.SetupSubmitAll, // 5.18
}

// kring is one ring of the kernel: submission slots, completions, enter.
type kring struct {
	ring     *giouring.Ring
	fd       int
	features uint32
	flags    uint32
	entries  uint32

	khead  *uint32 // submission: moved by the kernel as it takes slots
	ktail  *uint32 // submission: published by enter
	kflags *uint32
	tail   uint32 // slots handed out; ktail follows at the next enter

	chead *uint32 // completions: ours
	ctail *uint32 // completions: the kernel's
	cmask uint32
	cqes  []cqe

	enterFd    uintptr // ring fd, or its registered index
	enterFlags uintptr
	registered bool
}

// openRing sets a ring up with the first flags that the kernel accepts, disabled.
func openRing(entries uint32, choice []uint32) (*kring, error) {
	var first error
	for _, flags := range choice {
		k, err := tryRing(entries, flags)
		if err == nil {
			return k, nil
		}
		if first == nil {
			first = err
		}
		if err != unix.EINVAL { // only unknown flags are worth another try
			break
		}
	}
	return nil, fmt.Errorf("netio: io_uring_setup: %w", first)
}

func tryRing(entries, flags uint32) (*kring, error) {
	p := &giouring.Params{}
	// Completions of ops in flight beyond the queue's size overflow into kernel
	// memory; nothing is lost, but a larger queue makes it rare.
	if err := poke(p, "flags", setupAlways|flags); err != nil {
		return nil, err
	}
	if err := poke(p, "cqEntries", entries*4); err != nil {
		return nil, err
	}
	ring := giouring.NewRing()
	if err := ring.QueueInitParams(entries, p); err != nil {
		return nil, err
	}
	k := &kring{ring: ring, fd: ring.RingFd(), flags: setupAlways | flags}
	if err := k.adopt(); err != nil {
		ring.QueueExit()
		return nil, err
	}
	k.enterFd = uintptr(k.fd)
	return k, nil
}

// poke sets an unexported number of the library's parameters: it has no way to
// ask for a completion queue's size together with flags.
func poke(p *giouring.Params, name string, v uint32) error {
	f := reflect.ValueOf(p).Elem().FieldByName(name)
	if !f.IsValid() || f.Kind() != reflect.Uint32 {
		return fmt.Errorf("netio: giouring.Params has no %s", name)
	}
	*(*uint32)(unsafe.Pointer(f.UnsafeAddr())) = v
	return nil
}

// adopt reads where the library has mapped the queues. The fields are unexported;
// reflection finds them by name, so that another version fails here and not later.
func (k *kring) adopt() error {
	r := reflect.ValueOf(k.ring).Elem()
	var err error
	word := func(queue, name string) *uint32 {
		q := r.FieldByName(queue)
		if q.IsValid() && q.Kind() == reflect.Pointer && !q.IsNil() {
			f := q.Elem().FieldByName(name)
			if f.IsValid() && f.Type() == reflect.TypeFor[*uint32]() && !f.IsNil() {
				return (*uint32)(f.UnsafePointer())
			}
		}
		err = fmt.Errorf("netio: giouring.Ring has no %s.%s", queue, name)
		return new(uint32)
	}
	k.khead, k.ktail = word("sqRing", "head"), word("sqRing", "tail")
	k.kflags = word("sqRing", "flags")
	k.entries = *word("sqRing", "ringEntries")
	k.chead, k.ctail = word("cqRing", "head"), word("cqRing", "tail")
	k.cmask = *word("cqRing", "ringMask")
	if err != nil {
		return err
	}
	cqes := r.FieldByName("cqRing").Elem().FieldByName("cqes")
	if !cqes.IsValid() || cqes.Type() != reflect.TypeFor[*cqe]() {
		return fmt.Errorf("netio: giouring.Ring has no cqRing.cqes")
	}
	k.cqes = unsafe.Slice((*cqe)(cqes.UnsafePointer()), k.cmask+1)
	features := r.FieldByName("features")
	if !features.IsValid() {
		return fmt.Errorf("netio: giouring.Ring has no features")
	}
	k.features = uint32(features.Uint())
	if missing := featNeeded &^ k.features; missing != 0 {
		return fmt.Errorf("netio: io_uring lacks features %#x (kernel 5.19 has them)", missing)
	}
	return nil
}

// enable binds the ring to the calling thread and registers its descriptor there,
// which saves a table look-up in every enter.
func (k *kring) enable() error {
	if _, err := k.ring.EnableRings(); err != nil {
		return fmt.Errorf("netio: enable ring: %w", err)
	}
	up := &giouring.RsrcUpdate{Offset: ^uint32(0), Data: uint64(k.fd)}
	n, _, errno := unix.Syscall6(unix.SYS_IO_URING_REGISTER, uintptr(k.fd),
		uintptr(registerRingFDs), uintptr(unsafe.Pointer(up)), 1, 0, 0)
	if errno == 0 && n == 1 {
		k.enterFd, k.registered = uintptr(up.Offset), true
		k.enterFlags = uintptr(giouring.EnterRegisteredRing)
	}
	if k.features&featNoIOWait != 0 {
		k.enterFlags |= enterNoIOWait
	}
	return nil
}

// close releases the ring. A registered descriptor must go first, on the thread
// that registered it, or the ring lives as long as the thread.
func (k *kring) close(onThread bool) {
	if k.registered && onThread {
		up := &giouring.RsrcUpdate{Offset: uint32(k.enterFd)}
		_, _, _ = unix.Syscall6(unix.SYS_IO_URING_REGISTER, uintptr(k.fd),
			uintptr(unregisterRingFDs), uintptr(unsafe.Pointer(up)), 1, 0, 0)
	}
	k.cqes = nil
	k.ring.QueueExit()
}

// slot hands out the next submission slot, all zero, and its index; nil when all
// are taken.
func (k *kring) slot() (*sqe, uint32) {
	e := k.ring.GetSQE()
	if e == nil {
		return nil, 0
	}
	*e = sqe{}
	i := k.tail & (k.entries - 1)
	k.tail++
	return e, i
}

// staged is how many slots wait for the next enter.
func (k *kring) staged() uint32 { return k.tail - atomic.LoadUint32(k.khead) }

func (k *kring) room() uint32 { return k.entries - k.staged() }

// ready is how many completions can be taken without entering.
func (k *kring) ready() uint32 { return atomic.LoadUint32(k.ctail) - *k.chead }

// pending tells that the kernel holds completions which only an enter delivers.
func (k *kring) pending() bool {
	return atomic.LoadUint32(k.kflags)&(giouring.SQCQOverflow|giouring.SQTaskrun) != 0
}

// submit enters without waiting. quick: nothing staged copies much, so that the
// call need not be announced to Go's scheduler (which costs 65 ns).
func (k *kring) submit(quick bool) unix.Errno {
	n := k.publish()
	flags := k.enterFlags | uintptr(giouring.EnterGetEvents)
	var errno unix.Errno
	if quick {
		_, _, errno = unix.RawSyscall6(unix.SYS_IO_URING_ENTER, k.enterFd, n, 0, flags, 0, 0)
	} else {
		_, _, errno = unix.Syscall6(unix.SYS_IO_URING_ENTER, k.enterFd, n, 0, flags, 0, 0)
	}
	return errno
}

// park submits and sleeps until want completions are there. arg is off-heap, or
// nil to sleep without end.
func (k *kring) park(want uint32, arg *waitArg) unix.Errno {
	n := k.publish()
	flags := k.enterFlags | uintptr(giouring.EnterGetEvents)
	var size uintptr
	if arg != nil {
		flags |= uintptr(giouring.EnterExtArg)
		size = unsafe.Sizeof(*arg)
	}
	_, _, errno := unix.Syscall6(unix.SYS_IO_URING_ENTER, k.enterFd, n, uintptr(want), flags,
		uintptr(unsafe.Pointer(arg)), size)
	return errno
}

// consumed gives completions up to head back to the kernel.
func (k *kring) consumed(head uint32) { atomic.StoreUint32(k.chead, head) }

func (k *kring) publish() uintptr {
	atomic.StoreUint32(k.ktail, k.tail)
	return uintptr(k.staged())
}
