package raftmeta

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"millrace/internal/invariant"
	"millrace/protocol"
)

// Apply gives the image after one agreed command. It is pure: same arguments, same results,
// on every broker and at every replay. An error says that the bytes are not understood
// (ErrFormat): the caller cannot go on from there.
func Apply(m *Image, index uint64, cmd []byte) (*Image, Outcome, error) {
	c, err := Decode(cmd)
	if err != nil {
		return m, Outcome{}, fmt.Errorf("raftmeta: apply: entry %d: %w", index, err)
	}
	b := begin(m, index)
	out := c.apply(b)
	out.Index = index
	return b.m, out, nil
}

// Check says what the outcome of cmd would be now, without proposing it: for requests that
// only validate, and for refusing early. Index and new ids in it mean nothing.
func Check(m *Image, cmd Command) Outcome { return cmd.apply(begin(m, m.index+1)) }

// builder is an image that nobody else sees yet.
type builder struct {
	m     *Image
	index uint64
}

func begin(m *Image, index uint64) *builder {
	invariant.Checkf(index > m.index, "entry %d applied after %d", index, m.index)
	b := &builder{m: m.clone(), index: index}
	b.m.index = index
	return b
}

// one is the outcome of a command of one item.
func one(code protocol.Code, message string) Outcome {
	return Outcome{Items: []Item{{Code: code, Message: message}}}
}

func (c InitCluster) apply(b *builder) Outcome {
	if b.m.clusterID != "" {
		if b.m.clusterID == c.ClusterID {
			return one(protocol.None, "")
		}
		return one(protocol.InconsistentClusterId, "The cluster is "+b.m.clusterID+".")
	}
	if c.ClusterID == "" {
		return one(protocol.InvalidRequest, "The cluster id is empty.")
	}
	b.m.clusterID = c.ClusterID
	b.setFeatures(c.Features)
	return one(protocol.None, "")
}

func (c SetFeatures) apply(b *builder) Outcome {
	b.setFeatures(c.Features)
	return Outcome{Items: make([]Item, len(c.Features))}
}

func (b *builder) setFeatures(list []Feature) {
	all := slices.Clone(b.m.features)
	for _, f := range list {
		all = slices.DeleteFunc(all, func(o Feature) bool { return o.Name == f.Name })
		if f.Level > 0 {
			all = append(all, f)
		}
	}
	slices.SortFunc(all, func(x, y Feature) int { return strings.Compare(x.Name, y.Name) })
	b.m.features = all
}

func (c CreateTopics) apply(b *builder) Outcome {
	out := Outcome{Items: make([]Item, len(c.Topics))}
	for i := range c.Topics {
		out.Items[i] = b.create(&c.Topics[i])
	}
	return out
}

func (b *builder) create(t *NewTopic) Item {
	if why := InvalidTopicName(t.Name); why != "" {
		return Item{Code: protocol.InvalidTopicException, Message: why}
	}
	if b.m.Topic(t.Name) != nil {
		return Item{Code: protocol.TopicAlreadyExists,
			Message: "Topic '" + t.Name + "' already exists."}
	}
	if other := b.collides(t.Name); other != "" {
		return Item{Code: protocol.InvalidTopicException,
			Message: "Topic '" + t.Name + "' collides with existing topic: " + other}
	}
	if t.ID.IsZero() || b.m.TopicByID(t.ID) != nil || b.m.Deleted(t.ID) != nil {
		return Item{Code: protocol.InvalidRequest,
			Message: "Topic id " + t.ID.String() + " is not free."}
	}
	if len(t.Replicas) == 0 {
		return Item{Code: protocol.InvalidPartitions,
			Message: "Number of partitions was set to an invalid non-positive value."}
	}
	if it := b.checkReplicas(t.Replicas); it.Code != protocol.None {
		return it
	}
	topic := &Topic{ID: t.ID, Name: t.Name, Internal: InternalTopic(t.Name), Created: b.index,
		Partitions: appendPartitions(nil, t.Replicas), Configs: noConfigs}
	if len(t.Configs) > 0 {
		topic.Configs = b.newConfigs(slices.Clone(t.Configs))
	}
	b.put(topic)
	b.noteName(t.Name)
	b.m.partitions += len(t.Replicas)
	return Item{Topic: t.ID}
}

// checkReplicas looks again at what the planner chose: a broker may have gone meanwhile.
func (b *builder) checkReplicas(parts [][]protocol.NodeID) Item {
	bad := func(format string, args ...any) Item {
		return Item{Code: protocol.InvalidReplicaAssignment,
			Message: fmt.Sprintf(format, args...)}
	}
	for _, replicas := range parts {
		if len(replicas) == 0 {
			return bad("The manual partition assignment includes an empty replica list.")
		}
		if len(replicas) != len(parts[0]) {
			return bad("The manual partition assignment includes a partition with %d "+
				"replica(s), but this is not consistent with previous partitions, which "+
				"have %d replica(s).", len(replicas), len(parts[0]))
		}
		for i, id := range replicas {
			if slices.Contains(replicas[:i], id) {
				return bad("The manual partition assignment includes the broker %d more "+
					"than once.", id)
			}
			if b.m.Broker(id) == nil {
				return bad("The manual partition assignment includes broker %d, but no "+
					"such broker is registered.", id)
			}
		}
	}
	return Item{}
}

func appendPartitions(parts []Partition, replicas [][]protocol.NodeID) []Partition {
	all := make([]Partition, len(parts), len(parts)+len(replicas))
	copy(all, parts)
	for _, r := range replicas {
		all = append(all, Partition{Leader: r[0], Replicas: r, ISR: r})
	}
	return all
}

