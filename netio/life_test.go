package netio

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"millrace/internal/clock"
)

func (h *harness) listen() (fd *int32, addr string) {
	h.t.Helper()
	f, addr, err := Listen("127.0.0.1:0", 1024)
	if err != nil {
		h.t.Fatal(err)
	}
	h.owns(&f)
	return &f, addr
}

func TestAccept(t *testing.T) {
	onEngines(t, Options{}, func(t *testing.T, h *harness) {
		lfd, addr := h.listen()
		accept := h.tag()
		h.dial(addr) // one is there before
		h.submit(Op{Kind: OpAccept, Fd: *lfd, Tag: accept})
		for range 3 {
			c := h.wait(accept)
			if c.Res < 0 || !c.More {
				t.Fatalf("accept: %+v", c)
			}
			fd := c.Res
			h.owns(&fd)
			flags, _ := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
			fdFlags, _ := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
			noDelay, _ := unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NODELAY)
			if flags&unix.O_NONBLOCK == 0 || fdFlags&unix.FD_CLOEXEC == 0 || noDelay == 0 {
				t.Fatalf("accepted socket: nonblock %#x, cloexec %#x, nodelay %d", flags, fdFlags, noDelay)
			}
			h.dial(addr)
		}
		cancel := h.tag()
		h.wait(accept)
		h.submit(Op{Kind: OpCancel, Target: accept, Tag: cancel})
		h.want(cancel, 0)
		h.want(accept, -int32(unix.ECANCELED))
	})
}

// Many clients at once, with room for a few completions: each is accepted once.
func TestAcceptStorm(t *testing.T) {
	for _, entries := range []int{8, 1024} {
		t.Run(fmt.Sprint(entries), func(t *testing.T) {
			onEngines(t, Options{Entries: entries}, func(t *testing.T, h *harness) {
				lfd, addr := h.listen()
				accept := h.tag()
				h.submit(Op{Kind: OpAccept, Fd: *lfd, Tag: accept})
				h.reap(0)
				const n = 300
				for range n { // the backlog holds them
					h.dial(addr)
				}
				seen := map[int32]bool{}
				for len(seen) < n {
					c := h.wait(accept)
					if !c.More { // a full completion queue may end it: armed again
						if c.Res < 0 {
							t.Fatalf("accept: %v", errName(c.Res))
						}
						h.submit(Op{Kind: OpAccept, Fd: *lfd, Tag: accept})
					}
					if seen[c.Res] {
						t.Fatalf("socket %d twice", c.Res)
					}
					seen[c.Res] = true
					fd := c.Res
					h.owns(&fd)
				}
			})
		})
	}
}

// Closing the listener ends the accept.
func TestCloseListener(t *testing.T) {
	onEngines(t, Options{}, func(t *testing.T, h *harness) {
		lfd, _ := h.listen()
		accept := h.tag()
		h.submit(Op{Kind: OpAccept, Fd: *lfd, Tag: accept})
		h.nothing(accept)
		h.do(Op{Kind: OpClose, Fd: *lfd})
		*lfd = -1
		h.want(accept, -int32(unix.ECANCELED))
	})
}

func TestCancel(t *testing.T) {
	onEngines(t, Options{}, func(t *testing.T, h *harness) {
		a, b := h.tcp()
		m := h.mem(8 << 20)
		ops := map[string]Op{
			"recv":         {Kind: OpRecv, Fd: *b, Mem: m[:10]},
			"recv waitall": {Kind: OpRecv, Flags: WaitAll, Fd: *b, Mem: m[:10]},
			"poll":         {Kind: OpPoll, Fd: *b},
		}
		for name, op := range ops {
			op.Tag = h.tag()
			h.submit(op)
			h.nothing(op.Tag)
			if c := h.do(Op{Kind: OpCancel, Target: op.Tag}); c.Res != 0 {
				t.Fatalf("%s: cancel: %v", name, errName(c.Res))
			}
			h.want(op.Tag, -int32(unix.ECANCELED))
			if c := h.do(Op{Kind: OpCancel, Target: op.Tag}); c.Res != -int32(unix.ENOENT) {
				t.Fatalf("%s: cancel of nothing: %v", name, errName(c.Res))
			}
		}
		// In one submission with its target.
		recv, cancel := h.tag(), h.tag()
		h.submit(Op{Kind: OpRecv, Fd: *b, Mem: m[:10], Tag: recv},
			Op{Kind: OpCancel, Target: recv, Tag: cancel})
		h.want(cancel, 0)
		h.want(recv, -int32(unix.ECANCELED))
		// What a partial op has moved is told.
		h.submit(Op{Kind: OpRecv, Flags: WaitAll, Fd: *b, Mem: m[:10], Tag: recv})
		h.do(Op{Kind: OpSend, Fd: *a, Mem: m[:4]})
		h.nothing(recv)
		h.do(Op{Kind: OpCancel, Target: recv})
		h.want(recv, 4)
		send := h.tag()
		h.submit(Op{Kind: OpSend, Flags: WaitAll, Fd: *a, Mem: m, Tag: send})
		h.nothing(send)
		h.do(Op{Kind: OpCancel, Target: send})
		c := h.wait(send)
		if c.Res <= 0 || int(c.Res) >= len(m) {
			t.Fatalf("cancelled send: %d", c.Res)
		}
		// The socket is well: what was sent arrives.
		for got := 0; got < int(c.Res); {
			got += int(h.do(Op{Kind: OpRecv, Fd: *b, Mem: m[4<<20:]}).Res)
		}
		// Silent cancel.
		h.submit(Op{Kind: OpPoll, Fd: *b, Tag: recv})
		h.submit(Op{Kind: OpCancel, Target: recv})
		h.want(recv, -int32(unix.ECANCELED))
		if len(h.got[0]) != 0 {
			t.Fatal("a silent op was heard of")
		}
	})
}

