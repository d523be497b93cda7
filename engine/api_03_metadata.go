package engine

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/protocol"
	"millrace/raftmeta"
)

// autoCreateMax bounds how many topics one Metadata request may create.
const autoCreateMax = 1000

// metadata tells brokers, topics and partitions, and creates topics that are asked for
// and absent, where that is allowed. It answers when they exist, so that no client
// sees LEADER_NOT_AVAILABLE.
func (c *Core) metadata(rq *Request, req *kmsg.MetadataRequest) {
	may := c.cfg.AutoCreate && (rq.Version < 4 || req.AllowAutoTopicCreation)
	missing := c.missingTopics(req, may)
	if len(missing) == 0 {
		c.answerMetadata(rq, req, nil)
		return
	}
	refused := make(map[string]protocol.Code)
	var cmd raftmeta.CreateTopics
	for _, name := range missing {
		t, it := raftmeta.Plan(c.topics.image, c.autoTopic(name), newTopicID(), c.topicDefaults())
		if it.Code != protocol.None {
			refused[name] = it.Code
			continue
		}
		cmd.Topics = append(cmd.Topics, t)
	}
	c.propose(cmd, func(o raftOutcome, err error) {
		for i := range cmd.Topics {
			code := protocol.LeaderNotAvailable // retriable: the quorum did not decide
			if err == nil {
				code = o.Items[i].Code
			}
			refused[cmd.Topics[i].Name] = code
		}
		c.answerMetadata(rq, req, refused)
	})
}

// missingTopics are the names to create, each once.
func (c *Core) missingTopics(req *kmsg.MetadataRequest, may bool) (names []string) {
	if !may {
		return nil
	}
	seen := make(map[string]bool)
	for i := range req.Topics {
		t := &req.Topics[i]
		if t.Topic == nil || !protocol.TopicID(t.TopicID).IsZero() || seen[*t.Topic] {
			continue
		}
		seen[*t.Topic] = true
		name := *t.Topic
		internal := raftmeta.InternalTopic(name) && name != offsetsTopic // nobody would use it
		if c.topics.image.Topic(name) == nil && raftmeta.ValidTopicName(name) && !internal &&
			len(names) < autoCreateMax {
			names = append(names, name)
		}
	}
	return names
}

// autoTopic is what a topic that is created by being asked for looks like.
func (c *Core) autoTopic(name string) raftmeta.TopicSpec {
	s := raftmeta.TopicSpec{Name: name, Partitions: -1, Replication: -1}
	if name == offsetsTopic {
		s.Partitions, s.Configs = c.cfg.OffsetsPartitions, offsetsConfigs(c.cfg)
	}
	return s
}

func (c *Core) answerMetadata(rq *Request, req *kmsg.MetadataRequest, refused map[string]protocol.Code) {
	img := c.topics.image
	all := req.Topics == nil && rq.Version >= 1 || rq.Version == 0 && len(req.Topics) == 0
	resp := kmsg.NewPtrMetadataResponse()
	for _, n := range c.nodes(rq, img) {
		b := kmsg.NewMetadataResponseBroker()
		b.NodeID, b.Host, b.Port, b.Rack = n.id, n.host, n.port, n.rack
		resp.Brokers = append(resp.Brokers, b)
	}
	cluster := img.ClusterID()
	resp.ClusterID, resp.ControllerID = &cluster, c.cfg.NodeID
	resp.AuthorizedOperations = noOperations
	if req.IncludeClusterAuthorizedOperations {
		resp.AuthorizedOperations = clusterOperations
	}
	ask := metadataAsk{img: img, version: rq.Version, operations: noOperations, refused: refused}
	if req.IncludeTopicAuthorizedOperations {
		ask.operations = topicOperations
	}
	size := img.PartitionCount()
	if !all {
		size = ask.size(req.Topics)
	}
	c.answerFrom(rq, size, func() kmsg.Response {
		if all {
			resp.Topics = make([]kmsg.MetadataResponseTopic, 0, img.TopicCount())
			for _, t := range img.Topics() {
				resp.Topics = append(resp.Topics, ask.topic(t))
			}
		} else {
			resp.Topics = ask.topics(req.Topics)
		}
		return resp
	})
}

