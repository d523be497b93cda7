package group

import "millrace/protocol"

// rebalanceOrComplete begins a rebalance, or ends the one under way if all have joined.
// The batch is the one that was written by it, if any.
func (g *group) rebalanceOrComplete(why string) *batch {
	if g.state != PreparingRebalance {
		return g.prepare(why)
	}
	return g.completeIfJoined()
}

// completeIfJoined ends PreparingRebalance when everybody is there. During the initial
// delay it waits: more members may come.
func (g *group) completeIfJoined() *batch {
	if g.state != PreparingRebalance || g.prev == Empty || !g.allJoined() {
		return nil
	}
	return g.complete()
}

// prepare begins a rebalance: all members are to join again.
func (g *group) prepare(why string) *batch {
	g.c.o.Log.Debug("group rebalances", "group", g.name, "state", g.state.String(),
		"generation", g.generation, "why", why)
	if g.state == CompletingRebalance {
		g.resetAssignment(protocol.RebalanceInProgress)
	}
	g.forgetSyncs()
	initial := g.state == Empty
	g.enter(PreparingRebalance)
	if initial {
		g.newcomer = false
		g.initialStarted = true
		g.initialDelay = g.c.o.InitialDelay
		g.initialLeft = max(g.rebalanceTimeout()-g.initialDelay, 0)
		g.c.arm(&g.joinTimer, g.initialDelay)
		return nil
	}
	g.initialStarted = false
	if g.allJoined() {
		return g.complete()
	}
	g.c.arm(&g.joinTimer, g.rebalanceTimeout())
	return nil
}

// joinTimeout ends the wait for members to join.
func (g *group) joinTimeout() {
	if g.initialStarted && g.newcomer && g.initialLeft > 0 {
		g.newcomer = false
		last := g.initialDelay
		g.initialDelay = min(g.c.o.InitialDelay, g.initialLeft)
		g.initialLeft = max(g.initialLeft-last, 0)
		g.c.arm(&g.joinTimer, g.initialDelay)
		return
	}
	g.complete()
}

// complete ends PreparingRebalance: whoever did not join is out, unless static, and the
// rest is the next generation.
func (g *group) complete() *batch {
	g.c.timers.cancel(&g.joinTimer)
	g.initialStarted = false
	for m := g.first; m != nil; {
		next := m.next
		if !m.join.on && m.instance == nil {
			g.remove(m)
		}
		m = next
	}
	if len(g.members) > 0 && !g.electJoined() {
		// Only static members are left and none came: they have until their sessions end.
		g.c.arm(&g.joinTimer, g.rebalanceTimeout())
		return nil
	}
	g.nextGeneration()
	if g.state == Empty {
		return g.c.append(g.home, []Record{g.record(nil)}, func(protocol.Code) {
			// If it fails, an older generation comes back with a restart, and times out.
		})
	}
	for m := g.first; m != nil; m = m.next {
		g.answerJoin(m, g.joined(m, m.join.version, g.leader == m.id))
		g.alive(m)
		m.isNew = false
		m.owesSync = true
		g.owing++
	}
	g.c.arm(&g.syncTimer, g.rebalanceTimeout())
	return nil
}

// electJoined sees to it that the leader is one that joined.
func (g *group) electJoined() bool {
	if leader := g.members[g.leader]; leader != nil && leader.join.on {
		return true
	}
	for m := g.first; m != nil; m = m.next {
		if m.join.on {
			g.leader = m.id
			return true
		}
	}
	return false
}

func (g *group) nextGeneration() {
	g.forgetSyncs()
	g.generation++
	if g.generation < 0 {
		g.generation = 1
	}
	g.protocol = nil
	if len(g.members) > 0 {
		name := g.selectProtocol()
		g.protocol = &name
		g.enter(CompletingRebalance)
	} else {
		g.enter(Empty)
	}
	g.learnTopics()
}

// forgetSyncs waits for no SyncGroup any more.
func (g *group) forgetSyncs() {
	g.c.timers.cancel(&g.syncTimer)
	if g.owing > 0 {
		for m := g.first; m != nil; m = m.next {
			m.owesSync = false
		}
		g.owing = 0
	}
}

// syncTimeout removes the members whose SyncGroup did not come in time.
func (g *group) syncTimeout() {
	for m := g.first; m != nil; {
		next := m.next
		if m.owesSync {
			g.remove(m)
		}
		m = next
	}
	g.prepare("members did not sync")
}

// sessionTimeout removes a member that was not heard of. One whose JoinGroup or SyncGroup
// waits is alive by that, unless it is new: nobody knows whether it still waits.
func (g *group) sessionTimeout(m *member) {
	if !m.isNew && (m.join.on || m.sync.on) {
		return // armed again when it is answered
	}
	g.c.o.Log.Debug("group member expired", "group", g.name, "member", m.id)
	g.remove(m)
	g.afterRemoval("a member's session expired")
}

// pendingTimeout forgets an id that nobody joined with.
func (g *group) pendingTimeout(m *member) {
	delete(g.pending, m.id)
	if g.state == PreparingRebalance && g.allJoined() {
		g.complete()
	}
}

func (g *group) afterRemoval(why string) {
	switch g.state {
	case Stable, CompletingRebalance:
		g.prepare(why)
	case PreparingRebalance:
		if g.allJoined() {
			g.complete()
		}
	}
}

// resetAssignment takes the assignments back and tells those who wait for one.
func (g *group) resetAssignment(code protocol.Code) {
	for m := g.first; m != nil; m = m.next {
		m.assignment = nil
	}
	for m := g.first; m != nil; m = m.next {
		if m.sync.on {
			g.failSync(m, code)
			g.alive(m)
		}
	}
}
