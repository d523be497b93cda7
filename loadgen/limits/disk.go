package limits

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"millrace/loadgen/result"
)

// fileSet is the files that probes share. All are made when they are first wanted.
type fileSet struct {
	cache int   // in the page cache
	lay   []int // written and flushed, for overwriting: one per writer
	size  int64 // of each of lay
}

func (e *env) set() *fileSet {
	if e.files == nil {
		e.files = &fileSet{cache: -1, size: 16 << 20}
		if e.small {
			e.files.size = 4 << 20
		}
	}
	return e.files
}

func (e *env) closeFiles() {
	if e.files == nil {
		return
	}
	if e.files.cache >= 0 {
		closeAll(e.files.cache)
	}
	closeAll(e.files.lay...)
}

func (e *env) create(name string) (int, error) {
	fd, err := unix.Open(filepath.Join(e.dir, name), unix.O_RDWR|unix.O_CREAT|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return -1, fmt.Errorf("%s: %w", name, err)
	}
	return fd, nil
}

// fill writes n bytes that no device can leave out or compress.
func fill(fd int, n int64) error {
	buf := noise(1 << 20)
	for at := int64(0); at < n; at += int64(len(buf)) {
		if _, err := unix.Pwrite(fd, buf[:min(int64(len(buf)), n-at)], at); err != nil {
			return fmt.Errorf("write: %w", err)
		}
	}
	return nil
}

// noise is n bytes of a generator with a fixed seed, aligned for O_DIRECT.
func noise(n int) []byte {
	const align = 4096
	raw := make([]byte, n+align)
	skew := int(uintptr(unsafe.Pointer(unsafe.SliceData(raw))) % align)
	buf := raw[(align-skew)%align:][:n]
	x := uint64(0x9e3779b97f4a7c15)
	for i := 0; i+8 <= n; i += 8 {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		*(*uint64)(unsafe.Pointer(&buf[i])) = x
	}
	return buf
}

// cached is a file that is in the page cache.
func (e *env) cached() (fd int, size int64, err error) {
	const n = 16 << 20
	s := e.set()
	if s.cache < 0 {
		fd, err := e.create("cached")
		if err != nil {
			return 0, 0, err
		}
		s.cache = fd
		if err := fill(fd, n); err != nil {
			return 0, 0, err
		}
	}
	return s.cache, n, nil
}

// laid gives at least n files whose blocks are on the disk.
func (e *env) laid(n int) ([]int, error) {
	s := e.set()
	for len(s.lay) < n {
		fd, err := e.create(fmt.Sprintf("laid-%d", len(s.lay)))
		if err != nil {
			return nil, err
		}
		s.lay = append(s.lay, fd)
		if err := fill(fd, s.size); err != nil {
			return nil, err
		}
		if err := unix.Fdatasync(fd); err != nil {
			return nil, fmt.Errorf("fdatasync: %w", err)
		}
	}
	return s.lay[:n], nil
}

var writeSizes = []int{4 << 10, 64 << 10, 1 << 20}

func writeKey(n int) string { return "append." + sizeName(n) }

// appendProbe is what a log does: fresh pages at the end of a file.
func appendProbe(n int) probe {
	key := writeKey(n)
	return probe{"disk", []spec{{key + ".rate", "buffered append, " + sizeText(n) + " a call", "GB/s"},
		{key + ".cpu", "  CPU of it", "s/GB"}},
		func(e *env, d time.Duration) ([]float64, error) {
			lap := int64(64 << 20)
			if e.small {
				lap = 16 << 20
			}
			fd, err := e.create("append")
			if err != nil {
				return nil, err
			}
			defer closeAll(fd)
			buf, used, bytes := noise(n), spent{}, int64(0)
			err = onCPU(e.cpus[0], func() error {
				for begin := time.Now(); bytes == 0 || time.Since(begin) < d; {
					m := startMeter()
					for at := int64(0); at < lap; at += int64(n) {
						if _, err := unix.Pwritev(fd, [][]byte{buf}, at); err != nil {
							return fmt.Errorf("write: %w", err)
						}
					}
					s := m.stop()
					used.wall, used.cpu, bytes = used.wall+s.wall, used.cpu+s.cpu, bytes+lap
					if err := unix.Ftruncate(fd, 0); err != nil {
						return fmt.Errorf("truncate: %w", err)
					}
				}
				return nil
			})
			gb := float64(bytes) / 1e9
			return []float64{gb / used.wall, used.cpu / gb}, err
		}}
}

func writersName(n int) string {
	if n == 1 {
		return "1 writer"
	}
	return fmt.Sprintf("%d writers", n)
}

// writers runs one on each file, spread over the CPUs, until d has passed, and gives how many
// writes of n bytes there were in a second and how long one took.
func (e *env) writers(count, n int, d time.Duration, write func(fd int, buf []byte, at int64) error,
) (perSecond, p50 float64, err error) {
	files, err := e.laid(count)
	if err != nil {
		return 0, 0, err
	}
	cpus := make([]int, count)
	hist := result.NewHistogram()
	took := make([][]time.Duration, count)
	for i := range cpus {
		cpus[i] = e.cpus[i%len(e.cpus)]
	}
	size, begin := e.set().size, time.Now()
	err = together(cpus, func(i int) error {
		buf := noise(n)
		for at := int64(0); len(took[i]) == 0 || time.Since(begin) < d; at = (at + int64(n)) % size {
			t := time.Now()
			if err := write(files[i], buf, at); err != nil {
				return err
			}
			took[i] = append(took[i], time.Since(t))
		}
		return nil
	})
	wall := time.Since(begin).Seconds()
	for _, list := range took {
		for _, t := range list {
			_ = hist.RecordValue(min(max(result.Lowest, int64(t)), result.Highest))
		}
	}
	return float64(hist.TotalCount()) / wall, float64(hist.ValueAtQuantile(50)) / 1e3, err
}

