package raftmeta

import (
	"fmt"
	"slices"

	"millrace/protocol"
)

// MaxPartitionsPerRequest bounds what one request may create (Kafka's figure).
const MaxPartitionsPerRequest = 10_000

// TopicSpec is a topic as a client asks for it.
type TopicSpec struct {
	Name string
	// Partitions and Replication may be -1: the defaults. Both must be -1 with Assignment.
	Partitions  int32
	Replication int16
	// Assignment gives replicas by partition number; empty: the planner chooses.
	Assignment map[int32][]protocol.NodeID
	Configs    []Config // validated by configdef
}

// Defaults are the proposer's num.partitions and default.replication.factor.
type Defaults struct {
	Partitions  int32
	Replication int16
}

// Plan turns a wish into a NewTopic, or says why not. It looks at the numbers and the
// brokers; names are judged by Apply (ask Check). The replication factor of an internal
// topic is lowered to the number of brokers.
func Plan(m *Image, s TopicSpec, id protocol.TopicID, d Defaults) (NewTopic, Item) {
	t := NewTopic{ID: id, Name: s.Name, Configs: s.Configs}
	if len(s.Assignment) > 0 {
		if s.Replication != -1 {
			return t, Item{Code: protocol.InvalidRequest, Message: "A manual partition " +
				"assignment was specified, but replication factor was not set to -1."}
		}
		if s.Partitions != -1 {
			return t, Item{Code: protocol.InvalidRequest, Message: "A manual partition " +
				"assignment was specified, but numPartitions was not set to -1."}
		}
		for p := range int32(len(s.Assignment)) {
			replicas, ok := s.Assignment[p]
			if !ok {
				return t, Item{Code: protocol.InvalidReplicaAssignment,
					Message: "partitions should be a consecutive 0-based integer sequence"}
			}
			t.Replicas = append(t.Replicas, replicas)
		}
		return t, begin(m, m.index+1).checkReplicas(t.Replicas)
	}
	n, rf := s.Partitions, s.Replication
	if rf < -1 || rf == 0 {
		return t, Item{Code: protocol.InvalidReplicationFactor, Message: "Replication " +
			"factor must be larger than 0, or -1 to use the default value."}
	}
	if n < -1 || n == 0 {
		return t, Item{Code: protocol.InvalidPartitions,
			Message: "Number of partitions was set to an invalid non-positive value."}
	}
	if n == -1 {
		n = d.Partitions
	}
	if rf == -1 {
		rf = d.Replication
	}
	if InternalTopic(s.Name) {
		rf = max(1, min(rf, int16(min(len(m.brokers), 1<<14))))
	}
	var it Item
	t.Replicas, it = Assign(m, int(n), int(rf))
	return t, it
}

// PlanPartitions says how a topic gets count partitions, or why not. assignments, if not
// nil, has the replicas of each added partition.
func PlanPartitions(m *Image, t *Topic, count int32,
	assignments [][]protocol.NodeID) (MorePartitions, Item) {
	have := len(t.Partitions)
	p := MorePartitions{Topic: t.ID, From: int32(have)}
	if int(count) <= have {
		return p, notAnIncrease(t, int(count))
	}
	more := int(count) - have
	rf := len(t.Partitions[0].Replicas)
	if assignments == nil {
		var it Item
		p.Replicas, it = Assign(m, more, rf)
		return p, it
	}
	if len(assignments) != more {
		return p, Item{Code: protocol.InvalidReplicaAssignment, Message: fmt.Sprintf(
			"Attempted to add %d additional partition(s), but only %d assignment(s) were "+
				"specified.", more, len(assignments))}
	}
	for _, a := range assignments {
		if len(a) != rf && len(a) > 0 {
			return p, Item{Code: protocol.InvalidReplicaAssignment, Message: fmt.Sprintf(
				"The manual partition assignment includes a partition with %d replica(s), "+
					"but this is not consistent with previous partitions, which have %d "+
					"replica(s).", len(a), rf)}
		}
	}
	p.Replicas = assignments
	return p, begin(m, m.index+1).checkReplicas(assignments)
}

// Assign places n partitions of rf replicas: leaders round robin over the brokers, racks
// mixed, starting where the partitions so far end.
func Assign(m *Image, n, rf int) ([][]protocol.NodeID, Item) {
	if n > MaxPartitionsPerRequest {
		return nil, Item{Code: protocol.PolicyViolation,
			Message: "Excessively large number of partitions per request."}
	}
	if n <= 0 {
		return nil, Item{Code: protocol.InvalidPartitions,
			Message: "Number of partitions was set to an invalid non-positive value."}
	}
	ids := striped(m.brokers)
	if rf <= 0 || rf > len(ids) {
		return nil, Item{Code: protocol.InvalidReplicationFactor, Message: fmt.Sprintf(
			"Unable to replicate the partition %d time(s): The target replication factor of "+
				"%d cannot be reached because only %d broker(s) are registered.",
			rf, rf, len(ids))}
	}
	parts, flat := make([][]protocol.NodeID, n), make([]protocol.NodeID, n*rf)
	for p := range parts {
		replicas := flat[p*rf : (p+1)*rf : (p+1)*rf]
		for r := range replicas {
			replicas[r] = ids[(m.partitions+p+r)%len(ids)]
		}
		parts[p] = replicas
	}
	return parts, Item{}
}

// striped orders brokers so that neighbours are on different racks where that is possible.
func striped(brokers []Broker) []protocol.NodeID {
	racks := map[string][]protocol.NodeID{}
	var names []string
	for i := range brokers {
		b := &brokers[i]
		if b.Fenced {
			continue
		}
		if racks[b.Rack] == nil {
			names = append(names, b.Rack)
		}
		racks[b.Rack] = append(racks[b.Rack], b.ID)
	}
	slices.Sort(names)
	ids := make([]protocol.NodeID, 0, len(brokers))
	for round, more := 0, true; more; round++ {
		more = false
		for _, rack := range names {
			if round < len(racks[rack]) {
				ids = append(ids, racks[rack][round])
				more = true
			}
		}
	}
	return ids
}
