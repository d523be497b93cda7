package engine

import (
	"millrace/internal/arena"
	"millrace/internal/clock"
	"millrace/netio"
	"millrace/protocol"
)

// Limits of one connection.
const (
	// rxMin … rxMax are the sizes of a receive buffer: it starts small and doubles when a
	// receive fills it. A frame that is larger gets a buffer of its own size.
	rxMin = 16 << 10
	rxMax = 256 << 10
	// maxInFlight requests may wait for answers; beyond it the connection is not read.
	maxInFlight = 256
	// waitAllFrom is how much of a frame must be missing for one receive to wait for all
	// of it, instead of completing with what is there.
	// waitAllMost bounds that, so that a slow sender shows that it goes on.
	waitAllFrom = 16 << 10
	waitAllMost = 1 << 20
	// quiet is how long a connection holds its receive buffer without traffic.
	quiet = clock.Instant(1_000_000_000)
)

// reading says which operation waits for the socket.
type reading uint8

const (
	readNone reading = iota
	readRecv
	readPoll // holds no memory
)

// conn is one client's connection. Its slot is used again; gen tells the uses apart.
type conn struct {
	slot, gen uint32
	fd        int32
	lsn       int32
	host      string // the client's address, without port
	local     string // the address that it connected to
	used      bool
	closing   bool // no more reads or sends; waits for ops in flight
	ended     bool // the client sends no more; it is answered and then closed
	producer  bool // has sent Produce: not read while storage is behind

	rx      *arena.Buf
	rd, wr  int // unparsed bytes are rx.Mem[rd:wr]
	rxSize  int
	need    int // size of the frame at rd with its prefix, when known and incomplete
	frame   int // size of the last frame
	reading reading
	cancel  bool // the receive was cancelled to give its memory back

	answers   []answer // ring, a power of two
	head      uint32   // first unanswered or unsent
	tail      uint32   // next to hand out
	exclusive bool     // a request that does not overlap is outstanding
	fetching  bool     // a Fetch is outstanding: its session takes one at a time
	held      bool     // a Produce waits for a partition that moves between cores

	pieces  []netio.Vec // being sent, from pieceAt on
	pieceAt int
	sentOf  int    // bytes of the head answer that are out already
	queued  uint32 // answers whose pieces are in pieces: head … queued
	sending bool

	ready, dirty, starved bool
	lastUsed              clock.Instant
}

// answerState is how far an answer slot has come.
type answerState uint8

const (
	answerPending answerState = iota
	answerReady
	answerSilent // acks=0: nothing is sent
)

// answer is the place of one request's answer in its connection's order.
type answer struct {
	state   answerState
	key     protocol.Key
	buf     *arena.Buf
	mem     []byte     // encoded answer, in buf
	fetch   *fetchTask // its record bytes lie between the pieces of mem
	size    int
	started clock.Instant
	bytesIn int
	failed  bool
}

func (cn *conn) open() bool { return cn.used && !cn.closing }

func (cn *conn) inFlight() uint32 { return cn.tail - cn.head }

func (cn *conn) at(seq uint32) *answer { return &cn.answers[seq&uint32(len(cn.answers)-1)] }

// reserve hands out the next answer slot.
func (cn *conn) reserve(key protocol.Key, now clock.Instant, bytes int) uint32 {
	if int(cn.inFlight()) == len(cn.answers) {
		cn.grow()
	}
	seq := cn.tail
	cn.tail++
	*cn.at(seq) = answer{key: key, started: now, bytesIn: bytes}
	return seq
}

func (cn *conn) grow() {
	bigger := make([]answer, max(8, 2*len(cn.answers)))
	for s := cn.head; s != cn.tail; s++ {
		bigger[s&uint32(len(bigger)-1)] = *cn.at(s)
	}
	cn.answers = bigger
}

// connTable is the connections of one core.
type connTable struct {
	slots []*conn
	free  []uint32
	spare []*conn // the other half of Core.starved
	live  int
	sweep bool // a sweep is armed
}

func (t *connTable) init(*Core) {}

// find returns the connection that a tag means, or nil when it is gone.
func (t *connTable) find(tag netio.Tag) *conn { return t.get(tag.Slot(), tag.Generation()) }

func (t *connTable) get(slot, gen uint32) *conn {
	if int(slot) >= len(t.slots) {
		return nil
	}
	cn := t.slots[slot]
	if !cn.used || cn.gen != gen&0xffffff {
		return nil
	}
	return cn
}

func (t *connTable) take() *conn {
	var cn *conn
	if n := len(t.free); n > 0 {
		cn = t.slots[t.free[n-1]]
		t.free = t.free[:n-1]
	} else {
		cn = &conn{slot: uint32(len(t.slots))}
		t.slots = append(t.slots, cn)
	}
	cn.gen = (cn.gen + 1) & 0xffffff
	cn.used = true
	t.live++
	return cn
}

func (cn *conn) tag(kind uint8) netio.Tag { return netio.MakeTag(kind, cn.gen, cn.slot) }

