package engine

import (
	"errors"
	"time"

	"millrace/internal/arena"
	"millrace/segment"
)

// Stepped is a broker whose cores somebody else drives, a turn at a time and in one
// goroutine: the simulator. It has no threads, rings and sockets of its own.
type Stepped struct{ b *Broker }

// Seams is what a stepped broker gets in place of a kernel.
type Seams struct {
	Bound []Listener                            // with the ports that clients connect to
	Fds   []int32                               // their listening sockets
	Wake  func(core int)                        // an event was posted for that core
	Addrs func(fd int32) (local, remote string) // of a connected socket
}

// Assemble opens the data directory and builds the cores, as Start does. The first
// turns install the image and accept connections.
func Assemble(cfg Config, open OpenQuorum, s Seams) (*Stepped, error) {
	cfg.serial, cfg.snapshotEach = true, 512
	b := &Broker{
		cfg: cfg, started: time.Now(), fatal: make(chan error, 1), bound: s.Bound, fds: s.Fds,
		ready: make(chan struct{}), jobs: newJobPool(0),
	}
	steps := []func() error{
		b.openDir, func() error { return b.openQuorum(open) }, b.openStorage, b.register, b.purge,
	}
	for _, step := range steps {
		if err := step(); err != nil {
			b.fds = nil // the caller's
			err = errors.Join(err, b.release())
			for _, p := range b.pools {
				p.Abandon()
			}
			return nil, err
		}
	}
	b.buildCores(s.Wake, s.Addrs)
	close(b.ready)
	return &Stepped{b}, nil
}

// Cores are to be stepped: Gather, then Step.
func (s *Stepped) Cores() []*Core { return s.b.cores }

// Pools are the cores' memory.
func (s *Stepped) Pools() []*arena.Pool { return s.b.pools }

// Shards are the cores' storage.
func (s *Stepped) Shards() []*segment.Shard { return s.b.shards }

// Settled says that no core waits for another one or for a cold read, and none holds memory
// of an answer: what a stop need not wait for.
func (s *Stepped) Settled() bool {
	for _, c := range s.b.cores {
		if c.traveling.Load() > 0 || len(c.fetches.cold) > 0 || c.fetches.pinned > 0 {
			return false
		}
	}
	return true
}

// Err is the failure that latched, nil while there is none.
func (s *Stepped) Err() error {
	if e := s.b.latched.Load(); e != nil {
		return *e
	}
	return nil
}

// Move brings a partition to another core; done runs in a turn of core 0.
func (s *Stepped) Move(topic string, partition int32, core int, done func(err error)) {
	s.b.cores[0].inbox.Post(func(c *Core) { c.requestMove(topic, partition, core, done) })
}

// Stop begins a clean end. Cores are stepped on until they have ended; then Close.
func (s *Stepped) Stop() {
	for _, c := range s.b.cores {
		c.inbox.Post(func(c *Core) { c.stop() })
	}
}

// Close closes what is open.
func (s *Stepped) Close() error { return s.b.release() }

// Ended says whether the core needs no further turn.
func (c *Core) Ended() bool { return c.ended() }

// JobDone hands the result of an Output's job back.
func (c *Core) JobDone(j Job, v any) { c.inbox.Post(func(c *Core) { j.Then(c, v) }) }