// A number that is used again inherits nothing, and the ops of its last user end.
func TestDescriptorReuse(t *testing.T) {
	onEngines(t, Options{}, func(t *testing.T, h *harness) {
		lfd, addr := h.listen()
		accept := h.tag()
		h.submit(Op{Kind: OpAccept, Fd: *lfd, Tag: accept})
		m := h.mem(256)
		last := int32(-1)
		reused := 0
		for i := range 50 {
			c := h.dial(addr)
			fd := h.wait(accept).Res
			if fd == last {
				reused++
			}
			last = fd
			old := h.tag()
			h.submit(Op{Kind: OpRecv, Fd: fd, Mem: m[:16], Tag: old})
			h.nothing(old)
			switch i % 3 {
			case 0: // the peer's bytes are under way as the socket is closed
				if _, err := unix.Write(int(*c), []byte("late")); err != nil {
					t.Fatal(err)
				}
			case 1:
				h.do(Op{Kind: OpShutdown, Fd: fd})
			}
			closing := h.tag()
			h.submit(Op{Kind: OpClose, Fd: fd, Tag: closing})
			h.want(closing, 0)
			if c := h.wait(old); c.Res != -int32(unix.ECANCELED) && c.Res != 0 && c.Res != 4 {
				t.Fatalf("op of a closed socket: %v", errName(c.Res))
			}
			h.do(Op{Kind: OpClose, Fd: *c})
			*c = -1

			c2 := h.dial(addr)
			fd = h.wait(accept).Res
			recv := h.tag()
			h.submit(Op{Kind: OpRecv, Fd: fd, Mem: m[:16], Tag: recv})
			h.nothing(recv)
			if _, err := unix.Write(int(*c2), []byte("fresh")); err != nil {
				t.Fatal(err)
			}
			h.want(recv, 5)
			h.do(Op{Kind: OpClose, Fd: fd})
			h.do(Op{Kind: OpClose, Fd: *c2})
			*c2 = -1
		}
		if reused == 0 {
			t.Fatal("no number was used again: the test shows nothing")
		}
	})
}

// Hundreds of ops in flight through eight slots.
func TestTinyRing(t *testing.T) {
	onEngines(t, Options{Entries: 8}, func(t *testing.T, h *harness) {
		const n = 200
		m := h.mem(n * 64)
		type end struct{ a, b *int32 }
		var ends [n]end
		var recvs [n]Tag
		var ops []Op
		for i := range n {
			ends[i].a, ends[i].b = h.tcp()
			recvs[i] = h.tag()
			ops = append(ops, Op{Kind: OpRecv, Fd: *ends[i].b, Mem: m[i*64:][:32], Tag: recvs[i]})
		}
		h.submit(ops...)
		for range 3 {
			ops = ops[:0]
			var sends [n]Tag
			for i := range n {
				out := m[i*64+32:][:8]
				out[0], out[1] = byte(i), byte(i>>8)
				sends[i] = h.tag()
				ops = append(ops, Op{Kind: OpSend, Fd: *ends[i].a, Tag: sends[i], Vec: vecOf(out[:3], out[3:])})
			}
			h.submit(ops...) // sends and receives overflow the completion queue of 32
			ops = ops[:0]
			for i := range n {
				h.want(sends[i], 8)
				h.want(recvs[i], 8)
				if m[i*64] != byte(i) || m[i*64+1] != byte(i>>8) {
					t.Fatalf("connection %d got other bytes", i)
				}
				ops = append(ops, Op{Kind: OpRecv, Fd: *ends[i].b, Mem: m[i*64:][:32], Tag: recvs[i]})
			}
			h.submit(ops...)
		}
		ops = ops[:0]
		for i := range n {
			ops = append(ops, Op{Kind: OpClose, Fd: *ends[i].b})
			*ends[i].b = -1
		}
		h.submit(ops...)
		for i := range n {
			h.want(recvs[i], -int32(unix.ECANCELED))
		}
	})
}

