package checker

type commitKey struct {
	group string
	place Place
}

// commits is what is known of one group's offset in one place. Offsets of one key are
// committed by one client, one after the other, and only grow.
type commits struct {
	intended map[int64]bool
	floor    int64 // the largest acknowledged or read; unknown before
}

func (h *History) commitsOf(group string, p Place) *commits {
	k := commitKey{group, p}
	c := h.commits[k]
	if c == nil {
		c = &commits{intended: map[int64]bool{}, floor: unknown}
		h.commits[k] = c
	}
	return c
}

// CommitIntend notes that a group's offset is about to be committed.
func (h *History) CommitIntend(group string, p Place, offset int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.commitsOf(group, p).intended[offset] = true
}

// CommitAck notes that the broker acknowledged a commit.
func (h *History) CommitAck(group string, p Place, offset int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := h.commitsOf(group, p)
	c.floor = max(c.floor, offset)
}

// CommitFloor gives what a fetch of the committed offset that begins now may not go
// below; -1 if nothing is owed.
func (h *History) CommitFloor(group string, p Place) int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.commitsOf(group, p).floor
}

// CommitRead notes that a group's offset was read as got (-1: none) by a fetch that
// began when the floor was floor.
func (h *History) CommitRead(group string, p Place, floor, got int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := h.commitsOf(group, p)
	switch {
	case got < floor:
		h.report(CommitBack, p, "group %s: offset %d, after %d was acknowledged or read", group,
			got, floor)
	case got >= 0 && !c.intended[got]:
		h.report(CommitMade, p, "group %s: offset %d was never committed", group, got)
	}
	c.floor = max(c.floor, got)
}
