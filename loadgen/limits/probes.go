package limits

import (
	"fmt"
	"hash/crc32"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"millrace/internal/clock"
	"millrace/netio"
)

// sizeName writes 65536 as 64K.
func sizeName(n int) string {
	switch {
	case n >= 1<<20 && n%(1<<20) == 0:
		return fmt.Sprintf("%dM", n>>20)
	case n >= 1<<10 && n%(1<<10) == 0:
		return fmt.Sprintf("%dK", n>>10)
	}
	return fmt.Sprint(n)
}

// sizeText writes 65536 as 64KiB and 128 as 128 B.
func sizeText(n int) string {
	if n >= 1<<10 && n%(1<<10) == 0 {
		return sizeName(n) + "iB"
	}
	return fmt.Sprintf("%d B", n)
}

// allProbes in the order of the report.
func allProbes() []probe {
	var out []probe
	for _, n := range []int{4 << 10, 256 << 10, 64 << 20} {
		out = append(out, memcpyProbe(n))
	}
	for _, n := range crcSizes {
		out = append(out, crcProbe(n))
	}
	out = append(out, syscallProbe(), faultProbe(), futexProbe(), pipeProbe())
	for _, n := range []int{1, 8, 64, 256} {
		out = append(out, ringProbe(n))
	}
	for _, n := range tcpSizes {
		out = append(out, tcpProbe(n, 1), tcpProbe(n, 2))
	}
	out = append(out, echoProbe(1), echoProbe(2))
	for _, n := range sendfileSizes {
		out = append(out, sendfileProbe(n))
	}
	for _, n := range writeSizes {
		out = append(out, appendProbe(n))
	}
	for _, n := range []int{4 << 10, 64 << 10, 1 << 20} {
		out = append(out, directProbe(n, 1), directProbe(n, 4))
	}
	out = append(out, dsyncProbe(4<<10), dsyncProbe(64<<10))
	for _, n := range []int{4 << 10, 64 << 10, 1 << 20} {
		for _, w := range []int{1, 2, 4, 8, 16} {
			out = append(out, flushProbe(n, w))
		}
	}
	return append(out, coldProbe(false), coldProbe(true))
}

// sink keeps results alive.
var sink atomic.Uint64

func memcpyProbe(n int) probe {
	name := sizeName(n)
	return probe{"memory", []spec{{"memcpy." + name, "copy " + sizeText(n), "GB/s"}},
		func(e *env, d time.Duration) ([]float64, error) {
			from, to := make([]byte, n), make([]byte, n)
			for i := range from { // both are there before the clock runs
				from[i], to[i] = byte(i), 1
			}
			laps := max(1, (1<<20)/n)
			v := 0.0
			err := onCPU(e.cpus[0], func() (err error) {
				v, err = again(d, func() error {
					for range laps {
						copy(to, from)
					}
					return nil
				})
				return err
			})
			sink.Add(uint64(to[n/2]))
			return []float64{v * float64(laps*n) / 1e9}, err
		}}
}

var crcSizes = []int{1 << 10, 16 << 10, 1 << 20}

func crcProbe(n int) probe {
	name := sizeName(n)
	return probe{"memory", []spec{{"crc32c." + name, "CRC-32C of " + sizeText(n), "GB/s"}},
		func(e *env, d time.Duration) ([]float64, error) {
			table, data := crc32.MakeTable(crc32.Castagnoli), make([]byte, n)
			laps := max(1, (256<<10)/n)
			v := 0.0
			err := onCPU(e.cpus[0], func() (err error) {
				v, err = again(d, func() error {
					for range laps {
						sink.Add(uint64(crc32.Checksum(data, table)))
					}
					return nil
				})
				return err
			})
			return []float64{v * float64(laps*n) / 1e9}, err
		}}
}

func syscallProbe() probe {
	return probe{"kernel", []spec{{"syscall", "a system call (getppid)", "ns"}},
		func(e *env, d time.Duration) ([]float64, error) {
			const laps = 1000
			v := 0.0
			err := onCPU(e.cpus[0], func() (err error) {
				v, err = again(d, func() error {
					for range laps {
						_, _, _ = unix.RawSyscall(unix.SYS_GETPPID, 0, 0, 0)
					}
					return nil
				})
				return err
			})
			return []float64{1e9 / (v * laps)}, err
		}}
}

func faultProbe() probe {
	return probe{"kernel", []spec{{"fault", "a page fault, anonymous memory", "ns"}},
		func(e *env, d time.Duration) ([]float64, error) {
			const n, page = 8 << 20, 4096
			touched, took := 0, 0.0
			err := onCPU(e.cpus[0], func() error {
				for begin := time.Now(); touched == 0 || time.Since(begin) < d; {
					mem, err := unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE,
						unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
					if err != nil {
						return fmt.Errorf("mmap: %w", err)
					}
					_ = unix.Madvise(mem, unix.MADV_NOHUGEPAGE) // refused where there are none
					m := startMeter()
					for i := 0; i < n; i += page {
						mem[i] = 1
					}
					took += m.stop().cpu
					touched += n / page
					if err := unix.Munmap(mem); err != nil {
						return fmt.Errorf("munmap: %w", err)
					}
				}
				return nil
			})
			return []float64{took * 1e9 / float64(max(1, touched))}, err
		}}
}

