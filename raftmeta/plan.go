package raftmeta

import "millrace/protocol"

// TopicSpec is a topic as a client asks for it.
type TopicSpec struct {
	Name string
	// Partitions and Replication may be -1: the defaults. Both must be -1 with Assignment.
	Partitions  int32
	Replication int16
	// Assignment gives replicas by partition number; nil: the planner chooses.
	Assignment map[int32][]protocol.NodeID
	Configs    []Config // validated by configdef
}

// Defaults of the proposer's broker.
type Defaults struct {
	Partitions  int32
	Replication int16
}
