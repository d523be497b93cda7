package sim

import (
	"syscall"
	"unsafe"

	"millrace/internal/clock"
	"millrace/internal/invariant"
	"millrace/netio"
)

// Net is the network: listeners, sockets and the clients behind them. A socket is
// two pipes of bytes; each keeps its order and may cut it anywhere.
type Net struct {
	w       *World
	sockets []*socket // by descriptor − firstSocket; nil where one is free
}

const (
	firstSocket = 3
	// pipeSize is how many bytes a pipe holds before its writer has to wait.
	pipeSize = 64 << 10
)

// socket is the broker's end of a connection, or a listener.
type socket struct {
	fd     int32
	listen bool
	accept *flight
	queue  []*Conn // dialled, not yet accepted

	conn *Conn
	in   []byte // arrived, not yet received
	eof  bool   // nothing more will arrive
	shut bool   // by OpShutdown
	room int    // what the client's side still takes
	recv *flight
	send *flight
}

// Conn is a client's end of a connection. Its functions are called as events.
type Conn struct {
	OnData  func(b []byte)
	OnClose func() // once; nothing comes after it

	net     *Net
	s       *socket // nil before it is accepted and after it has ended
	fd      int32
	out     []byte // written, not yet on its way
	ending  bool   // Close was called
	over    bool
	arrive  clock.Instant // when the last bytes to the broker arrive
	deliver clock.Instant // when the last bytes to the client arrive
	stalled bool
	held    []byte // delivered while stalled
}

// Listen opens a listening socket.
func (n *Net) Listen() int32 {
	s := n.open()
	s.listen = true
	return s.fd
}

func (n *Net) open() *socket {
	s := &socket{}
	for i, old := range n.sockets {
		if old == nil { // the lowest free number, as a kernel gives it
			s.fd = int32(i) + firstSocket
			n.sockets[i] = s
			return s
		}
	}
	s.fd = int32(len(n.sockets)) + firstSocket
	n.sockets = append(n.sockets, s)
	return s
}

func (n *Net) at(fd int32) *socket {
	i := int(fd) - firstSocket
	if i < 0 || i >= len(n.sockets) {
		return nil
	}
	return n.sockets[i]
}

// Dial connects a client. It may write at once; OnClose says if nobody listens.
func (n *Net) Dial(fd int32) *Conn {
	c := &Conn{net: n, fd: fd}
	n.w.After(n.w.around(n.w.Pace.Net), func() {
		l := n.at(fd)
		if l == nil || !l.listen {
			c.ended()
			return
		}
		l.queue = append(l.queue, c)
		n.acceptNext(l)
	})
	return c
}

func (n *Net) acceptNext(l *socket) {
	for l.accept != nil && len(l.queue) > 0 {
		c := l.queue[0]
		l.queue = l.queue[1:]
		if c.over {
			continue
		}
		s := n.open()
		s.conn, s.room = c, pipeSize
		c.s, c.fd = s, s.fd
		l.accept.complete(s.fd, true)
		c.push()
	}
}

// Write sends bytes to the broker; they arrive in order, in pieces.
func (c *Conn) Write(p []byte) {
	if c.over || c.ending {
		return
	}
	c.out = append(c.out, p...)
	c.push()
}

// Close ends the client's side when everything written has arrived.
func (c *Conn) Close() {
	c.ending = true
	c.push()
}

// Reset ends the connection at once, as a crashed client does.
func (c *Conn) Reset() {
	if s := c.s; s != nil {
		s.in, s.eof, s.shut = nil, true, true
		c.net.poke(s)
	}
	c.ended()
}

// Vanish lets the client be gone without a word, as when its machine loses power or a
// router forgets the connection: the broker's end stays open.
func (c *Conn) Vanish() {
	c.OnData, c.OnClose = nil, nil
	c.out, c.stalled = nil, true
}

// Stall stops the client from reading until Resume.
func (c *Conn) Stall() { c.stalled = true }

