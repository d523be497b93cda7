package engine

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strconv"

	"millrace/engine/group"
	"millrace/internal/clock"
	"millrace/protocol"
	"millrace/protocol/batch"
	"millrace/segment"
)

// Loading a partition of __consumer_offsets: its state file, if there is one that can be
// believed, then the log behind it, a piece a turn.

// offsetsPart is one partition of __consumer_offsets on the core that owns it.
type offsetsPart struct {
	topic   protocol.TopicID
	covered int64 // its state file has all records below this offset
	size    int64 // of that file, 0: there is none
	since   int64 // bytes of log behind it
	ready   bool  // loaded
}

const (
	// loadPiece is how much of a partition is replayed in one turn.
	loadPiece = 1 << 20
	// statePiece is how much of a state file is taken in one turn.
	statePiece = 256 << 10
)

// stateName is the file with the state of a partition of __consumer_offsets.
func stateName(dir string, topic protocol.TopicID, index int32) string {
	return filepath.Join(stateDir(dir), topic.String()+"-"+strconv.Itoa(int(index)))
}

func stateDir(dir string) string { return filepath.Join(dir, "groups") }

// install starts to load partitions of __consumer_offsets that are new on this core.
func (g *groupBook) install(c *Core) {
	top := c.topics.byName[offsetsTopic]
	if top == nil {
		g.parts = 0
		return
	}
	if n := int32(len(top.parts)); g.parts == 0 && len(g.loaded) == 0 && n != c.cfg.OffsetsPartitions {
		g.coord = g.newCoordinator(c, n) // the topic was made with another count
	}
	if g.parts == 0 {
		g.parts = int32(len(top.parts))
	}
	for i := range g.parts {
		if p := top.parts[i].part; p != nil && g.loaded[i] == nil {
			own := &offsetsPart{topic: top.meta.ID}
			g.loaded[i] = own
			g.coord.Loading(i)
			g.readState(c, i, own, p)
		}
	}
}

// readState reads and checks the state file.
func (g *groupBook) readState(c *Core, index int32, own *offsetsPart, p *partition) {
	type result struct {
		state group.Stored
		size  int
		err   error
	}
	files, name, dir := c.cfg.FS, stateName(c.cfg.DataDir, own.topic, index), c.directory
	c.work(func() any {
		b, err := files.ReadFile(name)
		if err != nil {
			return result{err: err}
		}
		st, err := group.ReadDigest(b, dir, own.topic, index)
		return result{st, len(b), err}
	}, func(c *Core, v any) {
		r := v.(result)
		if p.gone {
			return // another log may be loading under this index by now
		}
		m := p.log.Marks()
		anew := func(c *Core) { g.load(c, index, p, p.log.Marks().Start) }
		switch {
		case errors.Is(r.err, fs.ErrNotExist):
		case r.err != nil:
			c.cfg.Log.Warn("the state of committed offsets is rebuilt from their log",
				"partition", index, "file", name, "err", r.err)
			g.forgetState(c, own.topic, index, anew)
			return
		case r.state.End > m.High:
			// A power loss took what was not durable. The file must go before new records get
			// the offsets that it speaks of.
			c.cfg.Log.Warn("the state of committed offsets is ahead of their log: rebuilt",
				"partition", index, "state", r.state.End, "log", m.High)
			g.forgetState(c, own.topic, index, anew)
			return
		default:
			own.covered, own.size = r.state.End, int64(r.size)
			g.loadState(c, index, p, r.state)
			return
		}
		anew(c)
	})
}

// loadState feeds a piece of the state file to the coordinator. Of records below the log's
// start nothing is known any more, as after a replay of the log.
func (g *groupBook) loadState(c *Core, index int32, p *partition, st group.Stored) {
	if p.gone {
		return
	}
	start := p.log.Marks().Start
	for until := st.Left() - statePiece; st.Left() > 0 && st.Left() > until; {
		offset, key, value, ok := st.Next()
		if !ok {
			break
		}
		if offset >= start {
			g.coord.Load(index, key, value)
		}
	}
	if st.Left() > 0 {
		c.inbox.Post(func(c *Core) { g.loadState(c, index, p, st) })
		return
	}
	g.load(c, index, p, max(st.End, start))
}

