package engine

import (
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/protocol"
	"millrace/raftmeta"
	"millrace/raftmeta/configdef"
)

// createTopics creates topics, or says whether it could.
func (c *Core) createTopics(rq *Request, req *kmsg.CreateTopicsRequest) {
	counts := make(map[string]int)
	for i := range req.Topics {
		counts[req.Topics[i].Topic]++
	}
	resp := kmsg.NewPtrCreateTopicsResponse()
	var cmd raftmeta.CreateTopics
	var at []int // places of cmd's topics in the answer
	total := 0
	for i := range req.Topics {
		t := &req.Topics[i]
		n := counts[t.Topic]
		if n == 0 {
			continue // a duplicate is answered once
		}
		delete(counts, t.Topic)
		nt, it := c.wantedTopic(t, n > 1)
		total += len(nt.Replicas)
		if it.Code == protocol.None && total > raftmeta.MaxPartitionsPerRequest {
			it = raftmeta.Item{Code: protocol.PolicyViolation,
				Message: "Excessively large number of partitions per request."}
		}
		rt := kmsg.NewCreateTopicsResponseTopic()
		rt.Topic, rt.NumPartitions, rt.ReplicationFactor = t.Topic, -1, -1
		rt.ErrorCode, rt.ErrorMessage = int16(it.Code), messageOf(it.Message)
		rt.Configs = []kmsg.CreateTopicsResponseTopicConfig{}
		if it.Code == protocol.None {
			cmd.Topics, at = append(cmd.Topics, nt), append(at, len(resp.Topics))
		}
		resp.Topics = append(resp.Topics, rt)
	}
	settle := func(img *raftmeta.Image, o raftOutcome, err error) {
		for i, place := range at {
			rt := &resp.Topics[place]
			if err != nil {
				rt.ErrorCode = int16(proposalCode(err))
				continue
			}
			c.topicCreated(rt, &cmd.Topics[i], img, o.Items[i], rq.Version)
		}
		rq.Answer(resp)
	}
	switch {
	case len(at) == 0:
		rq.Answer(resp)
	case req.ValidateOnly:
		settle(suppose(c.topics.image, cmd))
	default:
		c.propose(cmd, func(o raftOutcome, err error) { settle(c.topics.image, o, err) })
	}
}

// suppose is the image as if a command had been agreed on.
func suppose(img *raftmeta.Image, cmd raftCommand) (*raftmeta.Image, raftOutcome, error) {
	b, err := raftmeta.Encode(cmd)
	if err != nil {
		return img, raftOutcome{}, err
	}
	return raftmeta.Apply(img, img.Index()+1, b)
}

// wantedTopic judges one topic in Kafka's order: name, configs, numbers.
func (c *Core) wantedTopic(t *kmsg.CreateTopicsRequestTopic, again bool) (
	raftmeta.NewTopic, raftmeta.Item) {
	if again {
		return raftmeta.NewTopic{}, raftmeta.Item{Code: protocol.InvalidRequest,
			Message: "Duplicate topic name."}
	}
	img, id := c.topics.image, newTopicID()
	probe := raftmeta.CreateTopics{Topics: []raftmeta.NewTopic{newTopic(c, t.Topic, 1, nil)}}
	if it := raftmeta.Check(img, probe).Items[0]; it.Code != protocol.None {
		return raftmeta.NewTopic{}, it
	}
	wanted := make([]configdef.Wanted, 0, len(t.Configs))
	for _, e := range t.Configs {
		wanted = append(wanted, configdef.Wanted{Name: e.Name, Value: e.Value})
	}
	configs, it := configdef.PlanTopic(wanted)
	if it.Code != protocol.None {
		return raftmeta.NewTopic{}, it
	}
	spec := raftmeta.TopicSpec{Name: t.Topic, Partitions: t.NumPartitions,
		Replication: t.ReplicationFactor, Configs: configs}
	if len(t.ReplicaAssignment) > 0 {
		spec.Assignment = make(map[int32][]protocol.NodeID, len(t.ReplicaAssignment))
		for _, a := range t.ReplicaAssignment {
			if _, twice := spec.Assignment[a.Partition]; twice {
				return raftmeta.NewTopic{}, raftmeta.Item{Code: protocol.InvalidReplicaAssignment,
					Message: "Found multiple manual partition assignments for one partition."}
			}
			spec.Assignment[a.Partition] = a.Replicas
		}
	}
	return raftmeta.Plan(img, spec, id, c.topicDefaults())
}

// topicCreated fills in what became of one topic; img has it, if all went well.
func (c *Core) topicCreated(rt *kmsg.CreateTopicsResponseTopic, nt *raftmeta.NewTopic,
	img *raftmeta.Image, it raftmeta.Item, version int16) {
	rt.ErrorCode, rt.ErrorMessage = int16(it.Code), messageOf(it.Message)
	if it.Code != protocol.None {
		return
	}
	rt.TopicID = nt.ID
	rt.NumPartitions, rt.ReplicationFactor = int32(len(nt.Replicas)), int16(len(nt.Replicas[0]))
	if version < 5 {
		return
	}
	entries, _ := c.configs.Describe(img, configdef.Ask{
		Resource: raftmeta.Resource{Type: raftmeta.ResourceTopic, Name: nt.Name}})
	slices.SortFunc(entries, func(a, b configdef.Entry) int { return strings.Compare(a.Name, b.Name) })
	for _, e := range entries {
		row := kmsg.NewCreateTopicsResponseTopicConfig()
		row.Name, row.Value, row.ReadOnly = e.Name, e.Value, e.ReadOnly
		row.Source, row.IsSensitive = int8(e.Source), e.Sensitive
		rt.Configs = append(rt.Configs, row)
	}
}
