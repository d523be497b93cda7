package main

import (
	"os"
	"runtime"
	"runtime/debug"

	"golang.org/x/sys/unix"
)

// usableMemory is what this process may use: the machine's, or less by a cgroup.
func usableMemory() int64 {
	m, ok := host{os.DirFS("/")}.memory()
	if !ok {
		return 1 << 30
	}
	return m.usable
}

// Shares of the usable memory, and floors: the off-heap memory must hold a few of the
// largest requests, whatever the machine.
const (
	memoryShare = 2         // 1/2 off-heap at most, while nobody else wants it
	floorShare  = 8         // 1/8 of it is not given up
	cacheShare  = 3         // 2/3 keeps written data for readers
	leastMemory = 256 << 20 // two requests of socket.request.max.bytes and room to work
	heapShare   = 4         // soft limit of the Go heap
	leastHeap   = 64 << 20
)

// defaultMemory is how much off-heap memory the broker takes when nobody else wants it.
func defaultMemory(usable int64, cores int) int64 {
	return max(usable/memoryShare, memoryFloor(usable, cores))
}

// memoryFloor is what it keeps also when memory is short. On a host with many cores and
// little memory that is up to half of it, so that each core can take the largest request.
func memoryFloor(usable int64, cores int) int64 {
	return max(usable/floorShare, min(int64(cores)*leastMemory, usable/2), leastMemory)
}

// defaultCores leaves one processor to the kernel's network work, raft and the collector.
func defaultCores() int { return max(1, runtime.NumCPU()-1) }

// tune prepares the Go runtime. Threads of cores keep a P each, and two more are needed:
// one for the collector, one for raft. The heap is small, for records live outside it;
// the limit is only there for storms of cold requests.
func tune(cores int) {
	if n := cores + 2; runtime.GOMAXPROCS(0) < n {
		runtime.GOMAXPROCS(n)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(max(usableMemory()/heapShare, leastHeap))
	}
	raiseFiles()
}

// raiseFiles takes as many descriptors as the hard limit gives: a broker needs one for
// every connection and segment, and nobody wants fewer.
func raiseFiles() {
	var l unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &l) == nil && l.Cur < l.Max {
		l.Cur = l.Max
		_ = unix.Setrlimit(unix.RLIMIT_NOFILE, &l)
	}
}