// Completions far beyond the queue are kept until somebody takes them.
func TestCompletionOverflow(t *testing.T) {
	onEngines(t, Options{Entries: 8}, func(t *testing.T, h *harness) {
		taken := map[Tag]bool{}
		var ops []Op
		for range 500 {
			ops = append(ops, Op{Kind: OpNop, Tag: h.tag()})
		}
		all := ops
		for len(ops) > 0 {
			n := h.ring.Submit(ops)
			ops = ops[n:]
			if n == 0 {
				takeOne(t, h, taken)
			}
		}
		for len(taken) < len(all) {
			takeOne(t, h, taken)
		}
		if n := h.reap(0); n != 0 {
			t.Fatalf("%d too many", n)
		}
	})
}

func takeOne(t *testing.T, h *harness, taken map[Tag]bool) {
	t.Helper()
	var one [1]Completion
	if h.ring.Reap(one[:], clock.Mono().Add(patience)) != 1 {
		t.Fatal("lost completions")
	}
	if taken[one[0].Tag] {
		t.Fatalf("%x twice", one[0].Tag)
	}
	taken[one[0].Tag] = true
}

func TestTimeout(t *testing.T) {
	onEngines(t, Options{}, func(t *testing.T, h *harness) {
		for _, d := range []time.Duration{0, -time.Second, 50 * time.Microsecond, 3 * time.Millisecond} {
			start := clock.Mono()
			if n := h.reap(start.Add(d)); n != 0 {
				t.Fatalf("%d completions of nothing", n)
			}
			took := clock.Mono().Sub(start)
			if took < d {
				t.Fatalf("returned after %v of %v", took, d)
			}
			if took > max(d, 0)+time.Second {
				t.Fatalf("%v took %v", d, took)
			}
		}
		h.reap(0)
	})
}

// Close with ops in flight that hold memory.
func TestCloseInFlight(t *testing.T) {
	onEngines(t, Options{}, func(t *testing.T, h *harness) {
		ring, err := h.make(Options{})
		if err != nil {
			t.Fatal(err)
		}
		_, b := h.tcp()
		lfd, _ := h.listen()
		m := h.mem(64)
		ring.Submit([]Op{
			{Kind: OpRecv, Fd: *b, Mem: m, Tag: 1},
			{Kind: OpAccept, Fd: *lfd, Tag: 2},
		})
		ring.Reap(h.buf[:], 0)
		if err := ring.Close(); err != nil {
			t.Fatal(err)
		}
		ring.Wake() // allowed, and without effect
		if err := ring.Close(); err != nil {
			t.Fatal(err)
		}
		// The kernel has let go: another ring may use the socket.
		recv := h.tag()
		h.submit(Op{Kind: OpRecv, Fd: *b, Mem: m, Tag: recv})
		h.nothing(recv)
		h.do(Op{Kind: OpShutdown, Fd: *b})
		h.want(recv, 0)
	})
}

// A ring whose thread has ended with ops in flight is closed by another thread.
func TestCloseAfterItsThread(t *testing.T) {
	onEngines(t, Options{}, func(t *testing.T, h *harness) {
		ring, err := h.make(Options{})
		if err != nil {
			t.Fatal(err)
		}
		_, b := h.tcp()
		m := h.mem(64)
		done := make(chan struct{})
		go func() {
			runtime.LockOSThread() // the thread dies with its goroutine
			defer close(done)
			ring.Submit([]Op{{Kind: OpRecv, Fd: *b, Mem: m, Tag: 1}})
			var buf [4]Completion
			ring.Reap(buf[:], 0)
		}()
		<-done
		ring.Wake()
		if err := ring.Close(); err != nil {
			t.Fatal(err)
		}
		ring.Wake()
	})
}

// One ring accepts, another serves and closes, in turn: numbers come back to rings
// that have known them before.
func TestSocketsGivenAway(t *testing.T) {
	onEngines(t, Options{}, func(t *testing.T, h *harness) {
		lfd, addr := h.listen()
		accept := h.tag()
		h.submit(Op{Kind: OpAccept, Fd: *lfd, Tag: accept})
		servers := []*harness{h}
		for range 2 {
			ring, err := h.make(Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = ring.Close() }()
			servers = append(servers, &harness{t: t, ring: ring})
		}
		m := h.mem(64)
		for i := range 60 {
			s := servers[i*7%3]
			c := h.dial(addr)
			fd := h.wait(accept).Res
			recv := s.tag()
			s.submit(Op{Kind: OpRecv, Fd: fd, Mem: m[:16], Tag: recv})
			s.nothing(recv)
			if _, err := unix.Write(int(*c), []byte("hello")); err != nil {
				t.Fatal(err)
			}
			s.want(recv, 5)
			s.submit(Op{Kind: OpPoll, Fd: fd, Tag: recv})
			s.nothing(recv)
			if c := s.do(Op{Kind: OpClose, Fd: fd}); c.Res != 0 {
				t.Fatalf("close: %v", errName(c.Res))
			}
			s.want(recv, -int32(unix.ECANCELED))
			h.do(Op{Kind: OpClose, Fd: *c})
			*c = -1
		}
	})
}
