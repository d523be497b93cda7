package raftmeta

import "millrace/protocol"

// MaxCommandBytes bounds one encoded command: 10 000 partitions with three replicas and
// configs fit ten times over.
const MaxCommandBytes = 16 << 20

// Command is one change of the image. The set is closed: only this package implements it.
type Command interface {
	kind() kind
	appendBody(dst []byte) []byte
	apply(b *builder) Outcome
}

// InitCluster names the cluster and its feature levels, once. A second one with the same id
// changes nothing; with another id it gets INCONSISTENT_CLUSTER_ID.
type InitCluster struct {
	ClusterID string
	Features  []Feature
}

// SetFeatures sets finalized levels; level 0 removes the feature.
type SetFeatures struct{ Features []Feature }

// NewTopic is one topic to create: id and replicas are chosen by the proposer (see Plan).
type NewTopic struct {
	ID       protocol.TopicID
	Name     string
	Replicas [][]protocol.NodeID // per partition; the first is leader
	Configs  []Config            // validated by the proposer
}

// CreateTopics creates each topic or says why not.
type CreateTopics struct{ Topics []NewTopic }

// DeleteTopics deletes by id.
type DeleteTopics struct{ IDs []protocol.TopicID }

// MorePartitions adds Replicas' partitions to a topic that has exactly From of them.
type MorePartitions struct {
	Topic    protocol.TopicID
	From     int32
	Replicas [][]protocol.NodeID
}

// AddPartitions is CreatePartitions of the wire.
type AddPartitions struct{ Topics []MorePartitions }

// ConfigOp is the operation of IncrementalAlterConfigs, as on the wire.
type ConfigOp int8

// Operations; Append and Subtract are for lists.
const (
	OpSet      ConfigOp = 0
	OpDelete   ConfigOp = 1
	OpAppend   ConfigOp = 2
	OpSubtract ConfigOp = 3
)

// ConfigEdit is one step. Default is the list that Append and Subtract start from when the
// resource has no value of its own.
type ConfigEdit struct {
	Op      ConfigOp
	Name    string
	Value   string
	Default string
}

// ResourceEdits changes one resource, all or nothing.
type ResourceEdits struct {
	Resource Resource
	Replace  bool // forget what was set before (AlterConfigs); then the edits
	Edits    []ConfigEdit
}

// SetConfigs changes configs; values were validated by the proposer.
type SetConfigs struct{ Resources []ResourceEdits }

// AllocateProducerIDs takes the next Count producer ids.
type AllocateProducerIDs struct{ Count int32 }

// RegisterBroker adds or replaces a broker.
type RegisterBroker struct {
	ID          protocol.NodeID
	Incarnation [16]byte
	Rack        string
	Endpoints   []Endpoint
	// NewEpochs gives every partition that this broker leads a new leader epoch: for a
	// broker that did not stop cleanly, so that clients notice what it may have lost.
	NewEpochs bool
}

// Purged says that a broker holds nothing any more of these deleted topics.
type Purged struct {
	Broker protocol.NodeID
	IDs    []protocol.TopicID
}
