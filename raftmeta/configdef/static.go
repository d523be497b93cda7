package configdef

import (
	"errors"
	"fmt"
	"strings"
)

// Errors of CheckStatic.
var (
	ErrUnknownName = errors.New("not a name of Kafka's server properties")
	ErrBadValue    = errors.New("impossible value")
)

// Idle is a setting that was accepted but changes nothing here.
type Idle struct{ Name, Why string }

// CheckStatic judges server properties. Unknown names and impossible values are refused;
// names without effect come back sorted, each with the reason.
func CheckStatic(values map[string]string) ([]Idle, error) {
	var idle []Idle
	var faults []error
	for _, name := range sorted(values) {
		if why := removedBroker(name); why != "" {
			idle = append(idle, Idle{name, why})
			continue
		}
		if plugin(name) {
			idle = append(idle, Idle{name, "plug-ins are not loaded"})
			continue
		}
		d := anyBroker(name)
		if d == nil {
			faults = append(faults, fmt.Errorf("configdef: %s: %w%s", name, ErrUnknownName,
				didYouMean(name)))
			continue
		}
		if _, why := d.Parse(values[name]); why != "" {
			faults = append(faults, fmt.Errorf("configdef: %w: %s", ErrBadValue, why))
			continue
		}
		if !effective[d.name] {
			idle = append(idle, Idle{name, "nothing here depends on it"})
		}
	}
	return idle, errors.Join(faults...)
}

// HasEffect says whether a broker or topic config changes what this broker does.
func HasEffect(name string) bool { return effective[name] || effectiveTopic[name] }

// plugin names belong to classes that Kafka would load.
func plugin(name string) bool {
	for _, p := range []string{"rsm.config.", "rlmm.config.", "config.providers.",
		"confluent.", "cruise.control.", "metric.reporters."} {
		if strings.HasPrefix(name, p) && name != "config.providers" {
			return true
		}
	}
	return false
}

// removedTopic are topic configs that older Kafkas had, and why they went.
var removedTopic = map[string]string{
	"message.format.version":              "record batches are always of format 2",
	"message.downconversion.enable":       "record batches are always of format 2",
	"message.timestamp.difference.max.ms": "see message.timestamp.before.max.ms and after",
}

// removed are broker configs that older Kafkas had, and why they went.
var removed = map[string]string{
	"inter.broker.protocol.version":           "versions are agreed on as features",
	"log.message.format.version":              "record batches are always of format 2",
	"log.message.downconversion.enable":       "record batches are always of format 2",
	"log.message.timestamp.difference.max.ms": "see log.message.timestamp.before.max.ms and after",
	"control.plane.listener.name":             "there is no ZooKeeper",
	"broker.id.generation.enable":             "there is no ZooKeeper",
	"reserved.broker.max.id":                  "there is no ZooKeeper",
	"zookeeper.metadata.migration.enable":     "there is no ZooKeeper",
	"offsets.commit.required.acks":            "committed offsets are as durable as acks=all",
	"delegation.token.master.key":             "see delegation.token.secret.key",
	"auto.include.jmx.reporter":               "there is no JMX",
	"jmx.port":                                "there is no JMX",
	"eligible.leader.replicas.enable":         "it is a feature level",
	"controlled.shutdown.max.retries":         "there is no ZooKeeper",
	"controlled.shutdown.retry.backoff.ms":    "there is no ZooKeeper",
	"leader.imbalance.per.broker.percentage":  "Kafka 4.3 does not have it",
	"group.coordinator.new.enable":            "there is one group coordinator",
	"group.share.enable":                      "it is a feature level",
	"replica.lag.max.messages":                "see replica.lag.time.max.ms",
	"quota.producer.default":                  "quotas are set by kafka-configs",
	"quota.consumer.default":                  "quotas are set by kafka-configs",
	"host.name":                               "see listeners",
	"port":                                    "see listeners",
	"advertised.host.name":                    "see advertised.listeners",
	"advertised.port":                         "see advertised.listeners",
}

func removedBroker(name string) string {
	if strings.HasPrefix(name, "zookeeper.") {
		return "there is no ZooKeeper"
	}
	if strings.HasPrefix(name, "password.encoder.") {
		return "there is no ZooKeeper"
	}
	return removed[name]
}

