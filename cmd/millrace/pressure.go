package main

import (
	"bufio"
	"bytes"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"
)

// The cache of written data is like the kernel's page cache: it may fill the memory that
// nobody else wants, and gives way to whoever wants it.

const (
	calmLook  = 500 * time.Millisecond
	tightLook = 100 * time.Millisecond // while something is given back, a step each time
	// A share of the memory, but no more than so much, is left to others.
	spareShare = 8
	spareMost  = 4 << 30
)

// memory is what the machine, or the cgroup, says.
type memory struct {
	usable   int64 // by this process at most
	free     int64 // without taking anything from anybody
	resident int64 // of this process
}

// allowed is how much off-heap memory the broker may have between floor and most.
func (m memory) allowed(floor, most int64) int64 {
	spare := min(m.usable/spareShare, spareMost)
	return max(min(most, m.resident+m.free-spare), floor)
}

// host reads the memory's state from the kernel's files.
type host struct{ files fs.FS }

func (h host) memory() (m memory, ok bool) {
	info := h.table("proc/meminfo")
	m.usable, m.free = info["MemTotal:"]<<10, info["MemAvailable:"]<<10
	limit, used := h.number("sys/fs/cgroup/memory.max"), h.number("sys/fs/cgroup/memory.current")
	dir := "sys/fs/cgroup/"
	if limit == 0 { // cgroup v1
		dir = "sys/fs/cgroup/memory/"
		limit = h.number(dir + "memory.limit_in_bytes")
		used = h.number(dir + "memory.usage_in_bytes")
	}
	if limit > 0 && limit < m.usable {
		m.usable = limit
		cached := h.table(dir + "memory.stat")["inactive_file"] // the kernel gives it up at once
		m.free = min(m.free, limit-used+cached)
	}
	statm := strings.Fields(h.text("proc/self/statm"))
	if len(statm) > 1 {
		pages, _ := strconv.ParseInt(statm[1], 10, 64)
		m.resident = pages * int64(os.Getpagesize())
	}
	return m, m.usable > 0 && m.resident > 0 && info["MemAvailable:"] > 0
}

func (h host) text(name string) string {
	b, err := fs.ReadFile(h.files, name)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// number is a file's only number; 0 when there is none, as in "max".
func (h host) number(name string) int64 {
	n, _ := strconv.ParseInt(h.text(name), 10, 64)
	return n
}

// table reads lines of a name and a number.
func (h host) table(name string) map[string]int64 {
	t := make(map[string]int64)
	lines := bufio.NewScanner(bytes.NewReader([]byte(h.text(name))))
	for lines.Scan() {
		if f := strings.Fields(lines.Text()); len(f) > 1 {
			t[f[0]], _ = strconv.ParseInt(f[1], 10, 64)
		}
	}
	return t
}

// giveWay keeps the broker's memory below what the machine can spare, until done is closed.
func giveWay(done <-chan struct{}, limit func(bytes int64), floor, most int64) {
	h := host{os.DirFS("/")}
	look := time.NewTimer(calmLook)
	defer look.Stop()
	for last := most; ; {
		select {
		case <-done:
			return
		case <-look.C:
		}
		every := calmLook
		if m, ok := h.memory(); ok {
			now := m.allowed(floor, most)
			if now < most {
				every = tightLook
			}
			if now < most || now != last {
				limit(now)
				last = now
			}
		}
		look.Reset(every)
	}
}
