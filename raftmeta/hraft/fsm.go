package hraft

import (
	"fmt"
	"io"
	"sync/atomic"

	"github.com/hashicorp/raft"

	"millrace/raftmeta"
)

// fsm applies agreed entries to the image. raft calls it from one goroutine.
type fsm struct {
	image   atomic.Pointer[raftmeta.Image]
	onImage atomic.Pointer[func(*raftmeta.Image)] // nil while the log is replayed
	latch   *latch
}

var _ raft.BatchingFSM = (*fsm)(nil)

// Apply is for a single entry.
func (f *fsm) Apply(e *raft.Log) any { return f.ApplyBatch([]*raft.Log{e})[0] }

// ApplyBatch answers with an Outcome or an error per entry, after publishing the image that
// contains them all.
func (f *fsm) ApplyBatch(list []*raft.Log) []any {
	answers := make([]any, len(list))
	was := f.image.Load()
	m := was
	for i, e := range list {
		if e.Type != raft.LogCommand {
			continue
		}
		if err := f.latch.check(); err != nil {
			answers[i] = err
			continue
		}
		next, out, err := raftmeta.Apply(m, e.Index, e.Data)
		if err != nil { // this binary is too old, or the log is not ours
			answers[i] = f.latch.poison("apply", err)
			continue
		}
		m, answers[i] = next, out
	}
	if m != was {
		f.publish(m)
	}
	return answers
}

func (f *fsm) publish(m *raftmeta.Image) {
	f.image.Store(m)
	if on := f.onImage.Load(); on != nil {
		(*on)(m)
	}
}

// Snapshot costs nothing: the image never changes.
func (f *fsm) Snapshot() (raft.FSMSnapshot, error) { return snapshot{f.image.Load()}, nil }

// Restore replaces the image by a snapshot's.
func (f *fsm) Restore(from io.ReadCloser) error {
	defer func() { _ = from.Close() }()
	b, err := io.ReadAll(from)
	if err != nil {
		return fmt.Errorf("hraft: restore: %w", err)
	}
	m, err := raftmeta.DecodeImage(b)
	if err != nil {
		return fmt.Errorf("hraft: restore: %w", err)
	}
	f.publish(m)
	return nil
}

type snapshot struct{ image *raftmeta.Image }

func (s snapshot) Persist(to raft.SnapshotSink) error {
	if _, err := to.Write(raftmeta.EncodeImage(s.image)); err != nil {
		_ = to.Cancel()
		return fmt.Errorf("hraft: snapshot: %w", err)
	}
	return to.Close()
}

func (s snapshot) Release() {}
