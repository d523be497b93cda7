package arena

import "millrace/internal/invariant"

// Buf is one piece of off-heap memory, held by count. Only the owning core may
// touch the count.
type Buf struct {
	Mem   []byte // whole size class; the user keeps the length in use
	pool  *Pool
	next  *Buf  // list of structs without memory
	page  int32 // where it begins, counted over all slabs; or its place in Pool.large
	refs  int32
	order int8 // size = MinSize << order; ownMapping: not from a slab
}

// Smallest and largest pooled size; larger requests get a mapping of their own.
const (
	MinSize = 4 << 10
	MaxSize = 1 << 20
)

const (
	orders     = 9 // 4 KiB … 1 MiB
	ownMapping = -1
)

// Hold takes one reference more.
func (b *Buf) Hold() {
	invariant.Check(b.refs > 0) // I1: a free Buf cannot be taken up again
	b.refs++
}

// Refs is the number of references now.
func (b *Buf) Refs() int32 { return b.refs }

// SizeFor is the number of bytes that Get(n) charges to the budget.
func SizeFor(n int) int {
	if n > MaxSize {
		return (n + MinSize - 1) &^ (MinSize - 1)
	}
	return MinSize << orderOf(n)
}

// orderOf is the smallest class that holds n bytes, n ≤ MaxSize.
func orderOf(n int) int8 {
	order := int8(0)
	for MinSize<<order < n {
		order++
	}
	return order
}
