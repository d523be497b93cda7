package engine

import (
	"encoding/binary"
	"syscall"

	"millrace/netio"
	"millrace/protocol"
)

// minFrame is key, version and correlation id.
const minFrame = 8

// read starts the next receive, if the connection may be read and memory is there.
func (c *Core) read(cn *conn) {
	if !cn.open() || cn.reading != readNone || cn.starved || c.stopping {
		return
	}
	if cn.ended {
		c.endWhenAnswered(cn)
		return
	}
	if cn.producer && (c.produces.held() || c.kitchen.full(c)) || !c.makeRoom(cn) {
		c.starve(cn)
		return
	}
	op := netio.Op{Kind: netio.OpRecv, Fd: cn.fd, Tag: cn.tag(tagRecv), Mem: cn.rx.Mem[cn.wr:]}
	if missing := cn.need - (cn.wr - cn.rd); cn.need > 0 && missing >= waitAllFrom {
		op.Mem = op.Mem[:min(missing, waitAllMost)]
		op.Flags = netio.WaitAll
	} else if cn.wr == 0 && cn.frame > waitAllFrom && cn.frame < len(op.Mem) {
		// The next large frame is likely as large as the last one. With no more of the
		// stream than that behind it, what follows need not be moved to make room.
		op.Mem = op.Mem[:cn.frame]
	}
	cn.reading = readRecv
	c.ops = append(c.ops, op)
}

// starve puts the connection aside until memory or storage has room again.
func (c *Core) starve(cn *conn) {
	if !cn.starved {
		cn.starved = true
		c.starved = append(c.starved, cn)
	}
}

// makeRoom sees to a receive buffer with space behind wr for the rest of the frame.
func (c *Core) makeRoom(cn *conn) bool {
	have := cn.wr - cn.rd
	want := max(cn.need, have+1, 4)
	if cn.rx != nil {
		mine := cn.rx.Refs() == 1
		if have == 0 && mine {
			cn.rd, cn.wr = 0, 0
		}
		if cn.rd+want <= len(cn.rx.Mem) && cn.wr < len(cn.rx.Mem) {
			return true
		}
		if mine && want <= len(cn.rx.Mem) {
			copy(cn.rx.Mem, cn.rx.Mem[cn.rd:cn.wr])
			cn.rd, cn.wr = 0, have
			return true
		}
	}
	b := c.takeRx(want, cn.rxSize)
	if b == nil {
		return false
	}
	if cn.rx != nil {
		copy(b.Mem, cn.rx.Mem[cn.rd:cn.wr])
		c.releaseRx(cn.rx)
	}
	cn.rx, cn.rd, cn.wr = b, 0, have
	return true
}

// received handles the end of a receive or of a poll.
func (c *Core) received(d *netio.Completion) {
	cn := c.conns.find(d.Tag)
	if cn == nil {
		return
	}
	was := cn.reading
	cn.reading = readNone
	if cn.closing {
		c.reap(cn)
		return
	}
	if was == readPoll {
		if d.Res < 0 {
			c.hangUp(cn)
			return
		}
		cn.lastUsed = c.now.Mono
		c.read(cn)
		c.armSweep()
		return
	}
	switch {
	case d.Res == -int32(syscall.ECANCELED) && cn.cancel:
		c.goQuiet(cn)
	case d.Res == -int32(syscall.EAGAIN) || d.Res == -int32(syscall.EINTR):
		c.read(cn)
	case d.Res < 0:
		c.hangUp(cn)
	case d.Res == 0:
		cn.ended = true
		c.dispatch(cn)
	default:
		cn.cancel = false
		cn.lastUsed = c.now.Mono
		cn.wr += int(d.Res)
		if cn.wr == len(cn.rx.Mem) && cn.rxSize < rxMax {
			cn.rxSize *= 2
		}
		c.dispatch(cn)
	}
}

