package bench

import (
	"context"
	"time"

	"golang.org/x/sys/unix"
)

// Start starts the broker and waits until it answers.
func (c *Contestant) Start(ctx context.Context) error { return c.start(ctx) }

// Stop ends the broker, if it was started.
func (c *Contestant) Stop() error { return c.stop() }

// Addr is where it listens, once it has started.
func (c *Contestant) Addr() string { return c.addr }

// Pid is its process, once it has started.
func (c *Contestant) Pid() int { return c.pid }

// Rest lets deleted files go for a pause, syncs, and waits until the disks are idle (B2), at most
// for as long as patience.
func Rest(pause, patience time.Duration) {
	time.Sleep(pause)
	unix.Sync()
	awaitDisks(disksRest, patience)
}
