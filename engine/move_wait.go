package engine

import "millrace/protocol"

// What a core with connections does while a partition moves from one core to another.

// moves is a core's part in it. There is one move at a time.
type moves struct {
	busy   bool   // core 0: a move is on its way
	number uint64 // core 0: of the last one
	out    *moveOut

	tp       protocol.TopicPartition // that is closed
	closed   bool
	produces []*produceTask  // wait for it to be opened, in order
	waiting  []func(c *Core) // and so do these
}

// closes says that nothing may begin on a partition.
func (m *moves) closes(tp protocol.TopicPartition) bool { return m.closed && m.tp == tp }

// closePlace lets no request begin on a partition; then is called when those are over that
// had begun.
func (c *Core) closePlace(tp protocol.TopicPartition, then func(c *Core)) {
	c.moves.tp, c.moves.closed = tp, true
	c.mark(tp, true, -1)
	c.produces.fence, c.produces.turned = then, false
	c.produces.pass(c)
}

// openPlace lets them begin again, on the core that has the partition now.
func (c *Core) openPlace(tp protocol.TopicPartition, core int) {
	m := &c.moves
	c.mark(tp, false, core)
	c.produces.fence = nil
	if !m.closes(tp) {
		return
	}
	m.closed = false
	produces, waiting := m.produces, m.waiting
	m.produces, m.waiting = nil, nil
	for _, t := range produces {
		c.goOn(t)
	}
	for _, begin := range waiting {
		begin(c)
	}
}

// mark notes where a partition is, as far as the topic is still there.
func (c *Core) mark(tp protocol.TopicPartition, closed bool, core int) {
	top := c.topics.byID[tp.Topic]
	if top == nil || int(tp.Partition) >= len(top.parts) {
		return
	}
	pl := &top.parts[tp.Partition]
	pl.closed = closed
	if core >= 0 {
		pl.core = core
	}
}

// holdProduce keeps a request until the partition is opened. Later ones of its connection
// wait behind it: they may name the same partitions.
func (c *Core) holdProduce(cn *conn, t *produceTask) {
	cn.held = true
	c.moves.produces = append(c.moves.produces, t)
}

// goOn starts a request that was held: its partitions may be elsewhere by now.
func (c *Core) goOn(t *produceTask) {
	if cn := c.conns.get(t.to.slot, t.to.gen); cn != nil {
		cn.held = false
		c.resume(cn)
	}
	for i := range t.shares {
		t.shares[i].used = false
	}
	for i := range t.parts {
		p := &t.parts[i]
		if p.core < 0 {
			continue
		}
		top := c.topics.byID[p.tp.Topic]
		if top == nil {
			p.core, p.code = -1, protocol.UnknownTopicOrPartition
			continue
		}
		core := top.parts[p.tp.Partition].core
		p.core = int32(core)
		t.shares[core].used = true
	}
	c.start(t)
}

// pass calls what waits for the requests that had begun. Tasks are counted by two ages in
// turn, so that those that begin meanwhile do not matter.
func (b *produceBook) pass(c *Core) {
	if b.fence == nil {
		return
	}
	if !b.turned && b.flying[1-b.age] == 0 {
		b.age, b.turned = 1-b.age, true
	}
	if b.turned && b.flying[1-b.age] == 0 {
		then := b.fence
		b.fence = nil
		then(c)
	}
}

// reach runs fn on the core that has a partition, when no move of it is on its way; with
// nil when it is gone.
func (c *Core) reach(tp protocol.TopicPartition, fn func(on *Core, p *partition)) {
	top := c.topics.byID[tp.Topic]
	switch {
	case c.moves.closes(tp):
		c.moves.waiting = append(c.moves.waiting, func(c *Core) { c.reach(tp, fn) })
	case top == nil || int(tp.Partition) >= len(top.parts):
		fn(c, nil)
	case top.parts[tp.Partition].core != c.id:
		c.call(top.parts[tp.Partition].core, func(on *Core) { on.reach(tp, fn) })
	default:
		fn(c, top.parts[tp.Partition].part)
	}
}

// hasMoved says of a partition that is not here that it is on another core, or on its way.
func (t *topicTable) hasMoved(tp protocol.TopicPartition) bool {
	top := t.byID[tp.Topic]
	return top != nil && tp.Partition >= 0 && int(tp.Partition) < len(top.parts)
}

// replan takes the shares of a fetch back that went where a partition is no more.
func (b *fetchBook) replan(c *Core, t *fetchTask) {
	t.state, t.recalled = fetchMoving, true
	home := c.id
	for i, s := range t.shares {
		switch {
		case s == nil || len(s.reads) == 0:
		case i == home:
			b.unpin(c, s)
		case s.lent:
			c.call(i, func(on *Core) {
				on.fetches.unpin(on, s)
				on.call(home, func(c *Core) { c.fetches.freed(c, s) })
			})
		}
	}
	if t.out == 0 {
		b.replanned(c, t)
	}
}

// replanned sends the fetch off again when its shares are home and no move is on its way.
func (b *fetchBook) replanned(c *Core, t *fetchTask) {
	t.recalled = false
	switch {
	case t.state == fetchDropped:
		b.finish(c, t)
	case c.moves.closed:
		t.recalled = true
		c.moves.waiting = append(c.moves.waiting, func(c *Core) { b.replanned(c, t) })
	default:
		t.items = t.items[:0]
		c.planFetch(t)
		b.gather(c, t)
	}
}
