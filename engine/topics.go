package engine

import (
	"slices"

	"millrace/protocol"
	"millrace/raftmeta"
	"millrace/raftmeta/configdef"
	"millrace/segment"
)

// topic is what a core knows of one topic. Every core has its own.
type topic struct {
	meta  *raftmeta.Topic
	cfg   *configdef.TopicConfig
	parts []place
}

// place says where a partition lives.
type place struct {
	core   int
	part   *partition // nil on other cores
	closed bool       // it is moving to another core: no request begins
}

// partition is one partition on the core that owns it.
type partition struct {
	tp       protocol.TopicPartition
	topic    *topic
	log      *segment.Log
	epoch    int32
	watchers []watcher // parked fetches
	cooking  []cooked  // batches on helpers, in order
	cooks    uint32    // batches that went in
	cooked   uint32    // and came out
	served   bool      // some of them wait for storage
	thirsty  bool      // see fetchBook.thirsty
	gone     bool      // the topic was deleted, or it is another core's now
	frozen   bool      // it is about to become another core's

	messagesIn, bytesIn, bytesOut uint64
}

// topicTable is the topics as one core sees them: the image, joined with storage.
type topicTable struct {
	image  *raftmeta.Image
	byName map[string]*topic
	byID   map[protocol.TopicID]*topic
	parts  []*partition // by Log.User
	free   []uint32
}

func (t *topicTable) init() {
	t.image = raftmeta.Empty()
	t.byName = make(map[string]*topic)
	t.byID = make(map[protocol.TopicID]*topic)
}

// find returns a partition of this core, or nil.
func (t *topicTable) find(tp protocol.TopicPartition) *partition {
	top := t.byID[tp.Topic]
	if top == nil || tp.Partition < 0 || int(tp.Partition) >= len(top.parts) {
		return nil
	}
	return top.parts[tp.Partition].part
}

// resolve finds a topic by name, or by id when the name is empty; no allocation.
func (t *topicTable) resolve(name []byte, id protocol.TopicID) *topic {
	if len(name) > 0 {
		return t.byName[string(name)]
	}
	return t.byID[id]
}

// install makes img the image of this core: new topics and partitions get their logs,
// deleted ones lose them.
func (c *Core) install(img *raftmeta.Image) {
	t := &c.topics
	if img.Index() <= t.image.Index() && t.image.Index() > 0 || c.draining {
		return
	}
	d := raftmeta.Diff(t.image, img)
	t.image = img
	c.configureCleaner()
	for _, meta := range d.Deleted {
		if top := t.byID[meta.ID]; top != nil {
			c.drop(top)
		}
	}
	for _, meta := range d.Created {
		c.update(nil, meta)
	}
	if inherits(d.Configs) {
		for _, meta := range img.Topics() {
			c.update(t.byID[meta.ID], meta)
		}
	} else {
		for _, ch := range d.Changed {
			c.update(t.byID[ch.New.ID], ch.New)
		}
	}
	c.groups.install(c)
}

// inherits says whether one of the resources is the brokers' configs, which every topic
// inherits.
func inherits(changed []raftmeta.Resource) bool {
	return slices.ContainsFunc(changed, func(r raftmeta.Resource) bool {
		return r.Type == raftmeta.ResourceBroker
	})
}

func (c *Core) update(top *topic, meta *raftmeta.Topic) {
	t := &c.topics
	if top == nil {
		top = &topic{}
		t.byID[meta.ID] = top
	}
	t.byName[meta.Name] = top
	top.meta = meta
	top.cfg = c.topicConfig(meta)
	lc := logConfig(top.cfg)
	for i := len(top.parts); i < len(meta.Partitions); i++ {
		tp := protocol.TopicPartition{Topic: meta.ID, Partition: int32(i)}
		pl := place{core: segment.CoreOf(tp, c.cfg.Journals)}
		if core, moved := c.placed[tp]; moved {
			pl.core = core
		}
		pl.closed = c.moves.closes(tp)
		if pl.core == c.id {
			pl.part = c.newPartition(top, tp, lc)
		}
		top.parts = append(top.parts, pl)
	}
	for i := range top.parts {
		if p := top.parts[i].part; p != nil {
			p.epoch = meta.Partitions[i].LeaderEpoch
			c.shard.Configure(p.log, lc)
		}
	}
}

func (c *Core) newPartition(top *topic, tp protocol.TopicPartition, lc segment.LogConfig) *partition {
	l := c.shard.Find(tp)
	if l == nil {
		l = c.shard.Create(tp, top.meta.Name, lc)
	}
	p := &partition{tp: tp, topic: top, log: l}
	t := &c.topics
	if n := len(t.free); n > 0 {
		l.User = t.free[n-1]
		t.free = t.free[:n-1]
		t.parts[l.User] = p
	} else {
		l.User = uint32(len(t.parts))
		t.parts = append(t.parts, p)
	}
	return p
}

// drop forgets a deleted topic: its logs go, parked fetches are told.
func (c *Core) drop(top *topic) {
	t := &c.topics
	delete(t.byID, top.meta.ID)
	if t.byName[top.meta.Name] == top {
		delete(t.byName, top.meta.Name)
	}
	c.groups.topicDeleted(c, top)
	for i := range top.parts {
		p := top.parts[i].part
		if p == nil {
			continue
		}
		p.gone = true
		c.fetches.wake(c, p)
		t.parts[p.log.User] = nil
		t.free = append(t.free, p.log.User)
		c.shard.Drop(p.log)
	}
}

// advanced wakes the fetches that wait for a log.
func (c *Core) advanced(l *segment.Log) {
	if int(l.User) < len(c.topics.parts) {
		if p := c.topics.parts[l.User]; p != nil && p.log == l {
			c.fetches.wake(c, p)
		}
	}
}
