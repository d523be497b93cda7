// Package netio is the border with the kernel: operations go down, completions
// come up. It knows no Kafka.
//
// Not its job: framing, retries, policy. A short receive, a short send and an
// error are completions like any other; the engine decides what they mean.
//
// Data: Step gives []Op, the driver calls Submit, then Reap fills []Completion.
//
// Invariants:
//
//	I1  Every op that is submitted completes exactly once (a multishot accept:
//	    once per connection, and once more without More when it ends).
//	I2  Memory named by an op (Mem, Vec and what Vec points to) is off-heap, and
//	    belongs to the kernel until the completion. The Vec array itself is
//	    copied by Submit.
//	I3  Only Wake may be called from another thread. Submit and Reap are called
//	    from one locked OS thread for the ring's whole life.
//	I4  Sends on one socket are never reordered: the engine has at most one OpSend
//	    and at most one OpRecv or OpPoll in flight per socket.
package netio

import (
	"millrace/internal/clock"
)

// Tag comes back with the completion: kind:8 | generation:24 | slot:32. Never a
// pointer: the collector cannot see it. Tag 0 is reserved for netio itself.
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
	OpNop      Kind = iota
	OpAccept        // Fd listens; multishot. Res = the new socket (non-blocking, cloexec, TCP_NODELAY set)
	OpRecv          // into Mem. Res = bytes, 0 at end of stream. WaitAll: complete only when Mem is full (or the stream ends)
	OpPoll          // wait until Fd is readable (or closed); holds no memory. Res = poll mask
	OpSend          // gathers Vec (or Mem when Vec is empty), MSG_NOSIGNAL. Res = bytes, may be short; WaitAll as in OpRecv
	OpRead          // file, at Off, into Mem. Res = bytes, may be short
	OpWrite         // file, at Off, from Mem (or Vec). Dsync: RWF_DSYNC. Res = bytes, may be short
	OpSync          // fdatasync of Fd
	OpClose         // closes a socket or file
	OpShutdown      // shuts both directions of a socket down; ends its pending ops
	OpCancel        // cancels the op whose tag is Target; that op completes with -ECANCELED or its own result
	OpWake          // wakes ring Peer (which then returns from Reap, possibly without completions)
)

// Flags of an op.
type Flags uint16

const (
	WaitAll Flags = 1 << iota // see OpRecv, OpSend
	Dsync                     // see OpWrite
	ZeroCopy                  // a wish, for OpSend: SEND_ZC where a probe found it to pay
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

// Completion is the kernel's answer to one op.
type Completion struct {
	Tag  Tag
	Res  int32
	More bool // OpAccept stays armed
}

// Ring is the border with the kernel of one core.
type Ring interface {
	// Submit takes all ops, or as many as there is room for and returns how many.
	// It never blocks. Ops of one call start in order, but may complete in any.
	Submit(ops []Op) int
	// Reap fills dst with completions and returns how many. With none at hand it
	// parks until one arrives, Wake is called or until passes (until in the past
	// polls).
	Reap(dst []Completion, until clock.Instant) int
	// Wake makes the present or the next Reap return. Any thread may call it.
	Wake()
	// Close releases everything. No op may be in flight that still needs memory.
	Close() error
}

// Options of a ring.
type Options struct {
	Entries int // submission slots, a power of two; 0 = 1024
	// Peers resolves OpWake: the rings of all cores, by index. Filled before the
	// first OpWake; may be shorter than the index for a single core.
	Peers func(i int32) Ring
}
