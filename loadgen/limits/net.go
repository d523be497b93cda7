package limits

import (
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"millrace/loadgen/result"
)

func closeAll(fds ...int) {
	for _, fd := range fds {
		_ = unix.Close(fd)
	}
}

// loopback is a connected pair of TCP sockets.
func loopback() (a, b int, err error) {
	listen, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, 0, fmt.Errorf("socket: %w", err)
	}
	defer closeAll(listen)
	at := &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}
	if err := unix.Bind(listen, at); err != nil {
		return 0, 0, fmt.Errorf("bind: %w", err)
	}
	if err := unix.Listen(listen, 1); err != nil {
		return 0, 0, fmt.Errorf("listen: %w", err)
	}
	bound, err := unix.Getsockname(listen)
	if err != nil {
		return 0, 0, fmt.Errorf("getsockname: %w", err)
	}
	if a, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err != nil {
		return 0, 0, fmt.Errorf("socket: %w", err)
	}
	if err := unix.Connect(a, bound); err != nil {
		closeAll(a)
		return 0, 0, fmt.Errorf("connect: %w", err)
	}
	if b, _, err = unix.Accept4(listen, unix.SOCK_CLOEXEC); err != nil {
		closeAll(a)
		return 0, 0, fmt.Errorf("accept: %w", err)
	}
	for _, fd := range []int{a, b} {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	}
	return a, b, nil
}

// flow pushes bytes from one socket to its peer for d, each end on its CPU.
type flow struct {
	bytes    int64
	sender   spent
	receiver spent
}

func (e *env) flow(d time.Duration, cpus []int, send func(fd int) (int, error)) (flow, error) {
	a, b, err := loopback()
	if err != nil {
		return flow{}, err
	}
	defer closeAll(b)
	var f flow
	var broken atomic.Bool
	err = together(cpus, func(i int) error {
		if i == 1 {
			err := f.receive(b)
			if err != nil {
				broken.Store(true)
				_ = unix.Shutdown(b, unix.SHUT_RDWR) // or the sender would wait for room
			}
			return err
		}
		defer closeAll(a) // ends the receiver
		m := startMeter()
		for time.Since(m.at) < d && !broken.Load() {
			if _, err := send(a); err != nil {
				return err
			}
		}
		f.sender = m.stop()
		return nil
	})
	return f, err
}

func (f *flow) receive(fd int) error {
	buf := make([]byte, 256<<10)
	var m meter
	for {
		n, err := unix.Read(fd, buf)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return fmt.Errorf("receive: %w", err)
		case n == 0:
			f.receiver = m.stop()
			return nil
		}
		if f.bytes == 0 {
			m = startMeter() // from the first bytes on
		}
		f.bytes += int64(n)
	}
}

func (f flow) figures() []float64 {
	gb := float64(f.bytes) / 1e9
	return []float64{gb / f.receiver.wall, f.sender.cpu / gb, f.receiver.cpu / gb}
}

var tcpSizes = []int{128, 1 << 10, 16 << 10, 64 << 10, 1 << 20}

func tcpKey(n, cores int) string { return fmt.Sprintf("tcp.%s.%dcores", sizeName(n), cores) }

func tcpProbe(n, cores int) probe {
	key, what := tcpKey(n, cores), fmt.Sprintf("TCP loopback, %s a send, both ends on ", sizeText(n))
	if cores == 1 {
		what += "one core"
	} else {
		what += "a core each"
	}
	return probe{"network", []spec{{key + ".rate", what, "GB/s"},
		{key + ".send", "  CPU of the sender", "s/GB"},
		{key + ".receive", "  CPU of the receiver", "s/GB"}},
		func(e *env, d time.Duration) ([]float64, error) {
			if cores > len(e.cpus) {
				return nil, skip("one CPU only")
			}
			a, b := e.two()
			if cores == 1 {
				b = a
			}
			buf := make([]byte, n)
			f, err := e.flow(d, []int{a, b}, func(fd int) (int, error) {
				for range max(1, (64<<10)/n) { // so often that the clock costs nothing
					if err := writeAll(fd, buf); err != nil {
						return 0, err
					}
				}
				return n, nil
			})
			if err != nil {
				return nil, err
			}
			return f.figures(), nil
		}}
}

func writeAll(fd int, buf []byte) error {
	for len(buf) > 0 {
		n, err := unix.Write(fd, buf)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return fmt.Errorf("send: %w", err)
		}
		buf = buf[n:]
	}
	return nil
}

func readAll(fd int, buf []byte) error {
	for len(buf) > 0 {
		n, err := unix.Read(fd, buf)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return fmt.Errorf("receive: %w", err)
		case n == 0:
			return io.EOF
		}
		buf = buf[n:]
	}
	return nil
}

func turnaround(out, in int, buf []byte) error {
	if err := writeAll(out, buf); err != nil {
		return err
	}
	return readAll(in, buf)
}

// echoBytes sends back what comes, n bytes at a time, until the end of the stream.
func echoBytes(in, out, n int) error {
	buf := make([]byte, n)
	for {
		if err := readAll(in, buf); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if err := writeAll(out, buf); err != nil {
			return err
		}
	}
}

func echoProbe(cores int) probe {
	key := fmt.Sprintf("echo.%dcores", cores)
	what := "echo of 128 B over loopback, "
	if cores == 1 {
		what += "both ends on one core"
	} else {
		what += "a core each"
	}
	return probe{"network", []spec{{key + ".p50", what + ", p50", "µs"}, {key + ".p99", what + ", p99", "µs"}},
		func(e *env, d time.Duration) ([]float64, error) {
			if cores > len(e.cpus) {
				return nil, skip("one CPU only")
			}
			x, y := e.two()
			if cores == 1 {
				y = x
			}
			a, b, err := loopback()
			if err != nil {
				return nil, err
			}
			defer closeAll(b)
			h := result.NewHistogram()
			err = together([]int{x, y}, func(i int) error {
				if i == 1 {
					return echoBytes(b, b, 128)
				}
				defer closeAll(a)
				buf := make([]byte, 128)
				for begin, last := time.Now(), time.Now(); last.Sub(begin) < d; {
					if err := turnaround(a, a, buf); err != nil {
						return err
					}
					now := time.Now()
					_ = h.RecordValue(max(result.Lowest, int64(now.Sub(last))))
					last = now
				}
				return nil
			})
			return []float64{float64(h.ValueAtQuantile(50)) / 1e3, float64(h.ValueAtQuantile(99)) / 1e3}, err
		}}
}

var sendfileSizes = []int{16 << 10, 64 << 10, 1 << 20}

func sendfileProbe(n int) probe {
	name := sizeName(n)
	key := "sendfile." + name
	return probe{"network", []spec{
		{key + ".rate", "sendfile, page cache to loopback, " + sizeText(n) + " a call", "GB/s"},
		{key + ".send", "  CPU of the sender", "s/GB"}, {key + ".receive", "  CPU of the receiver", "s/GB"}},
		func(e *env, d time.Duration) ([]float64, error) {
			file, size, err := e.cached()
			if err != nil {
				return nil, err
			}
			a, b := e.two()
			at := int64(0)
			f, err := e.flow(d, []int{a, b}, func(fd int) (int, error) {
				if at+int64(n) > size {
					at = 0
				}
				for {
					m, err := unix.Sendfile(fd, file, &at, n)
					if err == unix.EINTR {
						continue
					}
					if err != nil {
						return 0, fmt.Errorf("sendfile: %w", err)
					}
					return m, nil
				}
			})
			if err != nil {
				return nil, err
			}
			return f.figures(), nil
		}}
}
