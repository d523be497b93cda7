package raw

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

var be = binary.BigEndian

const (
	frameHead     = 4
	correlationAt = frameHead + 4 // in a request
	maxFrame      = 1<<31 - 1     // of an answer: a frame's own bound
	dialTimeout   = 5 * time.Second
)

var errOrder = errors.New("raw: an answer out of order")

// conn is one non-blocking connection with frames on it.
type conn struct {
	fd   int
	in   []byte // received, not yet consumed: in[head:tail]
	head int
	tail int
	out  [][]byte // frames to be sent; the first may be partly gone
	sent int      // bytes of out[0] that are gone
	iov  []unix.Iovec
}

// maxIovecs of one send.
const maxIovecs = 64

// connect begins a connection; it is usable when the socket can be written to.
func connect(addr string, source net.IP) (fd int, err error) {
	tcp, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		return -1, fmt.Errorf("raw: %w", err)
	}
	family, to := unix.AF_INET6, unix.Sockaddr(nil)
	if ip := tcp.IP.To4(); ip != nil {
		family, to = unix.AF_INET, &unix.SockaddrInet4{Port: tcp.Port, Addr: [4]byte(ip)}
	} else {
		to = &unix.SockaddrInet6{Port: tcp.Port, Addr: [16]byte(tcp.IP.To16())}
	}
	fd, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, fmt.Errorf("raw: socket: %w", err)
	}
	err = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	if ip := source.To4(); err == nil && ip != nil {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
		err = unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte(ip)})
	}
	if err == nil {
		err = unix.Connect(fd, to)
	}
	if err != nil && !errors.Is(err, unix.EINPROGRESS) {
		_ = unix.Close(fd)
		return -1, fmt.Errorf("raw: connect %s: %w", addr, err)
	}
	return fd, nil
}

// connected says how a connection that was begun has ended.
func connected(fd int) error {
	code, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return err
	}
	if code != 0 {
		return unix.Errno(code)
	}
	return nil
}

// dial connects and waits for it.
func dial(addr string) (fd int, err error) {
	if fd, err = connect(addr, nil); err != nil {
		return -1, err
	}
	set := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
	for deadline := time.Now().Add(dialTimeout); ; {
		n, err := unix.Poll(set, int(max(0, time.Until(deadline).Milliseconds())))
		if err == nil && n == 0 {
			err = unix.ETIMEDOUT
		}
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err == nil {
			err = connected(fd)
		}
		if err != nil {
			_ = unix.Close(fd)
			return -1, fmt.Errorf("raw: connect %s: %w", addr, err)
		}
		return fd, nil
	}
}

func newConn(fd, receive int) *conn {
	return &conn{fd: fd, in: make([]byte, receive), out: make([][]byte, 0, maxIovecs),
		iov: make([]unix.Iovec, maxIovecs)}
}

// reset begins anew with another socket.
func (c *conn) reset(fd int) {
	c.fd, c.head, c.tail, c.sent = fd, 0, 0, 0
	clear(c.out)
	c.out = c.out[:0]
}

func (c *conn) open() bool { return c.fd >= 0 }

func (c *conn) close() {
	if c.fd >= 0 {
		_ = unix.Close(c.fd)
		c.reset(-1)
	}
}

// queue adds a frame, which must stay as it is until it has left.
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
			return false, fmt.Errorf("raw: send: %w", errno)
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
			return false, fmt.Errorf("raw: receive: %w", errno)
		case n == 0:
			return false, fmt.Errorf("raw: the broker closed the connection: %w", io.EOF)
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
// until the next receive. Memory for a large frame grows as its bytes arrive (receive, room), not
// by what its length claims.
func (c *conn) frame() (id uint32, body []byte, ok bool, err error) {
	have := c.in[c.head:c.tail]
	if len(have) < frameHead {
		return 0, nil, false, nil
	}
	n := int64(be.Uint32(have))
	if n < 4 || n > maxFrame {
		return 0, nil, false, fmt.Errorf("raw: a frame of %d bytes", n)
	}
	if int64(len(have)) < frameHead+n {
		return 0, nil, false, nil
	}
	c.head += frameHead + int(n)
	return be.Uint32(have[frameHead:]), have[frameHead+4 : frameHead+int(n)], true, nil
}
