package loadgen

import (
	"errors"
	"fmt"
	"io"
	"net"
	"unsafe"

	"golang.org/x/sys/unix"
)

// maxFrame bounds what a broker may send us at once.
const maxFrame = 128 << 20

// conn is one non-blocking connection with frames on it.
type conn struct {
	fd     int
	in     []byte // received, not yet consumed: in[head:tail]
	head   int
	tail   int
	out    [][]byte // frames to be sent; the first may be partly gone
	sent   int      // bytes of out[0] that are gone
	iov    [64]unix.Iovec
	closed bool
}

func dial(addr string, receive int) (*conn, error) {
	tcp, err := net.ResolveTCPAddr("tcp4", addr)
	if err != nil {
		return nil, err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("loadgen: socket: %w", err)
	}
	sa := &unix.SockaddrInet4{Port: tcp.Port}
	copy(sa.Addr[:], tcp.IP.To4())
	err = unix.Connect(fd, sa)
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	if err == nil {
		err = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	}
	if err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("loadgen: connect %s: %w", addr, err)
	}
	return &conn{fd: fd, in: make([]byte, receive), out: make([][]byte, 0, 64)}, nil
}

func (c *conn) close() {
	if !c.closed {
		c.closed = true
		_ = unix.Close(c.fd)
	}
}

// queue adds a frame, which must stay as it is until its answer has come.
func (c *conn) queue(frame []byte) { c.out = append(c.out, frame) }

// flush sends as much as the socket takes; full says that some is left.
func (c *conn) flush() (full bool, err error) {
	for len(c.out) > 0 {
		n := min(len(c.out), len(c.iov))
		for i := range n {
			b := c.out[i]
			if i == 0 {
				b = b[c.sent:]
			}
			c.iov[i].Base = &b[0]
			c.iov[i].SetLen(len(b))
		}
		w, _, errno := unix.RawSyscall(unix.SYS_WRITEV, uintptr(c.fd),
			uintptr(unsafe.Pointer(&c.iov[0])), uintptr(n))
		switch errno {
		case 0:
		case unix.EAGAIN:
			return true, nil
		case unix.EINTR:
			continue
		default:
			return false, fmt.Errorf("loadgen: send: %w", errno)
		}
		c.gone(int(w))
	}
	return false, nil
}

// gone takes n sent bytes off the queue.
func (c *conn) gone(n int) {
	done := 0
	for done < len(c.out) && n >= len(c.out[done])-c.sent {
		n -= len(c.out[done]) - c.sent
		c.sent = 0
		done++
	}
	c.sent += n
	if done > 0 {
		left := copy(c.out, c.out[done:])
		c.out = c.out[:left]
	}
}

// receive reads once what has come; more says that there may be more to read.
func (c *conn) receive() (more bool, err error) {
	if c.head == c.tail {
		c.head, c.tail = 0, 0
	}
	if c.tail == len(c.in) {
		c.room()
	}
	free := c.in[c.tail:]
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(c.fd),
			uintptr(unsafe.Pointer(&free[0])), uintptr(len(free)), 0, 0, 0)
		switch {
		case errno == unix.EINTR:
			continue
		case errno == unix.EAGAIN:
			return false, nil
		case errno != 0:
			return false, fmt.Errorf("loadgen: receive: %w", errno)
		case n == 0:
			return false, fmt.Errorf("loadgen: the broker closed the connection: %w", io.EOF)
		}
		c.tail += int(n)
		return int(n) == len(free), nil
	}
}

// room makes place behind what has been received: by moving it, else by growth.
func (c *conn) room() {
	if c.head > 0 {
		c.tail = copy(c.in, c.in[c.head:c.tail])
		c.head = 0
		return
	}
	grown := make([]byte, 2*len(c.in))
	copy(grown, c.in)
	c.in = grown
}

// frame takes the next whole frame: correlation id and what follows it. The bytes are valid
// until the next receive.
func (c *conn) frame() (id uint32, body []byte, ok bool, err error) {
	have := c.in[c.head:c.tail]
	if len(have) < frameHead {
		return 0, nil, false, nil
	}
	n := int(be.Uint32(have))
	if n < 4 || n > maxFrame {
		return 0, nil, false, fmt.Errorf("loadgen: a frame of %d bytes", n)
	}
	if len(have) < frameHead+n {
		if frameHead+n > len(c.in) {
			grown := make([]byte, frameHead+n+64<<10)
			c.tail = copy(grown, have)
			c.in, c.head = grown, 0
		}
		return 0, nil, false, nil
	}
	c.head += frameHead + n
	return be.Uint32(have[frameHead:]), have[frameHead+4 : frameHead+n], true, nil
}

var errOrder = errors.New("loadgen: an answer out of order")