// put makes t the topic of its name and id.
func (b *builder) put(t *Topic) {
	b.m.topics = b.m.topics.set(t.Name, t)
	b.m.ids = b.m.ids.set(t.ID, t)
}

func (c DeleteTopics) apply(b *builder) Outcome {
	out := Outcome{Items: make([]Item, len(c.IDs))}
	for i, id := range c.IDs {
		out.Items[i] = b.remove(id)
	}
	return out
}

func (b *builder) remove(id protocol.TopicID) Item {
	t := b.m.TopicByID(id)
	if t == nil {
		return Item{Code: protocol.UnknownTopicId,
			Message: protocol.UnknownTopicId.Message(), Topic: id}
	}
	d := &Deleted{ID: id, Name: t.Name}
	for i := range t.Partitions {
		for _, r := range t.Partitions[i].Replicas {
			if !slices.Contains(d.Pending, r) {
				d.Pending = append(d.Pending, r)
			}
		}
	}
	slices.Sort(d.Pending)
	b.m.deleted = b.m.deleted.set(id, d)
	b.m.topics = b.m.topics.delete(t.Name)
	b.m.ids = b.m.ids.delete(id)
	b.forgetName(t.Name)
	b.m.partitions -= len(t.Partitions)
	return Item{Topic: id}
}

func (c AddPartitions) apply(b *builder) Outcome {
	out := Outcome{Items: make([]Item, len(c.Topics))}
	for i := range c.Topics {
		out.Items[i] = b.grow(&c.Topics[i])
	}
	return out
}

func (b *builder) grow(p *MorePartitions) Item {
	t := b.m.TopicByID(p.Topic)
	if t == nil {
		return Item{Code: protocol.UnknownTopicOrPartition,
			Message: protocol.UnknownTopicOrPartition.Message(), Topic: p.Topic}
	}
	if int(p.From) != len(t.Partitions) || len(p.Replicas) == 0 {
		it := notAnIncrease(t, int(p.From)+len(p.Replicas))
		it.Topic = p.Topic
		return it
	}
	if it := b.checkReplicas(p.Replicas); it.Code != protocol.None {
		it.Topic = p.Topic
		return it
	}
	n := *t
	n.Partitions = appendPartitions(t.Partitions, p.Replicas)
	b.put(&n)
	b.m.partitions += len(p.Replicas)
	return Item{Topic: p.Topic}
}

// notAnIncrease words why a topic cannot have so many partitions.
func notAnIncrease(t *Topic, want int) Item {
	have := len(t.Partitions)
	m := "The topic " + t.Name + " currently has " + strconv.Itoa(have) + " partition(s); " +
		strconv.Itoa(want) + " would not be an increase."
	if want == have {
		m = "Topic already has " + strconv.Itoa(have) + " partition(s)."
	}
	return Item{Code: protocol.InvalidPartitions, Message: m}
}

func (c AllocateProducerIDs) apply(b *builder) Outcome {
	if c.Count <= 0 {
		return one(protocol.InvalidRequest, "A block of producer ids must not be empty.")
	}
	if b.m.nextPID > math.MaxInt64-int64(c.Count) {
		return one(protocol.UnknownServerError, "All producer ids are used up.")
	}
	out := one(protocol.None, "")
	out.FirstProducerID = b.m.nextPID
	b.m.nextPID += int64(c.Count)
	return out
}

func (c RegisterBroker) apply(b *builder) Outcome {
	epoch := int64(b.index)
	if old := b.m.Broker(c.ID); old != nil && old.Incarnation == c.Incarnation {
		epoch = old.Epoch // the same start, told twice
	} else if c.NewEpochs {
		b.newEpochs(c.ID)
	}
	all := slices.DeleteFunc(slices.Clone(b.m.brokers),
		func(o Broker) bool { return o.ID == c.ID })
	all = append(all, Broker{ID: c.ID, Incarnation: c.Incarnation, Epoch: epoch,
		Rack: c.Rack, Endpoints: c.Endpoints})
	slices.SortFunc(all, func(x, y Broker) int { return int(x.ID) - int(y.ID) })
	b.m.brokers = all
	out := one(protocol.None, "")
	out.BrokerEpoch = epoch
	return out
}

// newEpochs starts a new leader epoch in every partition that a broker leads.
func (b *builder) newEpochs(id protocol.NodeID) {
	for _, t := range sortedTopics(b.m.topics) {
		var parts []Partition
		for i := range t.Partitions {
			if t.Partitions[i].Leader != id {
				continue
			}
			if parts == nil {
				parts = slices.Clone(t.Partitions)
			}
			parts[i].LeaderEpoch++
			parts[i].PartitionEpoch++
		}
		if parts != nil {
			n := *t
			n.Partitions = parts
			b.put(&n)
		}
	}
}

func (c Purged) apply(b *builder) Outcome {
	out := Outcome{Items: make([]Item, len(c.IDs))}
	for i, id := range c.IDs {
		out.Items[i].Topic = id
		d := b.m.Deleted(id)
		if d == nil || !slices.Contains(d.Pending, c.Broker) {
			continue
		}
		left := slices.DeleteFunc(slices.Clone(d.Pending),
			func(o protocol.NodeID) bool { return o == c.Broker })
		if len(left) == 0 {
			b.m.deleted = b.m.deleted.delete(id)
			continue
		}
		n := *d
		n.Pending = left
		b.m.deleted = b.m.deleted.set(id, &n)
	}
	return out
}
