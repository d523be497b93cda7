package main

import (
	"errors"
	"fmt"
	"sync/atomic"

	"millrace/engine"
	"millrace/internal/admin"
	"millrace/internal/admin/status"

	"golang.org/x/sys/unix"
)

// source is the admin server's view of a broker that is not there yet, serves, or stops.
type source struct {
	broker   atomic.Pointer[engine.Broker]
	stopping atomic.Bool
}

var (
	errStarting = errors.New("starting: recovering the data directory")
	errStopping = errors.New("stopping")
)

// Ready implements status.Source.
func (s *source) Ready() error {
	switch {
	case s.stopping.Load():
		return errStopping
	case s.broker.Load() == nil:
		return errStarting
	}
	return s.broker.Load().Ready()
}

// Healthy implements status.Source.
func (s *source) Healthy() error {
	if b := s.broker.Load(); b != nil {
		return b.Healthy()
	}
	return nil
}

// Snapshot implements status.Source.
func (s *source) Snapshot() (*status.Snapshot, error) {
	if err := s.Ready(); err != nil {
		return nil, err
	}
	snap, err := s.broker.Load().Snapshot()
	if err != nil {
		return nil, err
	}
	var fs unix.Statfs_t
	if unix.Statfs(snap.Broker.DataDir, &fs) == nil {
		snap.Broker.DiskTotal = int64(fs.Blocks) * fs.Bsize
	}
	return snap, nil
}

// Move implements admin.Mover.
func (s *source) Move(topic string, partition int32, core int) error {
	if err := s.Ready(); err != nil {
		return err
	}
	err := s.broker.Load().Move(topic, partition, core)
	switch {
	case errors.Is(err, engine.ErrNoPartition), errors.Is(err, engine.ErrNoCore):
		return fmt.Errorf("%w: %w", admin.ErrNotThere, err)
	case errors.Is(err, engine.ErrMoving), errors.Is(err, engine.ErrStaysPut),
		errors.Is(err, engine.ErrMoveFailed):
		return fmt.Errorf("%w: %w", admin.ErrNotNow, err)
	}
	return err
}
