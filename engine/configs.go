package engine

import (
	"strconv"

	"millrace/internal/invariant"
	"millrace/protocol"
	"millrace/raftmeta"
	"millrace/raftmeta/configdef"
)

// resolveTopic is a topic's configuration with everything it inherits.
func resolveTopic(cfg *Config, img *raftmeta.Image, t *raftmeta.Topic) *configdef.TopicConfig {
	return &configdef.TopicConfig{
		CleanupDelete: true, RetentionMs: 7 * 24 * 3600_000, RetentionBytes: -1,
		SegmentBytes: 1 << 30, SegmentMs: 7 * 24 * 3600_000, SegmentIndexBytes: 10 << 20,
		IndexIntervalBytes: 4096, MaxMessageBytes: 1048588, MinInsyncReplicas: 1,
		Compression: configdef.CompressionProducer, TimestampBeforeMs: 1<<63 - 1,
		TimestampAfterMs: 3600_000, FileDeleteDelayMs: 60_000,
	}
}

func (c *Core) topicConfig(t *raftmeta.Topic) *configdef.TopicConfig {
	return resolveTopic(c.cfg, c.topics.image, t)
}

// newTopic is the command for a topic on this broker alone.
func newTopic(c *Core, name string, parts int32, configs []raftmeta.Config) raftmeta.NewTopic {
	t := raftmeta.NewTopic{ID: newTopicID(), Name: name, Configs: configs}
	for range parts {
		t.Replicas = append(t.Replicas, []protocol.NodeID{c.cfg.NodeID})
	}
	return t
}

// offsetsConfigs are the overrides that Kafka gives __consumer_offsets.
func offsetsConfigs(cfg *Config) []raftmeta.Config {
	return []raftmeta.Config{
		{Name: "cleanup.policy", Value: "compact"},
		{Name: "compression.type", Value: "producer"},
		{Name: "segment.bytes", Value: strconv.FormatInt(cfg.OffsetsSegmentBytes, 10)},
	}
}

// newTopicID is a random id; never zero, and without a leading dash in its text.
func newTopicID() protocol.TopicID {
	id, err := protocol.ParseTopicID(newID())
	invariant.Check(err == nil && !id.IsZero())
	return id
}

// features are the levels that a new cluster finalizes: what this broker can do.
func features() []raftmeta.Feature {
	return []raftmeta.Feature{
		{Name: "kraft.version", Level: 1},
		{Name: "metadata.version", Level: 29},
	}
}

// advertised is the address that a client is told, by the listener it came in on.
func (c *Core) advertised(rq *Request) (host string, port int32) {
	l := &c.bound[rq.Listener]
	if l.Host != "" {
		return l.Host, l.Port
	}
	return rq.Local, l.Port
}

// topicDefaults are num.partitions and default.replication.factor.
func (c *Core) topicDefaults() raftmeta.Defaults {
	d := raftmeta.Defaults{Partitions: c.cfg.NumPartitions, Replication: 1}
	if n, err := strconv.ParseInt(c.cfg.Static["default.replication.factor"], 10, 16); err == nil {
		d.Replication = int16(n)
	}
	return d
}
