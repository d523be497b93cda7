// Package arena hands out off-heap memory: everything the kernel sees lives here.
//
// Not its job: sharing between threads. A Pool belongs to one core; only Budget
// figures may be read from elsewhere.
//
// Invariants:
//
//	I1  A Buf is either free (Refs == 0, in the pool) or held (Refs ≥ 1).
//	I2  Memory is 4096-aligned, so that any Buf can be used with O_DIRECT.
//	I3  Bytes held never exceed the budget: Get returns nil instead.
package arena

// Buf is one piece of off-heap memory, held by count. Only the owning core may
// touch the count.
type Buf struct {
	Mem   []byte // whole size class; the user keeps the length in use
	refs  int32
	class int8 // -1: a mapping of its own
	next  *Buf // free list
}

// Smallest and largest pooled size; larger requests get a mapping of their own.
const (
	MinSize = 4 << 10
	MaxSize = 1 << 20
)