// metadataAsk makes the topics of one answer; it only reads immutable data.
type metadataAsk struct {
	img        *raftmeta.Image
	version    int16
	operations int32
	refused    map[string]protocol.Code
}

// size is how many topics and partitions the answer will have.
func (a *metadataAsk) size(list []kmsg.MetadataRequestTopic) int {
	n := len(list)
	for i := range list {
		if t, _ := a.find(&list[i]); t != nil {
			n += len(t.Partitions)
		}
	}
	return n
}

func (a *metadataAsk) find(t *kmsg.MetadataRequestTopic) (*raftmeta.Topic, protocol.Code) {
	id := protocol.TopicID(t.TopicID)
	switch {
	case !id.IsZero() && a.version < 12, id.IsZero() && t.Topic == nil:
		return nil, protocol.InvalidRequest
	case !id.IsZero():
		if found := a.img.TopicByID(id); found != nil {
			return found, protocol.None
		}
		return nil, protocol.UnknownTopicId
	}
	name := *t.Topic
	if found := a.img.Topic(name); found != nil {
		return found, protocol.None
	}
	if !raftmeta.ValidTopicName(name) {
		return nil, protocol.InvalidTopicException
	}
	if code := a.refused[name]; code != protocol.None && code != protocol.TopicAlreadyExists {
		return nil, code
	}
	return nil, protocol.UnknownTopicOrPartition
}

// topics answers each topic once, however often it was asked for.
func (a *metadataAsk) topics(list []kmsg.MetadataRequestTopic) []kmsg.MetadataResponseTopic {
	out := make([]kmsg.MetadataResponseTopic, 0, len(list))
	done := make(map[*raftmeta.Topic]bool, len(list))
	failed := make(map[string]bool)
	for i := range list {
		ask := &list[i]
		t, code := a.find(ask)
		if t != nil {
			if !done[t] {
				done[t] = true
				out = append(out, a.topic(t))
			}
			continue
		}
		if ask.Topic != nil {
			if failed[*ask.Topic] {
				continue
			}
			failed[*ask.Topic] = true
		}
		out = append(out, a.failure(ask, code))
	}
	return out
}

func (a *metadataAsk) failure(ask *kmsg.MetadataRequestTopic, code protocol.Code) kmsg.MetadataResponseTopic {
	rt := kmsg.NewMetadataResponseTopic()
	rt.ErrorCode, rt.AuthorizedOperations = int16(code), noOperations
	rt.TopicID = ask.TopicID
	if protocol.TopicID(ask.TopicID).IsZero() || a.version < 12 {
		rt.Topic = ask.Topic
	}
	if rt.Topic == nil && a.version < 12 {
		rt.Topic = new(string) // may not be null
	}
	if rt.Topic != nil {
		rt.IsInternal = raftmeta.InternalTopic(*rt.Topic)
	}
	return rt
}

func (a *metadataAsk) topic(t *raftmeta.Topic) kmsg.MetadataResponseTopic {
	rt := kmsg.NewMetadataResponseTopic()
	rt.Topic, rt.TopicID, rt.IsInternal = &t.Name, t.ID, t.Internal
	rt.AuthorizedOperations = a.operations
	rt.Partitions = make([]kmsg.MetadataResponseTopicPartition, len(t.Partitions))
	for i := range t.Partitions {
		p, rp := &t.Partitions[i], &rt.Partitions[i]
		rp.Default()
		rp.Partition, rp.Leader, rp.LeaderEpoch = int32(i), p.Leader, p.LeaderEpoch
		rp.Replicas, rp.ISR = p.Replicas, p.ISR
		if p.Leader < 0 {
			rp.ErrorCode = int16(protocol.LeaderNotAvailable)
		}
	}
	return rt
}
