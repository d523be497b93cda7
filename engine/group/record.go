package group

import (
	"encoding/binary"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Versions of the records that are written: those of Kafka 4.3.
const (
	offsetKeyVersion        = 1
	offsetValueVersion      = 4
	offsetValueWithDeadline = 1 // has ExpireTimestamp: for clients that give a retention time
	groupKeyVersion         = 2
	groupValueVersion       = 3
)

// Upper bounds of a batch's header and of a record's beside key and value.
const (
	batchOverhead  = 61
	recordOverhead = 5 + 1 + 10 + 5 + 5 + 5 + 1
)

func (r *Record) size() int { return recordOverhead + len(r.Key) + len(r.Value) }

func offsetKey(group, topic string, partition int32) []byte {
	k := kmsg.OffsetCommitKey{
		Version: offsetKeyVersion, Group: group, Topic: topic, Partition: partition,
	}
	return k.AppendTo(nil)
}

func groupKey(group string) []byte {
	k := kmsg.GroupMetadataKey{Version: groupKeyVersion, Group: group}
	return k.AppendTo(nil)
}

func offsetRecord(group, topic string, partition int32, c *commit) Record {
	v := kmsg.OffsetCommitValue{
		Version: offsetValueVersion, Offset: c.offset, LeaderEpoch: c.epoch,
		Metadata: c.metadata, CommitTimestamp: c.at, ExpireTimestamp: c.deadline,
		TopicID: c.topicID,
	}
	if c.deadline >= 0 {
		v.Version = offsetValueWithDeadline
	}
	return Record{offsetKey(group, topic, partition), v.AppendTo(nil)}
}

// emptyRecord is the record of a group that nobody joined yet.
func (g *group) emptyRecord() Record {
	v := kmsg.GroupMetadataValue{
		Version: groupValueVersion, CurrentStateTimestamp: g.since,
	}
	return Record{groupKey(g.name), v.AppendTo(nil)}
}

// record is the group as it is, with the assignments that are given, or the present ones.
func (g *group) record(given map[string][]byte) Record {
	v := kmsg.GroupMetadataValue{
		Version:      groupValueVersion,
		ProtocolType: g.protocolType,
		Generation:   g.generation,
		Protocol:     g.protocol,

		CurrentStateTimestamp: g.since,
	}
	if g.leader != "" {
		v.Leader = kmsg.StringPtr(g.leader)
	}
	for m := g.first; m != nil; m = m.next {
		r := kmsg.NewGroupMetadataValueMember()
		r.MemberID, r.InstanceID = m.id, m.instance
		r.ClientID, r.ClientHost = m.client.ID, m.client.Host
		r.RebalanceTimeoutMillis = int32(m.rebalance.Milliseconds())
		r.SessionTimeoutMillis = int32(m.session.Milliseconds())
		r.Subscription = m.metadata(g.protocol)
		r.Assignment = m.assignment
		if given != nil {
			r.Assignment = given[m.id]
		}
		v.Members = append(v.Members, r)
	}
	return Record{groupKey(g.name), v.AppendTo(nil)}
}

// learnTopics reads what the members subscribed to, if they are consumers.
func (g *group) learnTopics() {
	g.topics, g.topicsKnown = nil, false
	if g.protocolType != consumerType || len(g.members) > 0 && g.protocol == nil {
		return
	}
	topics := make(map[string]bool)
	for m := g.first; m != nil; m = m.next {
		if !subscription(m.metadata(g.protocol), topics) {
			g.c.o.Log.Debug("group subscription is not readable", "group", g.name)
			return
		}
	}
	g.topics, g.topicsKnown = topics, true
}

// subscribes says whether the group reads a topic. Of consumers whose subscription is not
// readable every topic is believed to be read.
func (g *group) subscribes(topic string) bool {
	if g.topicsKnown {
		return g.topics[topic]
	}
	return g.protocolType == consumerType
}

// subscription adds the topics of a consumer's subscription. Version 0 is the beginning
// of all later ones: version, topics, user data.
func subscription(b []byte, topics map[string]bool) bool {
	if len(b) < 6 || int16(binary.BigEndian.Uint16(b)) < 0 {
		return false
	}
	n := int32(binary.BigEndian.Uint32(b[2:]))
	b = b[6:]
	if n < 0 {
		return false
	}
	for range n {
		if len(b) < 2 {
			return false
		}
		size := int(binary.BigEndian.Uint16(b))
		b = b[2:]
		if size > len(b) {
			return false
		}
		topics[string(b[:size])] = true
		b = b[size:]
	}
	if len(b) < 4 {
		return false
	}
	size := int32(binary.BigEndian.Uint32(b))
	return size < 0 || int64(size) <= int64(len(b)-4)
}
