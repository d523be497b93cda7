package engine

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"millrace/engine/group"
	"millrace/internal/clock"
	"millrace/internal/vfs"
	"millrace/protocol"
)

// Now and then a partition of __consumer_offsets is boiled down to a state file, so that a
// start replays little of its log. The file is made of the last one and of the log behind it,
// by helpers: the core only reads the log, a piece a turn.

const (
	// snapshotEach is how much log behind its state file a partition may have, beside the
	// size of that file: more would be written for it than for the log. The simulator has less.
	snapshotEach = 8 << 20
	// snapshotAll times as much is what all partitions of a core may have, beside a quarter of
	// their files: it is replayed in some tenths of a second.
	snapshotAll = 4
	// snapshotLeast: less than this part of it is not worth a file.
	snapshotLeast = 32
	// snapshotPause follows a failure for want of space.
	snapshotPause = clock.Instant(60_000_000_000)
)

// snapshots is what a core knows of the making of state files: one at a time.
type snapshots struct {
	since   int64 // bytes of log behind the files, of all partitions
	running bool
	retryAt clock.Instant
}

// making is a state file in the making.
type making struct {
	index int32
	own   *offsetsPart
	p     *partition
	coord *group.Coordinator // of when it began
	state *group.Digest      // of one helper at a time
	next  int64
	end   int64
	since int64 // bytes of log that it covers
}

// snapshot begins a state file when one is due.
func (g *groupBook) snapshot(c *Core) {
	s := &g.snaps
	each := c.cfg.snapshotEach
	if s.running || s.since < each || c.draining || c.now.Mono < s.retryAt {
		return
	}
	files := int64(0)
	best := int32(-1)
	for _, i := range slices.Sorted(maps.Keys(g.loaded)) {
		own := g.loaded[i]
		files += own.size
		if own.ready && own.since >= each/snapshotLeast && (best < 0 || own.since > g.loaded[best].since) {
			best = i
		}
	}
	if best < 0 {
		return
	}
	own := g.loaded[best]
	if own.since < each+own.size && s.since < each*snapshotAll+files/4 {
		return
	}
	p := g.partition(c, best)
	if p == nil || p.gone {
		return
	}
	s.running = true
	m := &making{index: best, own: own, p: p, coord: g.coord, end: p.log.Marks().High}
	g.begin(c, m)
}

// begin takes over what the present file has.
func (g *groupBook) begin(c *Core, m *making) {
	files, dir, own, index := c.cfg.FS, c.directory, m.own, m.index
	name, start := stateName(c.cfg.DataDir, own.topic, index), m.p.log.Marks().Start
	covered := own.covered
	c.work(func() any {
		st := group.NewDigest(own.topic, index)
		if covered == 0 {
			return st
		}
		b, err := files.ReadFile(name)
		if err != nil {
			return st
		}
		old, err := group.ReadDigest(b, dir, own.topic, index)
		if err != nil || old.End != covered {
			return st
		}
		for offset, key, value, ok := old.Next(); ok; offset, key, value, ok = old.Next() {
			if offset >= start {
				st.Apply(offset, key, value)
			}
		}
		st.End = covered
		return st
	}, func(c *Core, v any) {
		m.state = v.(*group.Digest)
		m.next = max(m.state.End, start)
		g.gather(c, m)
	})
}

// gather lets a helper take a piece of the log, then the next.
func (g *groupBook) gather(c *Core, m *making) {
	readPiece(c, m.p, m.next, m.end, func(c *Core, bytes []byte, ok bool) {
		switch {
		case m.p.gone || !ok || c.draining || g.coord != m.coord:
			g.snaps.running = false
		case len(bytes) == 0:
			g.write(c, m)
		default:
			m.since += int64(len(bytes))
			c.work(func() any { return eachRecord(bytes, m.end, m.state.Apply) }, func(c *Core, v any) {
				m.next = v.(int64)
				g.gather(c, m)
			})
		}
	})
}

// write makes the file, when all below its end is in it.
func (g *groupBook) write(c *Core, m *making) {
	files, dir, data := c.cfg.FS, c.directory, c.cfg.DataDir
	m.state.End = m.end
	st := m.state
	c.work(func() any {
		b := st.Encode(dir)
		if err := writeState(files, data, stateName(data, st.Topic, st.Partition), b); err != nil {
			return err
		}
		return int64(len(b))
	}, func(c *Core, v any) {
		g.snaps.running = false
		if err, failed := v.(error); failed {
			g.snapshotFailed(c, err)
			return
		}
		if g.loaded[m.index] != m.own {
			g.forgetState(c, m.own.topic, m.index, nil) // its topic was deleted meanwhile
			return
		}
		m.own.covered, m.own.size = m.end, v.(int64)
		m.own.since -= min(m.since, m.own.since)
		g.snaps.since -= min(m.since, g.snaps.since)
		g.snapshot(c)
	})
}

// snapshotFailed waits when there is no space; any other failed write is final, as in storage.
func (g *groupBook) snapshotFailed(c *Core, err error) {
	for _, passing := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EMFILE, syscall.ENFILE,
		syscall.ENOMEM} {
		if errors.Is(err, passing) {
			g.snaps.retryAt = c.now.Mono + snapshotPause
			c.cfg.Log.Warn("no state of committed offsets was written", "err", err)
			return
		}
	}
	if c.failed == nil {
		c.failed = fmt.Errorf("engine: state of committed offsets: %w", err)
		c.onFatal(c.failed)
	}
}

func writeState(files vfs.FS, data, name string, b []byte) error {
	if _, err := files.Stat(stateDir(data)); errors.Is(err, fs.ErrNotExist) {
		if err := files.MkdirAll(stateDir(data)); err != nil {
			return err
		}
		if err := files.SyncDir(data); err != nil {
			return err
		}
	}
	return files.WriteFile(name, b)
}

// forgetState removes a state file that speaks of another log than ours. then runs when it is
// gone for good.
func (g *groupBook) forgetState(c *Core, topic protocol.TopicID, index int32,
	then func(c *Core)) {
	files, data := c.cfg.FS, c.cfg.DataDir
	if own := g.loaded[index]; own != nil {
		g.snaps.since -= min(own.since, g.snaps.since)
		own.covered, own.size = 0, 0
	}
	c.work(func() any {
		err := files.Remove(stateName(data, topic, index))
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil {
			err = files.SyncDir(stateDir(data))
		}
		return err
	}, func(c *Core, v any) {
		if err, failed := v.(error); failed {
			g.snapshotFailed(c, err)
			return
		}
		if then != nil {
			then(c)
		}
	})
}

// forgetStates removes the state files of topics that are gone, before the cores run.
func (b *Broker) forgetStates() error {
	names, err := b.cfg.FS.List(stateDir(b.cfg.DataDir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("engine: %w", err)
	}
	keep := ""
	if t := b.quorum.Image().Topic(offsetsTopic); t != nil {
		keep = t.ID.String() + "-"
	}
	for _, name := range names {
		if keep != "" && strings.HasPrefix(name, keep) {
			continue
		}
		if err := b.cfg.FS.Remove(filepath.Join(stateDir(b.cfg.DataDir), name)); err != nil {
			return fmt.Errorf("engine: %w", err)
		}
	}
	return nil
}
