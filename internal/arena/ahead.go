package arena

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// Fresh memory costs its first touch: faults, clearing, and with huge pages perhaps the
// kernel's search for one. A pool that grows says so by Want; a helper thread then makes
// slabs ready by Prepare, and the core takes them by Supply.

const (
	// aheadSlabs × slabSize is made ready at a time: 32 MiB.
	aheadSlabs = 8
	// aheadFrom is how much a pool has mapped before it is taken for one that grows: a
	// quiet broker stays small.
	aheadFrom = 64 << 20
	hugePage  = 2 << 20
)

// Want is how many slabs should be prepared now. It is 0 while some are on their way.
//
//hot:noalloc
func (p *Pool) Want() int {
	if p.wanting || len(p.ready) >= aheadSlabs/2 || p.mapped.Load() < aheadFrom ||
		p.mapped.Load()+aheadSlabs*slabSize > p.budget {
		return 0
	}
	p.wanting = true
	return aheadSlabs
}

// Supply takes what Prepare made, nil included.
func (p *Pool) Supply(slabs [][]byte) {
	p.wanting = false
	p.ready = append(p.ready, slabs...)
	p.mapped.Add(int64(len(slabs)) * slabSize)
}

// Prepare maps n slabs and touches all of their memory, as huge pages where the kernel
// finds some: O_DIRECT pins those as one piece. Any thread may call it. It returns nil
// when the kernel has no memory.
func Prepare(n int) [][]byte {
	size := uintptr(n) * slabSize
	raw, err := mmap(size + hugePage)
	if err != nil {
		return nil
	}
	skip := -uintptr(raw) % hugePage
	if skip > 0 {
		_ = unix.MunmapPtr(raw, skip)
	}
	base := unsafe.Add(raw, skip)
	if rest := hugePage - skip; rest > 0 {
		_ = unix.MunmapPtr(unsafe.Add(base, size), rest)
	}
	mem := unsafe.Slice((*byte)(base), size)
	_ = unix.Madvise(mem, unix.MADV_HUGEPAGE)       // a wish: some kernels have none
	_ = unix.Madvise(mem, unix.MADV_POPULATE_WRITE) // from 5.14 on; else the first touch does it
	slabs := make([][]byte, n)
	for i := range slabs {
		slabs[i] = mem[i*slabSize : (i+1)*slabSize : (i+1)*slabSize]
	}
	return slabs
}

// Forget gives prepared slabs back that no pool will take.
func Forget(slabs [][]byte) {
	for _, mem := range slabs {
		_ = unix.MunmapPtr(unsafe.Pointer(&mem[0]), uintptr(len(mem)))
	}
}

func mmap(size uintptr) (unsafe.Pointer, error) {
	return unix.MmapPtr(-1, 0, nil, size, unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
}
