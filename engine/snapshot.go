package engine

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"millrace/internal/admin/status"
	"millrace/protocol"
)

// snapshotWait is how long the admin server waits for the cores.
const snapshotWait = time.Second

// Ready is nil once clients are served.
func (b *Broker) Ready() error {
	select {
	case <-b.ready:
		return nil
	default:
		return errors.New("starting")
	}
}

// Healthy is nil until a failure latched.
func (b *Broker) Healthy() error {
	if err := b.latched.Load(); err != nil {
		return *err
	}
	return nil
}

// Snapshot copies the figures of every core.
func (b *Broker) Snapshot() (*status.Snapshot, error) {
	type answer struct {
		core   status.Core
		parts  []status.Partition
		groups []status.Group
	}
	ch := make(chan answer, len(b.cores))
	for _, c := range b.cores {
		c.inbox.Post(func(c *Core) {
			ch <- answer{c.figures(), c.partitionFigures(), c.groupFigures()} // buffered: never blocks
		})
	}
	s := &status.Snapshot{Broker: b.figures()}
	timeout := time.After(snapshotWait)
	for range b.cores {
		select {
		case a := <-ch:
			s.Cores = append(s.Cores, a.core)
			s.Partitions = append(s.Partitions, a.parts...)
			s.Groups = append(s.Groups, a.groups...)
		case <-timeout:
			return nil, errors.New("engine: a core does not answer")
		}
	}
	slices.SortFunc(s.Cores, func(a, b status.Core) int { return a.Index - b.Index })
	slices.SortFunc(s.Partitions, func(a, b status.Partition) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
	slices.SortFunc(s.Groups, func(a, b status.Group) int { return cmp.Compare(a.Name, b.Name) })
	b.fillLag(s)
	return s, nil
}

func (b *Broker) figures() status.Broker {
	img := b.quorum.Image()
	free, _ := b.cfg.FS.Free(b.cfg.DataDir)
	st := status.Broker{
		Version: b.cfg.Version, ClusterID: img.ClusterID(), NodeID: b.cfg.NodeID, Started: b.started,
		IO: b.io, Durability: b.cfg.Durability.String(), DataDir: b.cfg.DataDir, Controller: true,
		Brokers: len(img.Brokers()), Topics: img.TopicCount(), ImageIndex: int64(img.Index()),
		DiskFree: free,
	}
	for _, l := range b.bound {
		st.Listeners = append(st.Listeners, l.Name+"://"+l.Bind)
	}
	return st
}

// figures is a copy of the core's counters, and what is true now.
func (c *Core) figures() status.Core {
	s := c.stats
	s.APIs = slices.Clone(s.APIs)
	s.Connections = c.conns.live
	s.PausedReads = len(c.starved)
	s.ParkedFetches = c.fetches.parked
	s.PinnedBytes = int64(c.fetches.pinned)
	s.ArenaBytes, s.ArenaLimit = c.pool.Held(), c.pool.Budget()
	if c.shard == nil {
		return s
	}
	st := c.shard.Stats()
	s.JournalBytes, s.Commits, s.TwoSteps = st.CommitBytes, st.Commits, st.TwoSteps
	s.CommitSize, s.CommitLatency = st.CommitSize, st.CommitTime
	s.SegmentBytes = st.Flushed
	s.JournalBacklog, s.JournalLimit = st.JournalUsed, st.JournalTotal
	s.CacheBytes, s.CacheLimit = st.CacheBytes, c.cfg.CacheBytes/int64(c.cfg.Journals)
	s.Partitions = st.Logs
	cl := &st.Cleaner
	s.Cleaner = status.Cleaner{
		Runs: cl.Runs, Failed: cl.Failed, Swaps: cl.Swaps, ReadBytes: cl.ReadBytes,
		WrittenBytes: cl.WrittenBytes, RecordsIn: cl.RecordsIn, RecordsOut: cl.RecordsOut,
		MaxDirtyRatio: cl.MaxRatio, LastMillis: cl.LastMillis, Uncleanable: cl.Uncleanable,
		Running: cl.Running,
	}
	return s
}

func (c *Core) partitionFigures() []status.Partition {
	var list []status.Partition
	for _, p := range c.topics.parts {
		if p == nil {
			continue
		}
		m := p.log.Marks()
		meta := &p.topic.meta.Partitions[p.tp.Partition]
		list = append(list, status.Partition{
			Topic: p.topic.meta.Name, Partition: p.tp.Partition, Internal: p.topic.meta.Internal,
			Core: c.id, Leader: meta.Leader, Epoch: p.epoch, Replicas: len(meta.Replicas),
			InSync: len(meta.ISR), Start: m.Start, Stable: m.Stable, High: m.High, End: m.End,
			Bytes: p.log.Bytes(), MessagesIn: p.messagesIn, BytesIn: p.bytesIn, BytesOut: p.bytesOut,
		})
	}
	return list
}

func (c *Core) groupFigures() []status.Group {
	listed, _ := c.groups.coord.List(nil, nil, nil)
	byName := make(map[string]*status.Group, len(listed))
	groups := make([]status.Group, len(listed))
	for i, g := range listed {
		d := c.groups.coord.Describe(0, g.Group)
		groups[i] = status.Group{
			Name: g.Group, State: d.State, Protocol: d.Protocol, Members: len(d.Members),
		}
		byName[g.Group] = &groups[i]
	}
	c.groups.coord.Each(func(group, topic string, partition int32, offset, _ int64) {
		if g := byName[group]; g != nil {
			g.Offsets = append(g.Offsets, status.GroupOffset{
				Topic: topic, Partition: partition, Committed: offset, Lag: -1, LagTime: -1,
			})
		}
	})
	for i := range groups {
		slices.SortFunc(groups[i].Offsets, func(a, b status.GroupOffset) int {
			return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
		})
	}
	return groups
}

// fillLag joins groups with partitions: lag in records up to the high watermark, and in
// seconds since the first record that was not read was appended. Each core is asked once.
func (b *Broker) fillLag(s *status.Snapshot) {
	type key struct {
		topic string
		part  int32
	}
	at := make(map[key]*status.Partition, len(s.Partitions))
	for i := range s.Partitions {
		at[key{s.Partitions[i].Topic, s.Partitions[i].Partition}] = &s.Partitions[i]
	}
	asks := make([][]lagAsk, len(b.cores))
	for i := range s.Groups {
		for j := range s.Groups[i].Offsets {
			o := &s.Groups[i].Offsets[j]
			p := at[key{o.Topic, o.Partition}]
			if p == nil {
				continue
			}
			from := max(o.Committed, p.Start)
			o.Lag = max(0, p.High-from)
			o.LagTime = 0
			if top := b.quorum.Image().Topic(p.Topic); o.Lag > 0 && top != nil {
				o.LagTime = -1
				tp := protocol.TopicPartition{Topic: top.ID, Partition: p.Partition}
				asks[p.Core] = append(asks[p.Core], lagAsk{tp, from, &o.LagTime})
			}
		}
	}
	b.fillLagTimes(asks)
}

// lagAsk is one partition and offset whose record's age goes to seconds.
type lagAsk struct {
	tp      protocol.TopicPartition
	offset  int64
	seconds *float64
}

// fillLagTimes asks every core when records were appended, as far as its hot tails know.
func (b *Broker) fillLagTimes(asks [][]lagAsk) {
	type answer struct {
		core  int
		times []int64
	}
	ch := make(chan answer, len(b.cores))
	waiting := 0
	for i, list := range asks {
		if len(list) == 0 {
			continue
		}
		waiting++
		b.cores[i].inbox.Post(func(c *Core) {
			times := make([]int64, len(list))
			for j, a := range list {
				times[j] = c.timeAt(a.tp, a.offset)
			}
			ch <- answer{i, times} // buffered: never blocks
		})
	}
	now := b.cfg.Clock.Now().Wall
	timeout := time.After(snapshotWait)
	for ; waiting > 0; waiting-- {
		select {
		case a := <-ch:
			for j, t := range a.times {
				if t >= 0 {
					*asks[a.core][j].seconds = float64(max(0, now-t)) / 1000
				}
			}
		case <-timeout:
			return // what is not known stays −1
		}
	}
}