// endWhenAnswered ends a connection whose client sends no more. What it asked before is
// answered first, as Kafka does: it may have closed one direction only. A fetch does not
// wait for more, since most such clients are gone.
func (c *Core) endWhenAnswered(cn *conn) {
	for s := cn.head; s != cn.tail; s++ {
		if a := cn.at(s); a.state == answerPending && a.fetch != nil {
			c.fetches.expired(c, a.fetch)
		}
	}
	if cn.rx != nil && cn.wr == cn.rd {
		c.releaseRx(cn.rx)
		cn.rx, cn.rd, cn.wr = nil, 0, 0
	}
	if cn.inFlight() == 0 && !cn.sending {
		c.hangUp(cn)
	}
}

// goQuiet gives the receive buffer of an idle connection back and waits with a poll.
func (c *Core) goQuiet(cn *conn) {
	cn.cancel = false
	if cn.wr > cn.rd {
		c.read(cn)
		return
	}
	if cn.rx != nil {
		c.releaseRx(cn.rx)
		cn.rx, cn.rd, cn.wr = nil, 0, 0
	}
	cn.rxSize = rxMin
	cn.reading = readPoll
	c.ops = append(c.ops, netio.Op{Kind: netio.OpPoll, Fd: cn.fd, Tag: cn.tag(tagRecv)})
}

// dispatch serves the whole frames at hand, in order, as far as they may overlap (I1),
// and then reads on.
func (c *Core) dispatch(cn *conn) {
	for cn.open() && cn.wr-cn.rd >= 4 && !c.stopping {
		b := cn.rx.Mem[cn.rd:cn.wr]
		size := int64(int32(binary.BigEndian.Uint32(b)))
		if size < minFrame || size > c.frameMax() {
			c.badFrame(cn, "frame size out of range")
			return
		}
		if int64(len(b)) < 4+size {
			cn.need = int(4 + size)
			break
		}
		cn.need = 0
		frame := b[4 : 4+size : 4+size]
		if !c.mayServe(cn, frame) {
			return
		}
		cn.rd += int(4 + size)
		cn.frame = int(4 + size)
		c.serve(cn, frame)
	}
	if cn.wr-cn.rd < 4 {
		cn.need = 0
	}
	c.read(cn)
}

// mayServe applies I1. A connection that must wait is looked at again when an answer
// is complete.
func (c *Core) mayServe(cn *conn, frame []byte) bool {
	if cn.inFlight() == 0 {
		return true
	}
	if cn.exclusive || cn.held || cn.inFlight() >= maxInFlight {
		return false
	}
	switch protocol.Key(binary.BigEndian.Uint16(frame)) {
	case protocol.Produce:
		return true
	case protocol.Fetch:
		return !cn.fetching
	}
	return false
}

// serve hands one frame to its API.
func (c *Core) serve(cn *conn, frame []byte) {
	h := &c.scratch.header
	body, err := h.Parse(frame)
	if err != nil {
		c.badFrame(cn, "malformed header")
		return
	}
	if h.Key < 0 || int(h.Key) >= len(c.apis) || c.apis[h.Key].serve == nil {
		c.badFrame(cn, "unknown api key")
		return
	}
	a := &c.apis[h.Key]
	if !protocol.VersionsOf(h.Key).Has(h.Version) && h.Key != protocol.ApiVersions {
		c.badFrame(cn, "unsupported version of "+h.Key.String())
		return
	}
	seq := cn.reserve(h.Key, c.now.Mono, len(frame)+4)
	if !a.overlaps {
		cn.exclusive = true
	}
	st := &c.stats.APIs[h.Key]
	st.Requests++
	st.BytesIn += uint64(len(frame) + 4)
	a.serve(c, cn, seq, h, body)
}

// badFrame closes a connection that sent what is no request; one line in the log, at a
// limited rate.
func (c *Core) badFrame(cn *conn, why string) {
	c.stats.BadFrames++
	c.faults.note(c.now.Mono, "closing connection", cn.host, why)
	c.hangUp(cn)
}
