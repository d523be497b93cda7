package segment

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"millrace/internal/vfs"
)

// BenchmarkDurableWrite compares what a large group costs in the prewritten journal with what
// it would cost in a segment file that is only allocated: its blocks become data at the write,
// and the file system has to note that durably (docs/decisions/0007-large-groups.md).
func BenchmarkDurableWrite(b *testing.B) {
	for _, size := range []int64{128 << 10, 512 << 10, 1 << 20} {
		for _, prewritten := range []bool{true, false} {
			name := "allocated"
			if prewritten {
				name = "prewritten"
			}
			b.Run(fmt.Sprintf("%dKiB/%s", size>>10, name), func(b *testing.B) {
				durableWrites(b, size, prewritten)
			})
		}
	}
}

func durableWrites(b *testing.B, size int64, prewritten bool) {
	f, err := vfs.OS().Open(filepath.Join(b.TempDir(), "file"), vfs.Create, true)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	mem, done := aligned(int(size))
	defer done()
	const room = 256 << 20
	if err := f.Preallocate(0, room); err != nil {
		b.Fatal(err)
	}
	for at := int64(0); prewritten && at < room; at += size {
		if _, err := f.WriteAt(mem, at); err != nil {
			b.Fatal(err)
		}
	}
	if err := f.Sync(); err != nil {
		b.Fatal(err)
	}
	var cpu, wall time.Duration
	written := int64(0)
	for b.Loop() {
		if at := written % room; at == 0 && written > 0 && !prewritten {
			if unix.Ftruncate(int(f.Fd()), 0) != nil || f.Preallocate(0, room) != nil || f.Sync() != nil {
				b.Fatal("the file cannot be allocated anew")
			}
		}
		used, begin := processTime(), time.Now()
		if _, err := unix.Pwritev2(int(f.Fd()), [][]byte{mem}, written%room, unix.RWF_DSYNC); err != nil {
			b.Fatal(err)
		}
		cpu, wall = cpu+processTime()-used, wall+time.Since(begin)
		written += size
	}
	gb := float64(written) / 1e9
	b.ReportMetric(cpu.Seconds()/gb, "CPU-s/GB")
	b.ReportMetric(gb*1000/wall.Seconds(), "MB/s")
}

func processTime() time.Duration {
	var u unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
