package netio

import (
	"time"

	"millrace/internal/clock"
)

// Tag comes back with the completion: kind:8 | generation:24 | slot:32. Never a
// pointer: the collector cannot see it. Kind 255 is reserved for netio itself.
// An op that holds no memory (OpWake, OpClose, OpCancel, OpShutdown) may have tag
// 0: then nobody hears of its end.
type Tag uint64

// MakeTag packs a tag.
func MakeTag(kind uint8, generation uint32, slot uint32) Tag {
	return Tag(kind)<<56 | Tag(generation&0xffffff)<<32 | Tag(slot)
}

// Kind, Generation (24 bits) and Slot unpack a tag.
func (t Tag) Kind() uint8        { return uint8(t >> 56) }
func (t Tag) Generation() uint32 { return uint32(t>>32) & 0xffffff }
func (t Tag) Slot() uint32       { return uint32(t) }

// Kind of an operation.
type Kind uint8

// The operations. Res is the completion's result: ≥ 0, or -errno.
const (
	OpNop Kind = iota

	// OpAccept: Fd listens; multishot. Res = the new socket, non-blocking, cloexec,
	// with TCP_NODELAY. An error (EMFILE) ends it; it is armed again by a new op.
	OpAccept
	// OpRecv receives into Mem. Res = bytes, 0 at end of stream. WaitAll: complete
	// only when Mem is full, or the stream ends or breaks (then Res is what came).
	OpRecv
	// OpPoll waits until Fd is readable or closed; holds no memory. Res = poll mask.
	OpPoll
	// OpSend gathers Vec (or Mem when Vec is empty), without SIGPIPE. Res = bytes,
	// may be short; WaitAll as in OpRecv.
	OpSend

	// OpRead reads a file at Off into Mem. Res = bytes, may be short.
	OpRead
	// OpWrite writes Mem (or Vec) to a file at Off. Dsync: RWF_DSYNC. Res = bytes, may
	// be short.
	OpWrite
	// OpSync is fdatasync of Fd.
	OpSync

	// OpClose closes a socket or file; what is in flight on it ends with -ECANCELED
	// or its own result. The last close of a large deleted file takes long: that is
	// for a helper, not for a ring.
	OpClose
	// OpShutdown shuts both directions of a socket down; ends its pending ops.
	OpShutdown
	// OpCancel cancels the op whose tag is Target; that op completes with -ECANCELED or
	// its own result. Res = 0, -ENOENT or -EALREADY.
	OpCancel
	// OpWake wakes ring Peer, which then returns from Reap, possibly without
	// completions.
	OpWake
)

// Flags of an op.
type Flags uint16

const (
	WaitAll  Flags = 1 << iota // see OpRecv, OpSend
	Dsync                      // see OpWrite
	ZeroCopy                   // a wish, for OpSend: the bytes may go out uncopied where that pays
)

// Vec is one piece of a gathered send or write: off-heap address and length,
// laid out as struct iovec.
type Vec struct {
	Base *byte
	Len  uint64
}

// Op is one wish to the kernel.
type Op struct {
	Kind   Kind
	Flags  Flags
	Fd     int32
	Peer   int32 // OpWake: index of the ring to wake
	Tag    Tag
	Target Tag // OpCancel
	Off    int64
	Mem    []byte
	Vec    []Vec // at most MaxVec pieces
}

// MaxVec is the most pieces of one gathered op (IOV_MAX is 1024).
const MaxVec = 1024

// MaxLen is the most bytes of one piece of memory: longer pieces are cut, which
// shows as a short result.
const MaxLen = 1 << 30

// Completion is the kernel's answer to one op.
type Completion struct {
	Tag  Tag
	Res  int32
	More bool // OpAccept stays armed
}

// Ring is the border with the kernel of one core.
type Ring interface {
	// Submit takes all ops, or as many as there is room for and returns how many;
	// the rest is for after the next Reap, which must not wait meanwhile (until 0).
	// It never blocks. Ops of one call start in order, but may complete in any.
	Submit(ops []Op) int
	// Reap fills dst with completions and returns how many. With none at hand it
	// parks until one arrives, Wake is called or until passes (until in the past
	// polls).
	Reap(dst []Completion, until clock.Instant) int
	// Wake makes the present or the next Reap return. Any thread may call it.
	Wake()
	// Close cancels what is in flight, waits for it and releases everything (I3).
	// After it, Wake and Close may still be called, without effect.
	Close() error
}

// Options of a ring.
type Options struct {
	Entries int // submission slots, a power of two; 0 = 1024
	// Peers resolves OpWake: the rings of all cores, by index. Filled before the
	// first OpWake; may be shorter than the index for a single core.
	Peers func(i int32) Ring
	// Spin is how long Reap polls before it parks, when its last turn had something
	// to do. It buys latency with processor time (an echo over loopback: 30 % less
	// of one, 60 % more of the other); 0 parks at once, which is right where cores
	// are shared with clients.
	Spin time.Duration
	// Gather lets a parked io_uring ring wait up to Gather for GatherCount
	// completions before it returns with fewer, when its last turn had several
	// (kernel 6.12; elsewhere without effect). It pays when a turn is dear.
	Gather      time.Duration
	GatherCount int
	// FileWorkers bounds the epoll engine's threads for blocking file ops; 0 = 4.
	FileWorkers int
}
