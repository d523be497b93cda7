package main

import (
	"context"
	"errors"
	"fmt"

	"millrace/test/checker"
)

// power is a power loss under load, again and again on one disk. What was acknowledged
// with durability fsync is there afterwards.
func (t *trial) power(ctx context.Context) error {
	if t.mutant {
		return t.powerMutant(ctx)
	}
	return t.powerRun(ctx)
}

// powerMutant runs a build that leaves the sync out. The harness must find the loss, or
// recovery itself: a journal with a hole in it is refused.
func (t *trial) powerMutant(ctx context.Context) error {
	bin, err := build(ctx, t.scratch, mutantTag)
	if err != nil {
		return err
	}
	t.bin = bin
	err = t.powerRun(ctx)
	rounds := t.passed
	t.figure["rounds_until_caught"] = rounds + 1
	switch {
	case errors.Is(err, errSkipped):
		return err
	case t.blocksLost != 0 && (errors.Is(err, errNoStart) || lossFound(t.h.Check())):
		t.logf("the build without sync was caught in round %d:", rounds+1)
		if errors.Is(err, errNoStart) {
			t.finding("%v", err)
		}
		for _, f := range t.findings[:min(3, len(t.findings))] {
			t.logf("  %s", f)
		}
		t.findings, t.passed, t.rounds = nil, 1, 1
		return nil
	case err != nil:
		return err
	}
	t.findings, t.passed = nil, 0
	t.finding("the build without sync was not caught in %d power losses", t.rounds)
	return nil
}

const mutantTag = "mutant_nosync"

// lossFound tells whether records or commits are gone.
func lossFound(found []checker.Anomaly) bool {
	for _, a := range found {
		switch a.Kind {
		case checker.Lost, checker.Vanished, checker.Changed, checker.Misplaced, checker.CommitBack:
			return true
		}
	}
	return false
}

// powerRun gives each filesystem its share of the rounds.
func (t *trial) powerRun(ctx context.Context) error {
	t.figure["device"] = t.device
	return t.onEachFS(ctx, t.powerOn)
}

func (t *trial) powerOn(ctx context.Context, kind string, rounds int) error {
	m, err := t.machine(ctx, diskKind{kind, t.device == "volatile", imageBase + int64(rounds)*imagePerRound})
	if err != nil {
		return err
	}
	b, err := newBroker(t.bin, t.scratch, t.durability, smallest...)
	if err != nil {
		return err
	}
	b.data = m.mount + "/data"
	w, err := t.open(ctx, b)
	if err != nil {
		return err
	}
	defer w.figures()
	defer func() { t.blocksLost += m.losses; t.note("blocks_lost", m.losses) }()
	for round := 1; round <= rounds; round++ {
		if err := w.powerOnce(ctx, m, round); err != nil {
			return fmt.Errorf("%s, round %d: %w", kind, round, err)
		}
		if !t.judged(fmt.Sprintf("%s, round %d", kind, round), t.h.Anomalies()) {
			return errors.New("chaos: ended at the first finding")
		}
		t.passed++
	}
	return w.finish(ctx, rounds)
}

func (w *world) powerOnce(ctx context.Context, m *machine, round int) error {
	waiting, err := w.strike(ctx)
	if err != nil {
		return err
	}
	if err := w.b.gone(); err != nil {
		return err
	}
	lost, err := m.powerOff(w.t.rng)
	if err != nil {
		return err
	}
	w.b.end() // it may have left: its disk is gone
	if err := m.clear(); err != nil {
		return err
	}
	if err := m.powerOn(); err != nil {
		return err
	}
	l := w.t.life(round)
	if err := w.b.start(ctx, l); err != nil {
		return err
	}
	w.t.detail("%s, round %d: %s, %d records on their way, %d blocks lost, ready in %s",
		m.kind.fs, round, l, waiting,
		lost, w.b.starts[len(w.b.starts)-1].Round(1e6))
	if err := w.errors(); err != nil {
		return err
	}
	return w.back(ctx, round)
}