// didYouMean helps with a topic's name for what a broker calls otherwise, and with typing
// errors of one letter.
func didYouMean(name string) string {
	if list := topicSynonyms[name]; len(list) > 0 {
		return " (did you mean " + list[0].name + "?)"
	}
	for _, d := range brokers.list {
		if !d.Internal() && nearlyEqual(d.name, name) {
			return " (did you mean " + d.name + "?)"
		}
	}
	return ""
}

// nearlyEqual says whether one letter more, less or other, or two swapped, makes a into b.
func nearlyEqual(a, b string) bool {
	i := 0
	for i < len(a) && i < len(b) && a[i] == b[i] {
		i++
	}
	x, y := a[i:], b[i:]
	rest := func(s string, n int) string { return s[min(n, len(s)):] }
	return rest(x, 1) == rest(y, 1) || x == rest(y, 1) || rest(x, 1) == y ||
		len(x) > 1 && len(y) > 1 && x[0] == y[1] && x[1] == y[0] && x[2:] == y[2:]
}

func set(names ...string) map[string]bool {
	m := make(map[string]bool, len(names))
	for _, n := range names {
		m[n] = true
	}
	return m
}

// effective are the broker configs that change what this broker does.
var effective = set(
	"node.id", "broker.id", "process.roles", "broker.rack", "log.dir", "log.dirs",
	"listeners", "advertised.listeners", "listener.security.protocol.map",
	"controller.listener.names", "inter.broker.listener.name",
	"socket.request.max.bytes", "socket.listen.backlog.size", "max.connections",
	"max.connections.per.ip", "connections.max.idle.ms",
	"auto.create.topics.enable", "delete.topic.enable", "num.partitions",
	"default.replication.factor", "fetch.max.bytes",
	"max.incremental.fetch.session.cache.slots", "max.request.partition.size.limit",
	"offsets.topic.num.partitions", "offsets.topic.segment.bytes",
	"offsets.topic.replication.factor", "offset.metadata.max.bytes",
	"offsets.retention.minutes", "offsets.retention.check.interval.ms",
	"group.initial.rebalance.delay.ms", "group.min.session.timeout.ms",
	"group.max.session.timeout.ms", "group.max.size", "producer.id.expiration.ms",
	"message.max.bytes", "log.segment.bytes", "log.roll.ms", "log.roll.hours",
	"log.roll.jitter.ms", "log.roll.jitter.hours", "log.retention.ms",
	"log.retention.minutes", "log.retention.hours", "log.retention.bytes",
	"log.cleanup.policy", "log.index.interval.bytes", "log.index.size.max.bytes",
	"log.segment.delete.delay.ms", "compression.type", "compression.gzip.level",
	"compression.lz4.level", "compression.zstd.level", "log.message.timestamp.type",
	"log.message.timestamp.before.max.ms", "log.message.timestamp.after.max.ms",
	"min.insync.replicas",
	"log.cleaner.enable", "log.cleaner.threads", "log.cleaner.dedupe.buffer.size",
	"log.cleaner.io.buffer.size", "log.cleaner.io.buffer.load.factor",
	"log.cleaner.io.max.bytes.per.second", "log.cleaner.backoff.ms",
	"log.cleaner.min.cleanable.ratio", "log.cleaner.delete.retention.ms",
	"log.cleaner.min.compaction.lag.ms", "log.cleaner.max.compaction.lag.ms",
)

// effectiveTopic are the topic configs that change what this broker does.
var effectiveTopic = set(
	"cleanup.policy", "compression.type", "compression.gzip.level", "compression.lz4.level",
	"compression.zstd.level", "file.delete.delay.ms", "index.interval.bytes",
	"max.message.bytes", "message.timestamp.type", "message.timestamp.before.max.ms",
	"message.timestamp.after.max.ms", "min.insync.replicas", "retention.bytes",
	"retention.ms", "segment.bytes", "segment.index.bytes", "segment.jitter.ms", "segment.ms",
	"min.cleanable.dirty.ratio", "min.compaction.lag.ms", "max.compaction.lag.ms",
	"delete.retention.ms",
)
