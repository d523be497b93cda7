package sim

import (
	"time"

	"millrace/raftmeta"
)

// quorum is the agreed image: a list instead of raft. Proposals take time, and a
// crash may come before or after they are agreed on.
type quorum struct {
	b       *brokerRun
	onImage func(*raftmeta.Image)
	now     bool // answer before Propose returns: while the broker starts
	closed  bool
}

func (q *quorum) open(_ string, onImage func(*raftmeta.Image), _ func(error)) (raftmeta.Quorum, error) {
	q.onImage = onImage
	return q, nil
}

// Propose agrees on cmd after a while.
func (q *quorum) Propose(cmd raftmeta.Command, done func(raftmeta.Outcome, error)) {
	if c, ok := cmd.(raftmeta.CreateTopics); ok {
		for i := range c.Topics { // ids come from the system's chance
			c.Topics[i].ID = q.b.newID()
		}
	}
	if q.now {
		done(q.apply(cmd))
		return
	}
	w := q.b.w
	w.After(w.around(time.Millisecond), func() {
		out, err := q.apply(cmd)
		w.After(w.around(time.Millisecond), func() { done(out, err) })
	})
}

func (q *quorum) apply(cmd raftmeta.Command) (raftmeta.Outcome, error) {
	if q.closed {
		return raftmeta.Outcome{}, raftmeta.ErrClosed
	}
	raw, err := raftmeta.Encode(cmd)
	if err != nil {
		return raftmeta.Outcome{}, err
	}
	next, out, err := raftmeta.Apply(q.b.image, q.b.image.Index()+1, raw)
	if err != nil {
		return raftmeta.Outcome{}, err
	}
	q.b.image = next
	q.onImage(next)
	return out, nil
}

func (q *quorum) Image() *raftmeta.Image { return q.b.image }

func (q *quorum) Close() error {
	q.closed = true
	return nil
}

var _ raftmeta.Quorum = (*quorum)(nil)