func futexProbe() probe {
	return probe{"kernel", []spec{{"futex", "there and back between two threads, futex", "µs"}},
		func(e *env, d time.Duration) ([]float64, error) {
			a, b := e.two()
			word, rounds, took := new(uint32), 0, 0.0
			err := together([]int{a, b}, func(i int) error {
				if i == 1 {
					return answerFutex(word)
				}
				begin := time.Now()
				for time.Since(begin) < d {
					passFutex(word, 1)
					awaitFutex(word, 1)
					rounds++
				}
				took = time.Since(begin).Seconds()
				passFutex(word, 2)
				return nil
			})
			return []float64{took / float64(max(1, rounds)) * 1e6}, err
		}}
}

// answerFutex gives the word back until it is 2.
func answerFutex(word *uint32) error {
	for {
		awaitFutex(word, 0)
		if atomic.LoadUint32(word) == 2 {
			return nil
		}
		passFutex(word, 0)
	}
}

const (
	futexWait = 128 // private
	futexWake = 129
)

func passFutex(word *uint32, v uint32) {
	atomic.StoreUint32(word, v)
	_, _, _ = unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(word)), futexWake, 1, 0, 0, 0)
}

// awaitFutex sleeps while the word is v.
func awaitFutex(word *uint32, v uint32) {
	for atomic.LoadUint32(word) == v {
		_, _, _ = unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(word)), futexWait, uintptr(v), 0, 0, 0)
	}
}

func pipeProbe() probe {
	return probe{"kernel", []spec{{"pipe", "there and back between two threads, pipes", "µs"}},
		func(e *env, d time.Duration) ([]float64, error) {
			var there, back [2]int
			if err := pipes(&there, &back); err != nil {
				return nil, err
			}
			defer closeAll(there[0], back[0], back[1])
			a, b := e.two()
			rounds, took := 0, 0.0
			err := together([]int{a, b}, func(i int) error {
				if i == 1 {
					return echoBytes(there[0], back[1], 1)
				}
				defer closeAll(there[1]) // ends the echo
				var one [1]byte
				begin := time.Now()
				for time.Since(begin) < d {
					if err := turnaround(there[1], back[0], one[:]); err != nil {
						return err
					}
					rounds++
				}
				took = time.Since(begin).Seconds()
				return nil
			})
			return []float64{took / float64(max(1, rounds)) * 1e6}, err
		}}
}

func pipes(there, back *[2]int) error {
	if err := unix.Pipe2(there[:], unix.O_CLOEXEC); err != nil {
		return fmt.Errorf("pipe: %w", err)
	}
	if err := unix.Pipe2(back[:], unix.O_CLOEXEC); err != nil {
		closeAll(there[0], there[1])
		return fmt.Errorf("pipe: %w", err)
	}
	return nil
}

func ringProbe(batch int) probe {
	return probe{"kernel", []spec{{fmt.Sprintf("ring.%d", batch),
		fmt.Sprintf("a ring operation that does nothing, %d at a time", batch), "ns"}},
		func(e *env, d time.Duration) ([]float64, error) {
			if ok, why := netio.Probe(); !ok {
				return nil, skip("no io_uring: %s", why)
			}
			v := 0.0
			err := onCPU(e.cpus[0], func() error {
				ring, err := netio.NewUring(netio.Options{})
				if err != nil {
					return skip("no io_uring: %v", err)
				}
				ops, done := make([]netio.Op, batch), make([]netio.Completion, batch)
				for i := range ops {
					ops[i] = netio.Op{Kind: netio.OpNop, Tag: netio.MakeTag(1, 0, uint32(i))}
				}
				v, err = again(d, func() error { return lap(ring, ops, done) })
				if closeErr := ring.Close(); err == nil {
					err = closeErr
				}
				return err
			})
			return []float64{1e9 / (v * float64(batch))}, err
		}}
}

// lap submits all operations and reaps as many completions.
func lap(ring netio.Ring, ops []netio.Op, done []netio.Completion) error {
	for sent, got := 0, 0; got < len(ops); {
		sent += ring.Submit(ops[sent:])
		until := clock.Never
		if sent < len(ops) {
			until = 0
		}
		n := ring.Reap(done, until)
		for _, c := range done[:n] {
			if c.Res < 0 {
				return fmt.Errorf("ring: %w", unix.Errno(-c.Res))
			}
		}
		got += n
	}
	return nil
}
