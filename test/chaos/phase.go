package main

import (
	"context"
	"errors"

	"millrace/test/checker"
)

// filesystems are those that a fault of the disk is shown on.
func (t *trial) filesystems() []string {
	if t.fs == "both" || t.fs == "" {
		return []string{"ext4", "xfs"}
	}
	return []string{t.fs}
}

// onEachFS gives each filesystem its share of the rounds, a history of its own, and
// takes everything away behind it. One that cannot be had here is left out and noted.
func (t *trial) onEachFS(ctx context.Context,
	run func(ctx context.Context, fs string, rounds int) error) error {
	list := t.filesystems()
	var skipped error
	done := 0
	for i, fs := range list {
		rounds := (t.rounds + len(list) - 1 - i) / len(list)
		if rounds == 0 {
			continue
		}
		err := t.phase(fs, func() error { return run(ctx, fs, rounds) })
		switch {
		case errors.Is(err, errSkipped):
			t.note("skipped", err.Error())
			t.logf("%s: %v", fs, err)
			skipped = err
		case err != nil:
			return err
		default:
			done++
		}
	}
	if done == 0 {
		return skipped
	}
	return nil
}

// phase runs a part of a trial whose figures carry a tag.
func (t *trial) phase(tag string, run func() error) error {
	mark := len(t.undo)
	t.tag = tag
	t.newHistory()
	err := run()
	for len(t.undo) > mark && (err == nil || !t.keep) {
		t.undone()
	}
	t.tag = ""
	return err
}

// newHistory closes the books of the one so far.
func (t *trial) newHistory() {
	sent, acked, reads := t.h.Counts()
	for i, n := range []int{sent, acked, reads} {
		t.before[i] += n
	}
	t.h = checker.New()
}

// note is a figure, under the phase's tag.
func (t *trial) note(name string, value any) {
	if t.tag != "" {
		name += "_" + t.tag
	}
	t.figure[name] = value
}

// machine makes a filesystem and mounts it; it goes with the phase.
func (t *trial) machine(ctx context.Context, kind diskKind) (*machine, error) {
	m, err := newMachine(ctx, t.scratch, kind)
	if err != nil {
		return nil, err
	}
	t.later(func() {
		if err := m.clear(); err != nil {
			t.logf("%v", err)
		}
	})
	return m, m.powerOn()
}
