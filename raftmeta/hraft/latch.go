package hraft

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"
)

// ErrPoisoned is under every answer after the first failed write.
var ErrPoisoned = errors.New("hraft: an earlier write failed")

// latch remembers the first failed write. After it nothing reaches the disk any more.
type latch struct {
	mu      sync.Mutex
	err     error
	fatal   func(error)
	failed  chan struct{} // closed with the first failure
	running atomic.Bool   // raft's goroutines are there
}

func newLatch(fatal func(error)) *latch {
	return &latch{fatal: fatal, failed: make(chan struct{})}
}

// hold keeps a failure from the library once its goroutines run: it would panic, and the
// process end with a stack instead of the reason. fatal has ended the process by then, or
// Open gives up.
func (l *latch) hold(err error) error {
	if err != nil && l.running.Load() {
		select {}
	}
	return err
}

// check says whether writing is still allowed.
func (l *latch) check() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// poison latches; the first caller ends the process.
func (l *latch) poison(what string, err error) error {
	l.mu.Lock()
	first := l.err == nil
	if first {
		l.err = fmt.Errorf("%w: %s: %w", ErrPoisoned, what, err)
		close(l.failed)
	}
	latched := l.err
	l.mu.Unlock()
	if first {
		l.fatal(latched)
	}
	return latched
}

// guard makes an error of a panic: the library that keeps term and vote panics over pages
// that are not what it wrote.
func guard(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", ErrDamaged, p)
		}
	}()
	return f()
}

// write runs one write under the latch.
func (l *latch) write(what string, f func() error) error {
	if err := l.check(); err != nil {
		return err
	}
	if err := guard(f); err != nil {
		return l.poison(what, err)
	}
	return l.check() // a background rotation may have failed meanwhile
}

// logStore is a raft.LogStore that does not live on after a failed write.
type logStore struct {
	raft.LogStore
	latch *latch
}

// GetLog reads an entry; one that cannot be read ends the process as well.
func (s logStore) GetLog(index uint64, e *raft.Log) error {
	err := s.LogStore.GetLog(index, e)
	if err == nil {
		err = unseal(index, e)
	}
	if err == nil || errors.Is(err, raft.ErrLogNotFound) {
		return err
	}
	return s.latch.hold(s.latch.poison("log read", err))
}

func (s logStore) StoreLog(e *raft.Log) error {
	return s.latch.write("log append", func() error { return s.LogStore.StoreLog(sealed(e)) })
}

func (s logStore) StoreLogs(list []*raft.Log) error {
	kept := make([]*raft.Log, len(list))
	for i, e := range list {
		kept[i] = sealed(e)
	}
	return s.latch.write("log append", func() error { return s.LogStore.StoreLogs(kept) })
}

func (s logStore) DeleteRange(from, to uint64) error {
	return s.latch.write("log truncation",
		func() error { return s.LogStore.DeleteRange(from, to) })
}

// IsMonotonic hands on what the store says of itself: raft-wal takes no gaps.
func (s logStore) IsMonotonic() bool {
	m, ok := s.LogStore.(raft.MonotonicLogStore)
	return ok && m.IsMonotonic()
}

// stableStore is the same for term and vote.
type stableStore struct {
	raft.StableStore
	latch *latch
}

func (s stableStore) Set(key, val []byte) error {
	return s.latch.hold(s.latch.write("stable store",
		func() error { return s.StableStore.Set(key, val) }))
}

func (s stableStore) SetUint64(key []byte, val uint64) error {
	return s.latch.hold(s.latch.write("stable store",
		func() error { return s.StableStore.SetUint64(key, val) }))
}
