package group

import (
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/protocol"
)

// Versions of OffsetFetch that brought something the coordinator minds.
const (
	fetchHasTopCode = 2  // before, an error is on each partition
	fetchManyGroups = 8  // Groups
	fetchByID       = 10 // topics by id
)

// FetchGroups is the groups that an OffsetFetch of any version asks for.
func FetchGroups(req *kmsg.OffsetFetchRequest) []kmsg.OffsetFetchRequestGroup {
	if req.Version >= fetchManyGroups {
		return req.Groups
	}
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group = req.Group
	if req.Topics != nil {
		g.Topics = make([]kmsg.OffsetFetchRequestGroupTopic, len(req.Topics))
		for i, t := range req.Topics {
			g.Topics[i].Topic, g.Topics[i].Partitions = t.Topic, t.Partitions
		}
	}
	return []kmsg.OffsetFetchRequestGroup{g}
}

// FetchAnswer puts the answers for FetchGroups, in their order, into the request's form.
func FetchAnswer(req *kmsg.OffsetFetchRequest,
	groups []kmsg.OffsetFetchResponseGroup) *kmsg.OffsetFetchResponse {
	resp := req.ResponseKind().(*kmsg.OffsetFetchResponse)
	if req.Version >= fetchManyGroups {
		resp.Groups = groups
		return resp
	}
	g := &groups[0]
	resp.ErrorCode = g.ErrorCode
	if g.ErrorCode != 0 && req.Version < fetchHasTopCode {
		return failedFetch(req, resp, g.ErrorCode)
	}
	for i := range g.Topics {
		t := kmsg.NewOffsetFetchResponseTopic()
		t.Topic = g.Topics[i].Topic
		for _, p := range g.Topics[i].Partitions {
			t.Partitions = append(t.Partitions, kmsg.OffsetFetchResponseTopicPartition{
				Partition: p.Partition, Offset: p.Offset, LeaderEpoch: p.LeaderEpoch,
				Metadata: p.Metadata, ErrorCode: p.ErrorCode,
			})
		}
		resp.Topics = append(resp.Topics, t)
	}
	return resp
}

func failedFetch(req *kmsg.OffsetFetchRequest, resp *kmsg.OffsetFetchResponse,
	code int16) *kmsg.OffsetFetchResponse {
	for _, asked := range req.Topics {
		t := kmsg.NewOffsetFetchResponseTopic()
		t.Topic = asked.Topic
		for _, n := range asked.Partitions {
			p := kmsg.NewOffsetFetchResponseTopicPartition()
			p.Partition, p.Offset, p.Metadata = n, -1, kmsg.StringPtr("")
			p.ErrorCode = code
			t.Partitions = append(t.Partitions, p)
		}
		resp.Topics = append(resp.Topics, t)
	}
	return resp
}

// FetchOffsets answers one group of FetchGroups. Offsets that are not durable yet are not
// seen; there are no transactions, so that what is seen is stable.
func (c *Coordinator) FetchOffsets(version int16,
	req *kmsg.OffsetFetchRequestGroup) kmsg.OffsetFetchResponseGroup {
	resp := kmsg.NewOffsetFetchResponseGroup()
	resp.Group = strings.Clone(req.Group)
	_, g, code := c.find(req.Group)
	if code != protocol.None {
		resp.ErrorCode = int16(code)
		return resp
	}
	if req.Topics == nil {
		if g != nil {
			resp.Topics = g.fetchAll(version)
		}
		return resp
	}
	resp.Topics = make([]kmsg.OffsetFetchResponseGroupTopic, len(req.Topics))
	for i := range req.Topics {
		t, to := &req.Topics[i], &resp.Topics[i]
		to.Topic, to.TopicID = strings.Clone(t.Topic), t.TopicID
		id, known := protocol.TopicID(t.TopicID), true
		if version >= fetchByID {
			to.Topic, _, known = c.o.Topics.ByID(id)
		} else {
			id, _, _ = c.o.Topics.ByName(t.Topic)
		}
		to.Partitions = make([]kmsg.OffsetFetchResponseGroupTopicPartition, len(t.Partitions))
		for j, n := range t.Partitions {
			p := &to.Partitions[j]
			if known {
				*p = g.fetch(to.Topic, n, id)
			} else {
				*p = fetched(n, nil)
				p.ErrorCode = int16(protocol.UnknownTopicId)
			}
		}
	}
	return resp
}

// fetch finds the offset of a topic as it is now: what was committed for a deleted topic
// of the same name is not meant. g may be nil.
func (g *group) fetch(topic string, n int32,
	id protocol.TopicID) kmsg.OffsetFetchResponseGroupTopicPartition {
	if g != nil {
		if s := g.offsets[topic][n]; s != nil && s.stored && !s.strange(id) {
			return fetched(n, s)
		}
	}
	return fetched(n, nil)
}

// strange says whether the offset was committed for another topic of the same name.
func (s *slot) strange(id protocol.TopicID) bool {
	return !id.IsZero() && !s.topicID.IsZero() && s.topicID != id
}

func fetched(n int32, s *slot) kmsg.OffsetFetchResponseGroupTopicPartition {
	p := kmsg.NewOffsetFetchResponseGroupTopicPartition()
	p.Partition, p.Offset, p.Metadata = n, -1, kmsg.StringPtr("")
	if s != nil {
		p.Offset, p.LeaderEpoch, p.Metadata = s.offset, s.epoch, kmsg.StringPtr(s.metadata)
	}
	return p
}

// fetchAll answers with all offsets of the group, in order of name and partition.
func (g *group) fetchAll(version int16) []kmsg.OffsetFetchResponseGroupTopic {
	all := make([]kmsg.OffsetFetchResponseGroupTopic, 0, len(g.offsets))
	for _, topic := range sortedKeys(g.offsets) {
		id, _, known := g.c.o.Topics.ByName(topic)
		if version >= fetchByID && !known {
			continue // it has no name in this version
		}
		t := kmsg.NewOffsetFetchResponseGroupTopic()
		t.Topic, t.TopicID = topic, id
		slots := g.offsets[topic]
		for _, n := range sortedKeys(slots) {
			if s := slots[n]; s.stored && !s.strange(id) {
				t.Partitions = append(t.Partitions, fetched(n, s))
			}
		}
		if len(t.Partitions) > 0 {
			all = append(all, t)
		}
	}
	return all
}

func sortedKeys[K interface{ ~string | ~int32 }, V any](m map[K]V) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
