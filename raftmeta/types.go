package raftmeta

import (
	"sort"

	"millrace/protocol"
)

// Partition is the agreed state of one partition. Slices are shared and never written.
type Partition struct {
	Leader         protocol.NodeID // -1: none
	LeaderEpoch    protocol.Epoch
	PartitionEpoch int32 // grows with every change of this struct (KIP-497)
	Replicas       []protocol.NodeID
	ISR            []protocol.NodeID
	ELR            []protocol.NodeID // eligible leader replicas (KIP-966)
	LastKnownELR   []protocol.NodeID
}

// Topic is one topic with all its partitions; its index in Partitions is the number.
type Topic struct {
	ID         protocol.TopicID
	Name       string
	Internal   bool
	Created    uint64 // log index of its creation
	Partitions []Partition
	// Configs are the overrides of this topic, never nil.
	Configs *Configs
}

// Config is one explicitly set value.
type Config struct{ Name, Value string }

// Configs are the explicitly set values of one resource, sorted by name. Two equal pointers
// are equal sets; a changed set has a new pointer, so the pointer can key a cache.
type Configs struct {
	list  []Config
	index uint64
}

// noConfigs is what an unknown resource has.
var noConfigs = &Configs{}

// List returns the values sorted by name. Shared: do not write.
func (c *Configs) List() []Config { return c.list }

// Index is the log index of the last change, 0 if there was none.
func (c *Configs) Index() uint64 { return c.index }

// Len is the number of values.
func (c *Configs) Len() int { return len(c.list) }

// Get finds one value.
func (c *Configs) Get(name string) (string, bool) {
	i := sort.Search(len(c.list), func(i int) bool { return c.list[i].Name >= name })
	if i < len(c.list) && c.list[i].Name == name {
		return c.list[i].Value, true
	}
	return "", false
}

// Map copies the values into a map.
func (c *Configs) Map() map[string]string {
	m := make(map[string]string, len(c.list))
	for _, e := range c.list {
		m[e.Name] = e.Value
	}
	return m
}

// ResourceType is Kafka's config resource type.
type ResourceType int8

// Resource types as the wire has them.
const (
	ResourceTopic         ResourceType = 2
	ResourceBroker        ResourceType = 4
	ResourceBrokerLogger  ResourceType = 8
	ResourceClientMetrics ResourceType = 16
	ResourceGroup         ResourceType = 32
)

// Resource names what a config belongs to. A broker's name is its node id in decimal; the
// empty broker name is the cluster-wide default.
type Resource struct {
	Type ResourceType
	Name string
}

// Endpoint is one advertised listener of a broker.
type Endpoint struct {
	Listener         string // name, upper case
	Host             string
	Port             int32
	SecurityProtocol int16 // 0 PLAINTEXT, 1 SSL, 2 SASL_PLAINTEXT, 3 SASL_SSL
}

// Broker is a registered broker.
type Broker struct {
	ID          protocol.NodeID
	Incarnation [16]byte // new at every start of the process
	Epoch       int64    // log index of the registration
	Rack        string   // "" when none
	Fenced      bool
	Endpoints   []Endpoint
}

// Feature is one finalized feature level.
type Feature struct {
	Name  string
	Level int16
}

// Deleted is a topic that is gone, but whose data may still be on brokers' disks.
type Deleted struct {
	ID      protocol.TopicID
	Name    string
	Pending []protocol.NodeID // who has not said Purged yet
}
