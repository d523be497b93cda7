package netio

import (
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"millrace/internal/clock"
)

// BenchmarkEcho is a server on one ring that sends back what it receives, and a
// client thread of plain system calls that keeps one message in flight on each of
// its connections. cpu-ns/op is the server thread's own time, which a loaded host
// blurs least.
func BenchmarkEcho(b *testing.B) {
	for _, conns := range []int{1, 16} {
		for _, size := range []int{64, 16 << 10} {
			for _, e := range engines {
				for _, o := range []Options{
					{}, {Spin: 10 * time.Microsecond},
					{Gather: 20 * time.Microsecond, GatherCount: conns},
				} {
					if e.name == "epoll" && o.Gather > 0 || e.name == "uring-plain" {
						continue
					}
					name := fmt.Sprintf("conns=%d/size=%d/%s/spin=%v/gather=%v", conns, size, e.name,
						o.Spin, o.Gather)
					b.Run(name, func(b *testing.B) {
						if e.name != "epoll" && !uringWorks {
							b.Skip(uringWhy)
						}
						benchEcho(b, e.make, o, conns, size)
					})
				}
			}
		}
	}
}

func benchEcho(b *testing.B, newRing func(Options) (Ring, error), o Options, conns, size int) {
	lfd, addr, err := Listen("127.0.0.1:0", 128)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = unix.Close(int(lfd)) }()
	ring, err := newRing(o)
	if err != nil {
		b.Fatal(err)
	}
	stop, ready := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	var cpu time.Duration
	var turns int
	wg.Go(func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		cpu, turns = echoServer(b, ring, lfd, conns, size, ready, stop)
	})
	fds := make([]int, conns)
	for i := range fds {
		fds[i] = int(dialPlain(b, addr))
		_ = unix.SetNonblock(fds[i], false)
		_ = unix.SetsockoptInt(fds[i], unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	}
	<-ready
	out := make([]byte, size)
	runtime.LockOSThread()
	b.ResetTimer()
	for done := 0; done < b.N; {
		n := min(conns, b.N-done)
		for _, fd := range fds[:n] {
			if _, err := unix.Write(fd, out); err != nil {
				b.Fatal(err)
			}
		}
		for _, fd := range fds[:n] {
			for at := 0; at < size; {
				r, err := unix.Read(fd, out[at:])
				if err != nil || r == 0 {
					b.Fatal(r, err)
				}
				at += r
			}
		}
		done += n
	}
	b.StopTimer()
	runtime.UnlockOSThread()
	close(stop)
	ring.Wake()
	wg.Wait()
	for _, fd := range fds {
		_ = unix.Close(fd)
	}
	b.ReportMetric(float64(cpu.Nanoseconds())/float64(b.N), "cpu-ns/op")
	b.ReportMetric(float64(turns)/float64(b.N), "turns/op")
}

func echoServer(b *testing.B, ring Ring, lfd int32, conns, size int, ready, stop chan struct{}) (
	cpu time.Duration, turns int,
) {
	const accept, recv, send = 1, 2, 3
	mem, err := mapRegion(conns * size)
	if err != nil {
		b.Error(err)
		return 0, 0
	}
	defer mem.unmap()
	fds := make([]int32, 0, conns)
	var buf [64]Completion
	ops := append(make([]Op, 0, 128), Op{Kind: OpAccept, Fd: lfd, Tag: MakeTag(accept, 0, 0)})
	var start time.Duration
	for {
		ring.Submit(ops)
		ops = ops[:0]
		n := ring.Reap(buf[:], clock.Never)
		turns++
		select {
		case <-stop:
			cpu = benchThreadTime() - start
			for _, fd := range fds {
				ring.Submit([]Op{{Kind: OpClose, Fd: fd}})
			}
			if err := ring.Close(); err != nil {
				b.Error(err)
			}
			return cpu, turns
		default:
		}
		for _, c := range buf[:n] {
			slot := c.Tag.Slot()
			switch c.Tag.Kind() {
			case accept:
				slot = uint32(len(fds))
				fds = append(fds, c.Res)
				if len(fds) == conns {
					start, turns = benchThreadTime(), 0
					close(ready)
				}
				fallthrough
			case send:
				ops = append(ops, Op{Kind: OpRecv, Flags: WaitAll, Fd: fds[slot],
					Tag: MakeTag(recv, 0, slot), Mem: mem[int(slot)*size:][:size]})
			case recv:
				ops = append(ops, Op{Kind: OpSend, Flags: WaitAll, Fd: fds[slot],
					Tag: MakeTag(send, 0, slot), Mem: mem[int(slot)*size:][:size]})
			}
		}
	}
}

func benchThreadTime() time.Duration {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts)
	return time.Duration(ts.Nano())
}

// BenchmarkNops is the price of the ring itself: n ops down and n completions up.
func BenchmarkNops(b *testing.B) {
	for _, e := range engines {
		for _, n := range []int{1, 16, 256} {
			b.Run(fmt.Sprintf("%s/%d", e.name, n), func(b *testing.B) {
				runtime.LockOSThread()
				defer runtime.UnlockOSThread()
				if e.name != "epoll" && !uringWorks {
					b.Skip(uringWhy)
				}
				ring, err := e.make(Options{})
				if err != nil {
					b.Fatal(err)
				}
				defer func() { _ = ring.Close() }()
				ops := make([]Op, n)
				for i := range ops {
					ops[i] = Op{Kind: OpNop, Tag: MakeTag(1, 0, uint32(i))}
				}
				buf := make([]Completion, n)
				b.ReportAllocs()
				for i := 0; i < b.N; i += n {
					ring.Submit(ops)
					for got := 0; got < n; {
						got += ring.Reap(buf, clock.Never)
					}
				}
			})
		}
	}
}
