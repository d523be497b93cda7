package engine

import (
	"maps"
	"net"
	"path/filepath"
	"strconv"
	"strings"

	"millrace/internal/invariant"
	"millrace/protocol"
	"millrace/raftmeta"
	"millrace/raftmeta/configdef"
)

// newResolver knows what configs are in force on this broker. What it runs with is
// static, also where a flag said it and not a file.
func newResolver(cfg *Config) *configdef.Resolver {
	static := make(map[string]string, len(cfg.Static)+8)
	maps.Copy(static, cfg.Static)
	static["node.id"] = strconv.Itoa(int(cfg.NodeID))
	static["broker.id"] = static["node.id"]
	var logDirs []string
	for _, dir := range cfg.dirs() {
		logDirs = append(logDirs, logDir(dir))
	}
	static["log.dirs"] = strings.Join(logDirs, ",")
	if static["process.roles"] == "" {
		static["process.roles"] = "broker,controller"
	}
	var bind, told []string
	for _, l := range cfg.Listeners {
		bind = append(bind, l.Name+"://"+l.Bind)
		if l.Host != "" {
			told = append(told, l.Name+"://"+net.JoinHostPort(l.Host, strconv.Itoa(int(l.Port))))
		}
	}
	static["listeners"] = strings.Join(bind, ",")
	if len(told) > 0 {
		static["advertised.listeners"] = strings.Join(told, ",")
	}
	if cfg.Rack != "" {
		static["broker.rack"] = cfg.Rack
	}
	return configdef.NewResolver(cfg.NodeID, static)
}

func (c *Core) topicConfig(t *raftmeta.Topic) *configdef.TopicConfig {
	return c.configs.Topic(c.topics.image, t)
}

// logDir is the directory of partitions, as Kafka's log.dirs names it.
func logDir(data string) string {
	dir := filepath.Join(data, "log")
	if abs, err := filepath.Abs(dir); err == nil {
		return abs
	}
	return dir
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
func features() []raftmeta.Feature { return Features() }

// Features are the levels that a cluster is founded with.
func Features() []raftmeta.Feature {
	return []raftmeta.Feature{
		{Name: "kraft.version", Level: 1},
		{Name: "metadata.version", Level: 30},
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
	if n := c.configs.Int64(c.topics.image, "default.replication.factor"); n > 0 {
		d.Replication = int16(n)
	}
	return d
}
