package raftmeta

import (
	"bytes"
	"cmp"
	"slices"
	"strings"
	"sync"

	"millrace/protocol"
)

// Image is everything agreed up to one index of the log. It never changes; any thread may
// read it for as long as it likes.
type Image struct {
	index      uint64
	clusterID  string
	nextPID    int64
	partitions int // over all topics
	topics     hamt[string, *Topic]
	ids        hamt[protocol.TopicID, *Topic]
	collisions hamt[string, *clash] // '.' read as '_' → names
	configs    hamt[Resource, *Configs]
	deleted    hamt[protocol.TopicID, *Deleted]
	brokers    []Broker  // by id
	features   []Feature // by name

	once   sync.Once
	sorted []*Topic
}

// Empty is the image before the first command.
func Empty() *Image { return &Image{} }

// Index is the log index of the last applied command.
func (m *Image) Index() uint64 { return m.index }

// ClusterID is "" until InitCluster.
func (m *Image) ClusterID() string { return m.clusterID }

// NextProducerID is the first id not yet handed out.
func (m *Image) NextProducerID() int64 { return m.nextPID }

// Topic finds a topic by name, nil if there is none.
func (m *Image) Topic(name string) *Topic {
	t, _ := m.topics.get(name)
	return t
}

// TopicByID finds a topic by id, nil if there is none.
func (m *Image) TopicByID(id protocol.TopicID) *Topic {
	t, _ := m.ids.get(id)
	return t
}

// Topics lists all topics sorted by name. Sorted once per image; shared, do not write.
func (m *Image) Topics() []*Topic {
	m.once.Do(func() { m.sorted = sortedTopics(m.topics) })
	return m.sorted
}

// TopicCount and PartitionCount are sizes.
func (m *Image) TopicCount() int     { return m.topics.len() }
func (m *Image) PartitionCount() int { return m.partitions }

// Partition finds one partition, nil if there is none.
func (m *Image) Partition(tp protocol.TopicPartition) *Partition {
	t := m.TopicByID(tp.Topic)
	if t == nil || tp.Partition < 0 || int(tp.Partition) >= len(t.Partitions) {
		return nil
	}
	return &t.Partitions[tp.Partition]
}

// Configs are the explicitly set values of a resource, never nil.
func (m *Image) Configs(r Resource) *Configs {
	if r.Type == ResourceTopic {
		if t := m.Topic(r.Name); t != nil {
			return t.Configs
		}
		return noConfigs
	}
	if c, ok := m.configs.get(r); ok {
		return c
	}
	return noConfigs
}

// ConfigResources lists the resources of one type that have values, sorted by name.
func (m *Image) ConfigResources(t ResourceType) []Resource {
	if t != ResourceTopic {
		return resourcesOf(m.configs, t)
	}
	var list []Resource
	for _, topic := range m.Topics() {
		if topic.Configs.Len() > 0 {
			list = append(list, Resource{t, topic.Name})
		}
	}
	return list
}

// Brokers lists the registered brokers by id. Shared, do not write.
func (m *Image) Brokers() []Broker { return m.brokers }

// Broker finds one broker, nil if it never registered.
func (m *Image) Broker(id protocol.NodeID) *Broker {
	for i := range m.brokers {
		if m.brokers[i].ID == id {
			return &m.brokers[i]
		}
	}
	return nil
}

// Features lists the finalized levels by name. Shared, do not write.
func (m *Image) Features() []Feature { return m.features }

// Feature is one finalized level, 0 if absent.
func (m *Image) Feature(name string) int16 {
	for _, f := range m.features {
		if f.Name == name {
			return f.Level
		}
	}
	return 0
}

// Deleted finds a deleted topic whose data may still exist somewhere, nil if none.
func (m *Image) Deleted(id protocol.TopicID) *Deleted {
	d, _ := m.deleted.get(id)
	return d
}

// DeletedTopics lists them, sorted by id.
func (m *Image) DeletedTopics() []*Deleted { return sortedDeleted(m.deleted) }

// clone copies the fields; the maps share everything.
func (m *Image) clone() *Image {
	return &Image{index: m.index, clusterID: m.clusterID, nextPID: m.nextPID,
		partitions: m.partitions, topics: m.topics, ids: m.ids, collisions: m.collisions,
		configs: m.configs, deleted: m.deleted, brokers: m.brokers, features: m.features}
}

func sortedTopics(m hamt[string, *Topic]) []*Topic {
	list := make([]*Topic, 0, m.len())
	m.each(func(_ string, t *Topic) { list = append(list, t) })
	slices.SortFunc(list, byName)
	return list
}

func byName(a, b *Topic) int { return strings.Compare(a.Name, b.Name) }

func byResource(a, b Resource) int {
	return cmp.Or(cmp.Compare(a.Type, b.Type), strings.Compare(a.Name, b.Name))
}

func resourcesOf(m hamt[Resource, *Configs], t ResourceType) []Resource {
	var list []Resource
	m.each(func(r Resource, _ *Configs) {
		if r.Type == t {
			list = append(list, r)
		}
	})
	slices.SortFunc(list, byResource)
	return list
}

func sortedDeleted(m hamt[protocol.TopicID, *Deleted]) []*Deleted {
	list := make([]*Deleted, 0, m.len())
	m.each(func(_ protocol.TopicID, d *Deleted) { list = append(list, d) })
	slices.SortFunc(list, func(a, b *Deleted) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	return list
}