// load replays a partition from offset on, a piece a turn.
func (g *groupBook) load(c *Core, index int32, p *partition, offset int64) {
	readPiece(c, p, offset, p.log.Marks().High, func(c *Core, bytes []byte, ok bool) {
		switch {
		case p.gone: // the topic was deleted, and the coordinator told so
		case !ok:
			c.timers.after(c.now.Mono+readAgain, func(c *Core) { g.load(c, index, p, offset) })
		case len(bytes) == 0:
			g.loadDone(c, index)
		default:
			g.replay(c, index, p, bytes)
		}
	})
}

// replay feeds whole batches to the coordinator and goes on behind them.
func (g *groupBook) replay(c *Core, index int32, p *partition, bytes []byte) {
	own := g.loaded[index]
	own.since += int64(len(bytes))
	g.snaps.since += int64(len(bytes))
	next := eachRecord(bytes, p.log.Marks().High, func(_ int64, key, value []byte) {
		g.coord.Load(index, key, value)
	})
	g.load(c, index, p, next)
}

func (g *groupBook) loadDone(c *Core, index int32) {
	g.loaded[index].ready = true
	g.coord.LoadDone(c.now, index, &g.fx)
	g.run(c)
	g.snapshot(c)
}

// readAgain is the pause before bytes are read once more that could not be.
const readAgain = clock.Instant(1_000_000_000)

// readPiece reads whole batches from offset on, below end. then gets its own copy of them in
// a later turn; nothing when there is none left; ok is false when they cannot be read.
func readPiece(c *Core, p *partition, offset, end int64,
	then func(c *Core, bytes []byte, ok bool)) {
	m := p.log.Marks()
	offset, end = max(offset, m.Start), min(end, m.High)
	if p.gone || offset >= end {
		c.inbox.Post(func(c *Core) { then(c, nil, true) })
		return
	}
	exts, where := p.log.Locate(offset, end, loadPiece, true, nil)
	switch where {
	case segment.InMemory:
		var bytes []byte
		for _, e := range exts {
			bytes = append(bytes, e.Mem...)
			c.pool.Release(e.Buf)
		}
		c.inbox.Post(func(c *Core) { then(c, bytes, true) })
	case segment.Cold:
		c.fetches.finds[c.shard.Read(p.log, offset, end, loadPiece)] = func(c *Core, r segment.Result) {
			if len(r.Extents) == 0 {
				if !p.gone {
					c.cfg.Log.Error("committed offsets cannot be read", "partition", p.tp.Partition,
						"offset", offset, "code", r.Code.String())
				}
				then(c, nil, false)
				return
			}
			var bytes []byte
			for _, e := range r.Extents {
				bytes = append(bytes, e.Mem...)
				c.pool.Release(e.Buf)
			}
			then(c, bytes, true)
		}
	default:
		c.inbox.Post(func(c *Core) { then(c, nil, true) })
	}
}

// eachRecord calls f for every record of whole batches and returns the offset behind them, or
// end when there is none to go on from.
func eachRecord(bytes []byte, end int64, f func(offset int64, key, value []byte)) (next int64) {
	next = end
	for len(bytes) > 0 {
		v, rest, err := batch.Next(bytes)
		if err != nil {
			break
		}
		bytes, next = rest, v.NextOffset()
		if v.IsControl() {
			continue
		}
		plain := v.RecordBytes()
		if v.Codec() != batch.None {
			if plain, err = v.Inflate(nil, inflateMost); err != nil {
				continue
			}
		}
		for it := v.Records(plain); it.Next(); {
			f(it.Record.Offset, it.Record.Key, it.Record.Value)
		}
	}
	return next
}