// Resume lets a stalled client read again.
func (c *Conn) Resume() {
	c.stalled = false
	held := c.held
	c.held = nil
	c.take(held)
}

// push puts bytes on their way while the pipe has room.
func (c *Conn) push() {
	s, w := c.s, c.net.w
	if s == nil || c.over {
		return
	}
	for len(c.out) > 0 && len(s.in) < pipeSize {
		n := min(len(c.out), 1+w.rng.IntN(16<<10))
		p := c.out[:n:n]
		c.out = c.out[n:]
		c.arrive = max(c.arrive, w.now.Mono.Add(w.around(w.Pace.Net)))
		w.at(c.arrive, func() {
			if c.s == s && !s.eof {
				s.in = append(s.in, p...)
				c.net.poke(s)
			}
		})
		if n >= pipeSize/2 {
			break
		}
	}
	if c.ending && len(c.out) == 0 {
		w.at(max(c.arrive, w.now.Mono), func() {
			if c.s == s {
				s.eof = true
				c.net.poke(s)
			}
		})
	}
}

// take hands bytes to the client and gives their room back.
func (c *Conn) take(p []byte) {
	if c.over || len(p) == 0 {
		return
	}
	if c.stalled {
		c.held = append(c.held, p...)
		return
	}
	if s := c.s; s != nil {
		s.room += len(p)
		c.net.poke(s)
	}
	if c.OnData != nil {
		c.OnData(p)
	}
}

func (c *Conn) ended() {
	if c.over {
		return
	}
	c.over, c.s = true, nil
	if c.OnClose != nil {
		c.OnClose()
	}
}

// Over says whether the connection has ended.
func (c *Conn) Over() bool { return c.over }

// crash takes all sockets away; clients notice.
func (n *Net) crash() {
	sockets := n.sockets
	n.sockets = nil
	for _, s := range sockets {
		if s == nil {
			continue
		}
		if s.conn != nil {
			s.conn.ended()
		}
		for _, c := range s.queue {
			c.ended()
		}
	}
}

// start begins a socket op.
func (n *Net) start(f *flight) {
	w, op := n.w, &f.op
	s := n.at(op.Fd)
	if s == nil {
		w.After(w.around(w.Pace.Turn), func() { f.end(-int32(syscall.EBADF)) })
		return
	}
	switch op.Kind {
	case netio.OpAccept:
		invariant.Check(s.listen && s.accept == nil)
		s.accept = f
		w.After(w.around(w.Pace.Turn), func() { n.acceptNext(s) })
	case netio.OpRecv, netio.OpPoll:
		invariant.Check(s.recv == nil) // netio I4
		s.recv = f
		n.poke(s)
	case netio.OpSend:
		invariant.Check(s.send == nil) // netio I4
		s.send = f
		n.poke(s)
	case netio.OpShutdown:
		w.After(w.around(w.Pace.Turn), func() { n.shutdown(s); f.end(0) })
	case netio.OpClose:
		w.After(w.around(w.Pace.Turn), func() { f.end(n.close(s)) })
	default:
		invariant.Checkf(false, "sim: op of kind %d", op.Kind)
	}
}

// poke schedules what a socket can do now.
func (n *Net) poke(s *socket) {
	w := n.w
	if f := s.recv; f != nil && !f.timed && (len(s.in) > 0 || s.eof || s.shut) {
		f.timed = true
		w.After(w.around(w.Pace.Turn), func() {
			f.timed = false
			if s.recv == f {
				n.receive(s, f)
			}
		})
	}
	if f := s.send; f != nil && !f.timed && (s.room > 0 || s.shut) {
		f.timed = true
		w.After(w.around(w.Pace.Turn), func() {
			f.timed = false
			if s.send == f {
				n.transmit(s, f)
			}
		})
	}
}