func flushProbe(n, writers int) probe {
	key := fmt.Sprintf("flush.%s.%d", sizeName(n), writers)
	what := fmt.Sprintf("write + fdatasync of %s, %s", sizeText(n), writersName(writers))
	return probe{"disk", []spec{{key + ".rate", what, "commits/s"}, {key + ".p50", "  time of one, p50", "µs"}},
		func(e *env, d time.Duration) ([]float64, error) {
			rate, p50, err := e.writers(writers, n, d, func(fd int, buf []byte, at int64) error {
				if _, err := unix.Pwrite(fd, buf, at); err != nil {
					return fmt.Errorf("write: %w", err)
				}
				if err := unix.Fdatasync(fd); err != nil {
					return fmt.Errorf("fdatasync: %w", err)
				}
				return nil
			})
			return []float64{rate, p50}, err
		}}
}

// direct runs f with O_DIRECT on the laid files.
func (e *env) direct(count int, f func() error) error {
	files, err := e.laid(count)
	if err != nil {
		return err
	}
	for _, fd := range files {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFL, unix.O_DIRECT); err != nil {
			return skip("no O_DIRECT on this file system")
		}
	}
	err = f()
	for _, fd := range files {
		_, clearErr := unix.FcntlInt(uintptr(fd), unix.F_SETFL, 0)
		err = errors.Join(err, clearErr)
	}
	if errors.Is(err, unix.EINVAL) {
		return skip("no O_DIRECT on this file system")
	}
	return err
}

func directProbe(n, writers int) probe {
	key := fmt.Sprintf("direct.%s.%d", sizeName(n), writers)
	what := fmt.Sprintf("O_DIRECT overwrite, %s, %s", sizeText(n), writersName(writers))
	return probe{"disk", []spec{{key + ".rate", what, "MB/s"}, {key + ".p50", "  time of one, p50", "µs"}},
		func(e *env, d time.Duration) (v []float64, err error) {
			return v, e.direct(writers, func() error {
				rate, p50, err := e.writers(writers, n, d, func(fd int, buf []byte, at int64) error {
					_, err := unix.Pwrite(fd, buf, at)
					return err
				})
				v = []float64{rate * float64(n) / 1e6, p50}
				return err
			})
		}}
}

// dsyncProbe is the cheapest durable write: in place, uncached, with its own flush.
func dsyncProbe(n int) probe {
	key := "dsync." + sizeName(n)
	what := fmt.Sprintf("O_DIRECT overwrite with RWF_DSYNC, %s, 1 writer", sizeText(n))
	return probe{"disk", []spec{{key + ".rate", what, "commits/s"}, {key + ".p50", "  time of one, p50", "µs"}},
		func(e *env, d time.Duration) (v []float64, err error) {
			return v, e.direct(1, func() error {
				rate, p50, err := e.writers(1, n, d, func(fd int, buf []byte, at int64) error {
					_, err := unix.Pwritev2(fd, [][]byte{buf}, at, unix.RWF_DSYNC)
					return err
				})
				v = []float64{rate, p50}
				if errors.Is(err, unix.EOPNOTSUPP) {
					return skip("no RWF_DSYNC here")
				}
				return err
			})
		}}
}

// coldProbe reads what is not in the page cache. The device or the hypervisor may have it in its
// own.
func coldProbe(direct bool) probe {
	key, what := "cold.buffered", "cold sequential read, buffered, 1MiB a call"
	if direct {
		key, what = "cold.direct", "cold sequential read, O_DIRECT, 1MiB a call"
	}
	return probe{"disk", []spec{{key, what, "GB/s"}},
		func(e *env, d time.Duration) ([]float64, error) {
			files, err := e.laid(16)
			if err != nil {
				return nil, err
			}
			v := 0.0
			read := func() (err error) {
				v, err = e.readCold(files, d)
				return err
			}
			if direct {
				err = e.direct(len(files), read)
			} else {
				err = read()
			}
			return []float64{v}, err
		}}
}

func (e *env) readCold(files []int, d time.Duration) (float64, error) {
	for _, fd := range files {
		if err := unix.Fdatasync(fd); err != nil {
			return 0, fmt.Errorf("fdatasync: %w", err)
		}
		if err := unix.Fadvise(fd, 0, 0, unix.FADV_DONTNEED); err != nil {
			return 0, skip("the page cache cannot be emptied: %v", err)
		}
	}
	buf, bytes, took := noise(1<<20), 0, 0.0
	err := onCPU(e.cpus[0], func() error {
		begin := time.Now()
		for _, fd := range files {
			for at := int64(0); at < e.set().size && time.Since(begin) < d; {
				n, err := unix.Pread(fd, buf, at)
				if err != nil {
					return fmt.Errorf("read: %w", err)
				}
				at, bytes = at+int64(n), bytes+n
			}
		}
		took = time.Since(begin).Seconds()
		return nil
	})
	return float64(bytes) / took / 1e9, err
}
