package netio

import (
	"bytes"
	"net"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"millrace/internal/clock"
)

func dialPlain(t testing.TB, addr string) int32 {
	t.Helper()
	tcp, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	family, sa := unix.AF_INET6, unix.Sockaddr(&unix.SockaddrInet6{Port: tcp.Port,
		Addr: [16]byte(tcp.IP.To16())})
	if v4 := tcp.IP.To4(); v4 != nil {
		family, sa = unix.AF_INET, &unix.SockaddrInet4{Port: tcp.Port, Addr: [4]byte(v4)}
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Connect(fd, sa); err != nil {
		t.Fatal(err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		t.Fatal(err)
	}
	return int32(fd)
}

func vecOf(pieces ...[]byte) []Vec {
	v := make([]Vec, len(pieces))
	for i, p := range pieces {
		v[i] = Vec{Base: unsafe.SliceData(p), Len: uint64(len(p))}
	}
	return v
}

func TestNop(t *testing.T) {
	onEngines(t, Options{}, func(t *testing.T, h *harness) {
		tag := MakeTag(250, 0xffffff, 0xfffffffe)
		h.submit(Op{Kind: OpNop, Tag: tag})
		h.want(tag, 0)
	})
}

func TestReceive(t *testing.T) {
	onEngines(t, Options{}, func(t *testing.T, h *harness) {
		a, b := h.tcp()
		m := h.mem(64)
		recv := h.tag()
		h.submit(Op{Kind: OpRecv, Fd: *b, Tag: recv, Mem: m[:32]})
		h.nothing(recv) // it waits
		copy(m[32:], "hello")
		if c := h.do(Op{Kind: OpSend, Fd: *a, Mem: m[32:37]}); c.Res != 5 {
			t.Fatalf("send: %d", c.Res)
		}
		h.want(recv, 5)
		if string(m[:5]) != "hello" {
			t.Fatalf("%q", m[:5])
		}
		// Data that is there already.
		h.do(Op{Kind: OpSend, Fd: *a, Mem: m[32:36]})
		if c := h.do(Op{Kind: OpRecv, Fd: *b, Mem: m[:2]}); c.Res != 2 {
			t.Fatalf("short receive: %d", c.Res)
		}
		if c := h.do(Op{Kind: OpRecv, Fd: *b, Mem: m[:32]}); c.Res != 2 || string(m[:2]) != "ll" {
			t.Fatalf("rest: %d %q", c.Res, m[:2])
		}
		// End of stream, while waiting and after.
		h.submit(Op{Kind: OpRecv, Fd: *b, Tag: recv, Mem: m[:32]})
		h.nothing(recv)
		h.do(Op{Kind: OpClose, Fd: *a})
		*a = -1
		h.want(recv, 0)
		if c := h.do(Op{Kind: OpRecv, Fd: *b, Mem: m[:32]}); c.Res != 0 {
			t.Fatalf("after the end: %d", c.Res)
		}
	})
}

// Data and end of stream together: no edge tells of the end after the data.
func TestReceiveThenEnd(t *testing.T) {
	onEngines(t, Options{}, func(t *testing.T, h *harness) {
		for _, waitFirst := range []bool{false, true} {
			a, b := h.tcp()
			m := h.mem(64)
			if waitFirst { // so that the epoll engine has registered
				tag := h.tag()
				h.submit(Op{Kind: OpRecv, Fd: *b, Tag: tag, Mem: m[:8]})
				h.nothing(tag)
				h.do(Op{Kind: OpSend, Fd: *a, Mem: m[:8]})
				h.want(tag, 8)
			}
			h.do(Op{Kind: OpSend, Fd: *a, Mem: m[:5]})
			h.do(Op{Kind: OpClose, Fd: *a})
			*a = -1
			h.reap(clock.Mono().Add(5 * time.Millisecond))
			if c := h.do(Op{Kind: OpRecv, Fd: *b, Mem: m[:32]}); c.Res != 5 {
				t.Fatalf("data: %d", c.Res)
			}
			if c := h.do(Op{Kind: OpRecv, Fd: *b, Mem: m[:32]}); c.Res != 0 {
				t.Fatalf("end: %d", c.Res)
			}
		}
	})
}

func TestReceiveWaitAll(t *testing.T) {
	onEngines(t, Options{}, func(t *testing.T, h *harness) {
		a, b := h.tcp()
		m := h.mem(4096)
		for i := range m[:1000] {
			m[i] = byte(i)
		}
		in := m[2000:3000]
		tag := h.tag()
		h.submit(Op{Kind: OpRecv, Flags: WaitAll, Fd: *b, Tag: tag, Mem: in})
		for at := 0; at < 1000; at += 250 {
			h.nothing(tag)
			h.do(Op{Kind: OpSend, Fd: *a, Mem: m[at : at+250]})
		}
		h.want(tag, 1000)
		if !bytes.Equal(in, m[:1000]) {
			t.Fatal("other bytes")
		}
		// The stream ends first: what came counts.
		h.submit(Op{Kind: OpRecv, Flags: WaitAll, Fd: *b, Tag: tag, Mem: in})
		h.do(Op{Kind: OpSend, Fd: *a, Mem: m[:300]})
		h.nothing(tag)
		h.do(Op{Kind: OpClose, Fd: *a})
		*a = -1
		h.want(tag, 300)
	})
}

func TestPoll(t *testing.T) {
	onEngines(t, Options{}, func(t *testing.T, h *harness) {
		a, b := h.tcp()
		m := h.mem(64)
		tag := h.tag()
		for range 3 { // one-shot, and armed again
			h.submit(Op{Kind: OpPoll, Fd: *b, Tag: tag})
			h.nothing(tag)
			h.do(Op{Kind: OpSend, Fd: *a, Mem: m[:5]})
			if c := h.wait(tag); c.Res&unix.POLLIN == 0 || c.More {
				t.Fatalf("poll: %+v", c)
			}
			h.submit(Op{Kind: OpPoll, Fd: *b, Tag: tag}) // still readable: at once
			if c := h.wait(tag); c.Res&unix.POLLIN == 0 {
				t.Fatalf("poll of what is there: %+v", c)
			}
			if c := h.do(Op{Kind: OpRecv, Fd: *b, Mem: m[:5]}); c.Res != 5 {
				t.Fatalf("recv: %+v", c)
			}
		}
		h.submit(Op{Kind: OpPoll, Fd: *b, Tag: tag})
		h.nothing(tag)
		h.do(Op{Kind: OpClose, Fd: *a})
		*a = -1
		if c := h.wait(tag); c.Res&(unix.POLLIN|unix.POLLRDHUP) == 0 {
			t.Fatalf("poll at the end: %+v", c)
		}
		// Bytes taken exactly, then a poll: it must wait, not trust an old edge.
		a2, b2 := h.tcp()
		recv := h.tag()
		h.submit(Op{Kind: OpRecv, Fd: *b2, Tag: recv, Mem: m[:5]})
		h.nothing(recv)
		h.do(Op{Kind: OpSend, Fd: *a2, Mem: m[:5]})
		h.want(recv, 5)
		h.submit(Op{Kind: OpPoll, Fd: *b2, Tag: tag})
		h.nothing(tag)
		h.do(Op{Kind: OpSend, Fd: *a2, Mem: m[:1]})
		h.wait(tag)
	})
}

func TestGatheredSend(t *testing.T) {
	onEngines(t, Options{}, func(t *testing.T, h *harness) {
		a, b := h.tcp()
		const pieceLen, count = 100, 1000
		out, in := h.mem(pieceLen*count*2), h.mem(pieceLen*count)
		var want []byte
		parts := make([][]byte, count)
		for i := range parts { // with gaps between
			p := out[i*2*pieceLen:][:pieceLen]
			for j := range p {
				p[j] = byte(i + j)
			}
			parts[i] = p
			want = append(want, p...)
		}
		vec := vecOf(parts...)
		send, recv := h.tag(), h.tag()
		h.submit(
			Op{Kind: OpSend, Flags: WaitAll, Fd: *a, Tag: send, Vec: vec},
			Op{Kind: OpRecv, Flags: WaitAll, Fd: *b, Tag: recv, Mem: in})
		clear(vec) // the array was copied
		h.want(send, pieceLen*count)
		h.want(recv, pieceLen*count)
		if !bytes.Equal(in, want) {
			t.Fatal("other bytes")
		}
		// MaxVec pieces, one piece, and pieces of no length.
		for _, n := range []int{MaxVec, 1, 3} {
			clear(in)
			vec = vec[:0]
			want = want[:0]
			for i := range n {
				p := out[i*3:][:2]
				if n == 3 && i == 1 {
					p = p[:0]
				}
				vec = append(vec, vecOf(p)...)
				want = append(want, p...)
			}
			if c := h.do(Op{Kind: OpSend, Flags: WaitAll, Fd: *a, Vec: vec}); c.Res != int32(len(want)) {
				t.Fatalf("%d pieces: %d", n, c.Res)
			}
			h.do(Op{Kind: OpRecv, Flags: WaitAll, Fd: *b, Mem: in[:len(want)]})
			if !bytes.Equal(in[:len(want)], want) {
				t.Fatalf("%d pieces: other bytes", n)
			}
		}
	})
}

// A socket nobody reads from takes what fits; the rest goes on as it is read.
func TestSendToAFullSocket(t *testing.T) {
	onEngines(t, Options{}, func(t *testing.T, h *harness) {
		a, b := h.tcp()
		const total = 16 << 20 // more than both sockets hold
		out, in := h.mem(total), h.mem(1<<20)
		for i := range out {
			out[i] = byte(i >> 10)
		}
		send := h.tag()
		h.submit(Op{Kind: OpSend, Fd: *a, Tag: send, Mem: out})
		c := h.wait(send)
		if c.Res <= 0 || c.Res >= total {
			t.Fatalf("a short send was expected: %d", c.Res)
		}
		sent := int(c.Res)
		rest := vecOf(out[sent:sent+(total-sent)/2], out[sent+(total-sent)/2:])
		h.submit(Op{Kind: OpSend, Flags: WaitAll, Fd: *a, Tag: send, Vec: rest})
		h.nothing(send)
		for at := 0; at < total; {
			c := h.do(Op{Kind: OpRecv, Fd: *b, Mem: in})
			if c.Res <= 0 {
				t.Fatalf("recv at %d: %d", at, c.Res)
			}
			if !bytes.Equal(in[:c.Res], out[at:at+int(c.Res)]) {
				t.Fatalf("other bytes at %d", at)
			}
			at += int(c.Res)
		}
		h.want(send, int32(total-sent))
	})
}

func TestSendToAClosedPeer(t *testing.T) {
	onEngines(t, Options{}, func(t *testing.T, h *harness) {
		a, b := h.tcp()
		m := h.mem(8 << 20)
		send := h.tag()
		h.submit(Op{Kind: OpSend, Flags: WaitAll, Fd: *a, Tag: send, Mem: m})
		h.nothing(send)
		h.do(Op{Kind: OpClose, Fd: *b}) // with bytes unread: a reset
		*b = -1
		if c := h.wait(send); c.Res <= 0 || int(c.Res) >= len(m) { // what went counts first
			t.Fatalf("broken send: %d", c.Res)
		}
		for { // then the error, and no SIGPIPE
			c := h.do(Op{Kind: OpSend, Fd: *a, Mem: m[:1]})
			if c.Res == -int32(unix.EPIPE) {
				return
			}
			if c.Res != -int32(unix.ECONNRESET) {
				t.Fatalf("send: %v", errName(c.Res))
			}
		}
	})
}

func TestShutdown(t *testing.T) {
	onEngines(t, Options{}, func(t *testing.T, h *harness) {
		a, b := h.tcp()
		m := h.mem(8 << 20)
		recv, send := h.tag(), h.tag()
		h.submit(
			Op{Kind: OpRecv, Fd: *a, Tag: recv, Mem: m[:16]},
			Op{Kind: OpSend, Flags: WaitAll, Fd: *a, Tag: send, Mem: m})
		h.nothing(recv)
		h.nothing(send)
		if c := h.do(Op{Kind: OpShutdown, Fd: *a}); c.Res != 0 {
			t.Fatalf("shutdown: %v", errName(c.Res))
		}
		h.want(recv, 0)
		if c := h.wait(send); c.Res == int32(len(m)) {
			t.Fatalf("send went on: %d", c.Res)
		}
		if c := h.do(Op{Kind: OpShutdown, Fd: 1 << 20}); c.Res != -int32(unix.EBADF) {
			t.Fatalf("shutdown of nothing: %v", errName(c.Res))
		}
		_ = b
	})
}

func TestShutdownStartsAfterTheSendBefore(t *testing.T) {
	onEngines(t, Options{}, func(t *testing.T, h *harness) {
		a, b := h.tcp()
		m := h.mem(64)
		copy(m, "bye")
		h.submit(
			Op{Kind: OpSend, Fd: *a, Tag: h.tag(), Mem: m[:3]},
			Op{Kind: OpShutdown, Fd: *a})
		if c := h.do(Op{Kind: OpRecv, Flags: WaitAll, Fd: *b, Mem: m[8:16]}); c.Res != 3 {
			t.Fatalf("recv: %d", c.Res)
		}
	})
}

func TestBadDescriptors(t *testing.T) {
	onEngines(t, Options{}, func(t *testing.T, h *harness) {
		m := h.mem(4096)
		for _, fd := range []int32{-1, 1 << 20} {
			for _, op := range []Op{
				{Kind: OpRecv, Mem: m}, {Kind: OpPoll}, {Kind: OpSend, Mem: m},
				{Kind: OpSend, Vec: vecOf(m, m)}, {Kind: OpRead, Mem: m}, {Kind: OpWrite, Mem: m},
				{Kind: OpSync}, {Kind: OpClose}, {Kind: OpAccept}, {Kind: OpShutdown},
			} {
				op.Fd = fd
				if c := h.do(op); c.Res != -int32(unix.EBADF) || c.More {
					t.Errorf("op %d on fd %d: %v", op.Kind, fd, errName(c.Res))
				}
			}
		}
	})
}
