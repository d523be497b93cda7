package netio

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// iovec and msghdr are the kernel's structures with addresses as numbers: they
// live off-heap, where the collector must find no pointers.
type iovec struct {
	base uintptr
	len  uint64
}

type msghdr struct {
	name       uintptr
	namelen    uint32
	_          uint32
	iov        uintptr
	iovlen     uint64
	control    uintptr
	controllen uint64
	flags      int32
	_          int32
}

// region is anonymous memory outside the Go heap; pages nobody touches cost
// nothing.
type region []byte

func mapRegion(n int) (region, error) {
	m, err := unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return nil, fmt.Errorf("netio: map %d bytes: %w", n, err)
	}
	return m, nil
}

func (r region) unmap() {
	if r != nil {
		_ = unix.Munmap(r)
	}
}

// table views a region as n values of T, which holds no Go pointers.
func table[T any](r region, n int) []T {
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(r))), n)
}

func sizeOf[T any]() int {
	var t T
	return int(unsafe.Sizeof(t))
}

// address of off-heap memory, for the kernel.
func address(mem []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(mem))) }

// pieces views vec as the kernel's structure, which it is laid out as.
func pieces(vec []Vec) []iovec {
	return unsafe.Slice((*iovec)(unsafe.Pointer(unsafe.SliceData(vec))), len(vec))
}

func totalLen(vec []iovec) (n uint64) {
	for i := range vec {
		n += vec[i].len
	}
	return n
}