// accepted takes a new socket from a listener of this core, and gives it to the core
// whose turn it is.
func (c *Core) accepted(d *netio.Completion) {
	lsn := int32(d.Tag.Slot())
	if !d.More && !c.stopping {
		c.limits.rearm(c, lsn, d.Res)
	}
	if d.Res < 0 {
		return
	}
	fd := d.Res
	host, ok := "", false
	if !c.stopping {
		host, ok = c.limits.admit(c, fd)
	}
	if !ok {
		c.close(fd)
		return
	}
	c.open.Add(1)
	to := c.limits.nextCore(len(c.peers))
	if to == c.id {
		c.adopt(fd, lsn, host)
		return
	}
	c.post(to, letter{kind: letterConn, fd: fd, lsn: lsn, host: host})
}

func (c *Core) close(fd int32) {
	c.ops = append(c.ops, netio.Op{Kind: netio.OpClose, Fd: fd, Tag: netio.MakeTag(tagConn, 0, 0)})
}

// adopt makes a socket a connection of this core and starts to read it.
func (c *Core) adopt(fd, lsn int32, host string) {
	if c.stopping {
		c.close(fd)
		c.uncount(host)
		return
	}
	cn := c.conns.take()
	answers, pieces := cn.answers, cn.pieces[:0]
	*cn = conn{
		slot: cn.slot, gen: cn.gen, used: true, fd: fd, lsn: lsn, rxSize: rxMin,
		answers: answers, pieces: pieces, lastUsed: c.now.Mono,
	}
	cn.local, _ = c.addrs(fd)
	cn.host = host
	c.stats.Accepted++
	c.read(cn)
	c.armSweep()
}

// hangUp ends a connection: what is in flight comes back first, then the socket is
// closed and its memory given back.
func (c *Core) hangUp(cn *conn) {
	if !cn.open() {
		return
	}
	cn.closing = true
	if cn.reading != readNone || cn.sending {
		c.ops = append(c.ops, netio.Op{Kind: netio.OpShutdown, Fd: cn.fd, Tag: netio.MakeTag(tagConn, 0, 0)})
	}
	c.reap(cn)
}

// reap frees a closing connection once the kernel holds nothing of it.
func (c *Core) reap(cn *conn) {
	if !cn.closing || cn.reading != readNone || cn.sending {
		return
	}
	for ; cn.head != cn.tail; cn.head++ {
		a := cn.at(cn.head)
		c.dropAnswer(a)
	}
	if cn.rx != nil {
		c.releaseRx(cn.rx)
		cn.rx = nil
	}
	clear(cn.pieces)
	cn.pieces = cn.pieces[:0]
	c.close(cn.fd)
	cn.used = false
	c.conns.live--
	c.conns.free = append(c.conns.free, cn.slot)
	c.uncount(cn.host)
}

// uncount takes a connection that is over out of the books.
func (c *Core) uncount(host string) {
	c.open.Add(-1)
	c.call(0, func(c *Core) { c.limits.gone(host) })
}

// dropAnswer gives back what an answer holds.
func (c *Core) dropAnswer(a *answer) {
	if a.buf != nil {
		c.pool.Release(a.buf)
	}
	if a.fetch != nil {
		c.fetches.answered(c, a.fetch)
	}
	*a = answer{}
}

// armSweep keeps one timer going while there are connections.
func (c *Core) armSweep() {
	if c.conns.sweep || c.conns.live == 0 {
		return
	}
	c.conns.sweep = true
	c.timers.after(c.now.Mono+quiet, func(c *Core) {
		c.conns.sweep = false
		if c.sweepConns() {
			c.armSweep()
			return
		}
		c.armIdleSweep()
	})
}

// armIdleSweep looks less often: every connection has already given its memory back,
// and only the long idle limit is left to watch.
func (c *Core) armIdleSweep() {
	if c.conns.sweep || c.conns.live == 0 {
		return
	}
	c.conns.sweep = true
	pause := clock.Instant(min(c.cfg.IdleMillis, 10_000)) * 1_000_000
	c.timers.after(c.now.Mono+max(pause, quiet), func(c *Core) {
		c.conns.sweep = false
		if c.sweepConns() {
			c.armSweep()
			return
		}
		c.armIdleSweep()
	})
}

// sweepConns takes the receive buffers of quiet connections and closes long idle ones.
// It says whether some connection may soon be quiet.
func (c *Core) sweepConns() bool {
	busy := false
	idle := clock.Instant(c.cfg.IdleMillis) * 1_000_000
	short := c.memoryShort()
	for _, cn := range c.conns.slots {
		if !cn.open() {
			continue
		}
		age := c.now.Mono - cn.lastUsed
		if c.cfg.IdleMillis > 0 && age >= idle && (cn.inFlight() == 0 || cn.sending) {
			c.hangUp(cn)
			continue
		}
		if cn.sending || cn.need > 0 && cn.reading == readRecv && cn.inFlight() == 0 {
			busy = true
			if short && age >= stalledAfter {
				c.faults.note(c.now.Mono, "closing connection", cn.host, "stalled while memory is short")
				c.hangUp(cn)
				continue
			}
		}
		if cn.reading != readRecv || cn.cancel {
			continue
		}
		if age < quiet || cn.wr > cn.rd {
			busy = true
			continue
		}
		cn.cancel = true
		c.ops = append(c.ops, netio.Op{
			Kind: netio.OpCancel, Fd: cn.fd, Target: cn.tag(tagRecv), Tag: netio.MakeTag(tagConn, 0, 0),
		})
	}
	return busy
}
