// Package arena hands out off-heap memory: everything the kernel sees lives here.
//
// Not its job: sharing between threads. A Pool belongs to one core; only Held and
// Mapped may be read from elsewhere. A buffer that another core needs is released
// by a message to its owner.
//
// Data: a size goes in, a Buf comes out, with one reference. Sizes are rounded up
// to a class, 4 KiB … 1 MiB in powers of two, carved out of 4 MiB slabs by halving
// and joined again when both halves are free, so that memory which once served
// many small buffers can serve few large ones. Above 1 MiB a Buf is a mapping of
// its own and goes back to the kernel at its release.
//
// Memory is not zeroed: a buffer holds what its last user left in it.
//
// Invariants:
//
//	I1  A Buf is either free (Refs == 0, in the pool) or held (Refs ≥ 1).
//	I2  Memory is 4096-aligned, so that any Buf can be used with O_DIRECT.
//	I3  Get never takes the bytes held beyond the budget: it returns nil instead.
//	I4  Two held Bufs never overlap; a page belongs to one Buf or one free block.
//	I5  No two free buddies of one size stand side by side: they are one block.
//	I6  In steady state neither Get nor Release allocates on Go's heap.
package arena
