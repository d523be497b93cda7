package raftmeta

import (
	"sync"
	"sync/atomic"
)

// Local is a Quorum of one in memory: a list instead of an agreement. Propose applies and
// answers before it returns, so that a simulation stays deterministic.
type Local struct {
	mu      sync.Mutex
	log     [][]byte
	image   atomic.Pointer[Image]
	onImage func(*Image)
	closed  bool
}

// NewLocal starts from m (nil: Empty). onImage may be nil; it is called in order after every
// applied command and before its done.
func NewLocal(m *Image, onImage func(*Image)) *Local {
	if m == nil {
		m = Empty()
	}
	l := &Local{onImage: onImage}
	l.image.Store(m)
	return l
}

// Propose applies cmd at once. Do not call it from onImage or done.
func (l *Local) Propose(cmd Command, done func(Outcome, error)) {
	out, err := l.propose(cmd)
	done(out, err)
}

func (l *Local) propose(cmd Command) (Outcome, error) {
	b, err := Encode(cmd)
	if err != nil {
		return Outcome{}, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return Outcome{}, ErrClosed
	}
	m := l.image.Load()
	next, out, err := Apply(m, m.Index()+1, b)
	if err != nil {
		return Outcome{}, err
	}
	l.log = append(l.log, b)
	l.image.Store(next)
	if l.onImage != nil {
		l.onImage(next)
	}
	return out, nil
}

// Image is the newest image.
func (l *Local) Image() *Image { return l.image.Load() }

// Log is the agreed list so far: replaying it over the first image gives Image.
func (l *Local) Log() [][]byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.log[:len(l.log):len(l.log)]
}

// Close refuses further proposals.
func (l *Local) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	return nil
}