// receive copies what has arrived, at most a part of it.
func (n *Net) receive(s *socket, f *flight) {
	if f.op.Kind == netio.OpPoll {
		s.recv = nil
		f.end(1) // POLLIN
		return
	}
	room := f.op.Mem[f.sent:]
	k := min(len(room), len(s.in))
	if k > 1 && n.w.Chance(n.w.Pace.Short) {
		k = 1 + n.w.rng.IntN(k-1)
	}
	copy(room, s.in[:k])
	n.w.noteBytes(s.in[:k])
	s.in = s.in[k:]
	f.sent += k
	if c := s.conn; c != nil {
		c.push()
	}
	ended := len(s.in) == 0 && (s.eof || s.shut)
	if f.op.Flags&netio.WaitAll != 0 && f.sent < len(f.op.Mem) && !ended {
		n.poke(s)
		return
	}
	s.recv = nil
	f.end(int32(f.sent))
}

// transmit sends what the client's side takes, at most a part of it.
func (n *Net) transmit(s *socket, f *flight) {
	if s.shut {
		s.send = nil
		f.end(-int32(syscall.EPIPE))
		return
	}
	total := 0
	for _, v := range f.op.Vec {
		total += int(v.Len)
	}
	if len(f.op.Vec) == 0 {
		total = len(f.op.Mem)
	}
	k := min(total-f.sent, s.room)
	if k > 1 && n.w.Chance(n.w.Pace.Short) {
		k = 1 + n.w.rng.IntN(k-1)
	}
	p := gather(&f.op, f.sent, k)
	n.w.noteBytes(p)
	s.room -= k
	f.sent += k
	if c := s.conn; c != nil {
		w := n.w
		c.deliver = max(c.deliver, w.now.Mono.Add(w.around(w.Pace.Net)))
		w.at(c.deliver, func() { c.take(p) })
	}
	if f.op.Flags&netio.WaitAll != 0 && f.sent < total {
		n.poke(s)
		return
	}
	s.send = nil
	f.end(int32(f.sent))
}

// gather copies n bytes of an op's memory, from the byte at skip on.
func gather(op *netio.Op, skip, n int) []byte {
	p := make([]byte, 0, n)
	if len(op.Vec) == 0 {
		return append(p, op.Mem[skip:skip+n]...)
	}
	for _, v := range op.Vec {
		piece := unsafe.Slice(v.Base, v.Len)
		if skip >= len(piece) {
			skip -= len(piece)
			continue
		}
		piece = piece[skip:]
		skip = 0
		p = append(p, piece[:min(len(piece), n-len(p))]...)
	}
	return p
}

// shutdown ends both directions: the client gets what was sent and then the end.
func (n *Net) shutdown(s *socket) {
	if s.shut {
		return
	}
	s.shut = true
	n.hangUp(s)
	n.poke(s)
}

func (n *Net) hangUp(s *socket) {
	if c := s.conn; c != nil {
		n.w.at(max(c.deliver, n.w.now.Mono), c.ended)
	}
}

// close frees the descriptor; what is in flight on it ends.
func (n *Net) close(s *socket) int32 {
	if n.at(s.fd) != s {
		return -int32(syscall.EBADF) // closed twice
	}
	for _, f := range []*flight{s.accept, s.recv, s.send} {
		if f != nil {
			f.end(-int32(syscall.ECANCELED))
		}
	}
	s.accept, s.recv, s.send = nil, nil, nil
	for _, c := range s.queue {
		c.ended()
	}
	if !s.shut {
		n.hangUp(s)
	}
	n.sockets[s.fd-firstSocket] = nil
	return 0
}

// forget takes an op off its socket, for a cancel.
func (n *Net) forget(f *flight) bool {
	s := n.at(f.op.Fd)
	if s == nil {
		return false
	}
	for _, slot := range []**flight{&s.accept, &s.recv, &s.send} {
		if *slot == f {
			*slot = nil
			return true
		}
	}
	return false
}

// Open counts the sockets that are open, listeners too: what a clean stop leaves is
// a leak.
func (n *Net) Open() int {
	open := 0
	for _, s := range n.sockets {
		if s != nil {
			open++
		}
	}
	return open
}
