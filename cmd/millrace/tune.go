package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// usableMemory is what this process may use: the machine's, or less by a cgroup.
func usableMemory() int64 {
	var info unix.Sysinfo_t
	total := int64(1 << 30)
	if unix.Sysinfo(&info) == nil {
		total = int64(info.Totalram) * int64(info.Unit)
	}
	for _, name := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		b, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		if n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64); err == nil && n > 0 {
			total = min(total, n)
		}
	}
	return total
}

// Shares of the usable memory, and floors: the off-heap memory must hold a few of the
// largest requests, whatever the machine.
const (
	memoryShare = 8         // 1/8 off-heap, at most: fresh memory costs as much as writing it
	cacheShare  = 3         // 2/3 of that keeps written data for readers
	leastMemory = 256 << 20 // two requests of socket.request.max.bytes and room to work
	heapShare   = 4         // soft limit of the Go heap
	leastHeap   = 64 << 20
)

// defaultMemory is a share of the usable memory. On a host with many cores and little
// memory it is more, up to half, so that each core can take the largest request.
func defaultMemory(usable int64, cores int) int64 {
	return max(usable/memoryShare, min(int64(cores)*leastMemory, usable/2), leastMemory)
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
