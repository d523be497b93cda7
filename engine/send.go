package engine

import (
	"syscall"

	"millrace/internal/invariant"
	"millrace/netio"
	"millrace/protocol"
)

// sendMax bounds the bytes of one gathered send, so that one slow reader does not hold
// a whole response of many megabytes in one operation.
const sendMax = 4 << 20

// answerTo is what a handler needs to answer later: the connection may be gone by then.
type answerTo struct {
	slot, gen uint32
	seq       uint32
}

func (cn *conn) to(seq uint32) answerTo { return answerTo{cn.slot, cn.gen, seq} }

// pendingAnswer finds the slot again; nil when the connection is gone.
func (c *Core) pendingAnswer(to answerTo) (*conn, *answer) {
	cn := c.conns.get(to.slot, to.gen)
	if cn == nil || cn.closing {
		return nil, nil
	}
	return cn, cn.at(to.seq)
}

// answerReady marks an answer as ready to be sent.
func (c *Core) answerReady(cn *conn, a *answer, state answerState) {
	a.state = state
	if st := &c.stats.APIs[a.key]; true {
		st.BytesOut += uint64(a.size)
		if a.failed {
			st.Errors++
		}
		st.Latency.Observe(int64(c.now.Mono-a.started) / 1000)
	}
	cn.exclusive = false // if it was, this is the only one outstanding
	if a.key == protocol.Fetch {
		cn.fetching = false
	}
	if !cn.dirty {
		cn.dirty = true
		c.dirty = append(c.dirty, cn)
	}
	c.resume(cn)
}

// resume looks at the connection's next frames again at the end of the turn.
func (c *Core) resume(cn *conn) {
	if cn.wr > cn.rd || cn.reading == readNone {
		if !cn.ready {
			cn.ready = true
			c.ready = append(c.ready, cn)
		}
	}
}

// reply sends bytes that are not yet in off-heap memory.
func (c *Core) reply(to answerTo, frame []byte, failed bool) {
	cn, a := c.pendingAnswer(to)
	if cn == nil {
		return
	}
	invariant.Check(a.state == answerPending) // I4
	b := c.memory(len(frame))
	if b == nil {
		c.noMemory(cn)
		return
	}
	a.buf, a.mem = b, b.Mem[:copy(b.Mem, frame)]
	a.size, a.failed = len(frame), failed
	c.answerReady(cn, a, answerReady)
}

// flush starts one send for every connection that has answers in order.
func (c *Core) flush() {
	for i, cn := range c.dirty {
		c.dirty[i] = nil
		cn.dirty = false
		if cn.open() && !cn.sending {
			c.send(cn)
		}
	}
	c.dirty = c.dirty[:0]
}

// send gathers the ready answers from the head on.
func (c *Core) send(cn *conn) {
	if cn.pieceAt == len(cn.pieces) {
		c.lineUp(cn)
	}
	left := cn.pieces[cn.pieceAt:]
	if len(left) == 0 {
		return
	}
	if len(left) > netio.MaxVec {
		left = left[:netio.MaxVec]
	}
	bytes := uint64(0)
	for i := range left {
		bytes += left[i].Len
		if bytes >= sendMax {
			left = left[:i+1]
			break
		}
	}
	cn.sending = true
	c.ops = append(c.ops, netio.Op{Kind: netio.OpSend, Fd: cn.fd, Tag: cn.tag(tagSend), Vec: left})
}

// lineUp turns ready answers into pieces.
func (c *Core) lineUp(cn *conn) {
	cn.pieces, cn.pieceAt = cn.pieces[:0], 0
	for cn.queued = cn.head; cn.queued != cn.tail; cn.queued++ {
		a := cn.at(cn.queued)
		if a.state == answerPending {
			break
		}
		if a.state == answerSilent {
			if cn.queued == cn.head {
				c.dropAnswer(a)
				cn.head++
				c.resume(cn)
			}
			continue
		}
		if a.fetch != nil {
			cn.pieces = a.fetch.pieces(cn.pieces, a.mem)
			continue
		}
		cn.pieces = append(cn.pieces, piece(a.mem))
	}
}

func piece(mem []byte) netio.Vec { return netio.Vec{Base: &mem[0], Len: uint64(len(mem))} }

// sent handles the end of a send: whole answers are dropped, a rest is sent again.
func (c *Core) sent(d *netio.Completion) {
	cn := c.conns.find(d.Tag)
	if cn == nil {
		return
	}
	cn.sending = false
	if cn.closing {
		c.reap(cn)
		return
	}
	if d.Res < 0 {
		if d.Res != -int32(syscall.EAGAIN) && d.Res != -int32(syscall.EINTR) {
			c.hangUp(cn)
			return
		}
		d.Res = 0
	}
	cn.lastUsed = c.now.Mono
	c.advancePieces(cn, int(d.Res))
	cn.sentOf += int(d.Res)
	for cn.head != cn.queued {
		a := cn.at(cn.head)
		if a.state == answerReady && cn.sentOf < a.size {
			break
		}
		if a.state == answerReady {
			cn.sentOf -= a.size
		}
		c.dropAnswer(a)
		cn.head++
	}
	c.send(cn)
	if cn.inFlight() < maxInFlight {
		c.resume(cn)
	}
}

// advancePieces takes n sent bytes off the front.
func (c *Core) advancePieces(cn *conn, n int) {
	for n > 0 {
		p := &cn.pieces[cn.pieceAt]
		if uint64(n) < p.Len {
			p.Base = advance(p.Base, n)
			p.Len -= uint64(n)
			return
		}
		n -= int(p.Len)
		cn.pieceAt++
	}
}

// silent completes a request that wants no answer (acks=0).
func (c *Core) silent(cn *conn, a *answer) { c.answerReady(cn, a, answerSilent) }
