package main

import (
	"testing"
	"testing/fstest"
)

func files(m map[string]string) host {
	fs := fstest.MapFS{"proc/self/statm": {Data: []byte("999 262144 77 1 0 5 0\n")}}
	for name, text := range m {
		fs[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return host{fs}
}

const (
	gib  = 1 << 30
	info = "MemTotal:       16777216 kB\nMemFree:  12 kB\nMemAvailable:    8388608 kB\n"
)

func TestMemoryOfTheMachine(t *testing.T) {
	m, ok := files(map[string]string{
		"proc/meminfo": info, "sys/fs/cgroup/memory.max": "max\n", "sys/fs/cgroup/memory.current": "5\n",
	}).memory()
	if want := (memory{16 * gib, 8 * gib, 1 * gib}); !ok || m != want {
		t.Fatalf("%+v, want %+v", m, want)
	}
	if m, ok := files(nil).memory(); ok {
		t.Fatalf("%+v from nothing", m)
	}
}

// A cgroup's limit counts when it is lower; what it holds of the page cache counts as free.
func TestMemoryOfACgroup(t *testing.T) {
	for _, names := range [][3]string{
		{"sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory.current", "sys/fs/cgroup/memory.stat"},
		{"sys/fs/cgroup/memory/memory.limit_in_bytes", "sys/fs/cgroup/memory/memory.usage_in_bytes",
			"sys/fs/cgroup/memory/memory.stat"},
	} {
		m, ok := files(map[string]string{
			"proc/meminfo": info, names[0]: "4294967296\n", names[1]: "3221225472\n",
			names[2]: "anon 5\ninactive_file 1073741824\n",
		}).memory()
		if want := (memory{4 * gib, 2 * gib, 1 * gib}); !ok || m != want {
			t.Fatalf("%s: %+v, want %+v", names[0], m, want)
		}
	}
}

func TestAllowed(t *testing.T) {
	for _, c := range []struct {
		memory
		want int64
	}{
		{memory{16 * gib, 12 * gib, 1 * gib}, 8 * gib}, // there is room
		{memory{16 * gib, 2 * gib, 6 * gib}, 6 * gib},  // stays as it is
		{memory{16 * gib, 1 * gib, 6 * gib}, 5 * gib},  // others want some
		{memory{16 * gib, 0, 2 * gib}, 2 * gib},        // not below the floor
		{memory{256 * gib, 5 * gib, 2 * gib}, 3 * gib}, // 4 GiB are spared, no eighth
	} {
		if got := c.allowed(2*gib, 8*gib); got != c.want {
			t.Errorf("%+v: %d, want %d", c.memory, got, c.want)
		}
	}
}
