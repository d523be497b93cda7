package configdef

import (
	"strconv"
	"strings"

	"millrace/protocol"
	"millrace/raftmeta"
)

// Resolver answers what is in force on one broker, and is cheap while images change only in
// other things than configs. It belongs to one goroutine: every core has its own.
type Resolver struct {
	node   string
	static map[string]string
	cached *view
}

// view is everything that depends on the broker's configs alone.
type view struct {
	own, all *raftmeta.Configs // dynamic: of this broker, of all
	base     TopicConfig       // of a topic without overrides
	memo     map[*raftmeta.Configs]*TopicConfig
}

// maxMemo bounds the memo of a view: it is thrown away when old overrides fill it.
const maxMemo = 1 << 16

// NewResolver is for broker node with the given static properties, as checked by
// CheckStatic; they should have what the broker runs with, such as node.id, log.dirs and
// listeners, also where no file said it.
func NewResolver(node protocol.NodeID, static map[string]string) *Resolver {
	r := &Resolver{node: strconv.Itoa(int(node)), static: map[string]string{}}
	for name, v := range static {
		r.static[name] = v
	}
	return r
}

func (r *Resolver) view(m *raftmeta.Image) *view {
	own := m.Configs(raftmeta.Resource{Type: raftmeta.ResourceBroker, Name: r.node})
	all := m.Configs(raftmeta.Resource{Type: raftmeta.ResourceBroker})
	if v := r.cached; v != nil && v.own == own && v.all == all && len(v.memo) < maxMemo {
		return v
	}
	v := &view{own: own, all: all, memo: map[*raftmeta.Configs]*TopicConfig{}}
	for _, d := range topics.list {
		s, _, ok := r.inherited(v, d)
		if !ok {
			continue
		}
		if set := setters[d.name]; set != nil {
			set(&v.base, s)
		}
	}
	r.cached = v
	return v
}

// Topic gives a topic's configuration with everything it inherits. Shared: do not write.
func (r *Resolver) Topic(m *raftmeta.Image, t *raftmeta.Topic) *TopicConfig {
	v := r.view(m)
	if t.Configs.Len() == 0 {
		return &v.base
	}
	if c := v.memo[t.Configs]; c != nil {
		return c
	}
	c := new(TopicConfig)
	*c = v.base
	for _, e := range t.Configs.List() {
		if d := Topic(e.Name); d != nil && setters[e.Name] != nil {
			if s, why := d.Parse(e.Value); why == "" {
				setters[e.Name](c, s)
			}
		}
	}
	v.memo[t.Configs] = c
	return c
}

// lookup finds a broker config by its own name: dynamic, then static.
func (r *Resolver) lookup(v *view, name string) (string, Source, bool) {
	if s, ok := v.own.Get(name); ok {
		return s, SourceBroker, true
	}
	if s, ok := v.all.Get(name); ok {
		return s, SourceDefaultBroker, true
	}
	s, ok := r.static[name]
	return s, SourceStatic, ok
}

// broker is the value in force of a broker config and of its synonyms, in its own unit's
// words; false means null. Values that do not parse count as not set (I1).
func (r *Resolver) broker(v *view, d *Def) (string, Source, bool) {
	if s, src, ok := r.lookup(v, d.name); ok {
		if s, why := d.Parse(s); why == "" {
			return s, src, true
		}
	}
	s, ok := d.Default()
	return s, SourceDefault, ok
}

// inherited is what a topic has without its own override.
func (r *Resolver) inherited(v *view, d *Def) (string, Source, bool) {
	for _, syn := range topicSynonyms[d.name] {
		b := Broker(syn.name)
		s, src, ok := r.broker(v, b)
		if !ok {
			continue
		}
		if syn.factor == 1 {
			return s, src, true
		}
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			continue
		}
		if n < 0 { // -1 means no limit in every unit
			return "-1", src, true
		}
		return strconv.FormatInt(n*syn.factor, 10), src, true
	}
	s, ok := d.Default()
	return s, SourceDefault, ok
}

// Value is the value in force of a broker config, false if there is none.
func (r *Resolver) Value(m *raftmeta.Image, name string) (string, bool) {
	d := Broker(name)
	if d == nil {
		return "", false
	}
	s, _, ok := r.broker(r.view(m), d)
	return s, ok
}

// Int64 is Value as a number, 0 if there is none.
func (r *Resolver) Int64(m *raftmeta.Image, name string) int64 {
	s, _ := r.Value(m, name)
	n, _ := strconv.ParseInt(s, 10, 64)
	return n
}

// Bool is Value as true or false.
func (r *Resolver) Bool(m *raftmeta.Image, name string) bool {
	s, _ := r.Value(m, name)
	return s == "true"
}

// static64 is a number that only the static file can set.
func (r *Resolver) static64(name string) int64 {
	d := Broker(name)
	s, given := r.static[name]
	if v, why := d.Parse(s); given && why == "" {
		s = v
	} else {
		s = d.def
	}
	n, _ := strconv.ParseInt(s, 10, 64)
	return n
}

// listDefault is the list that an append or subtract starts from.
func (r *Resolver) listDefault(m *raftmeta.Image, res raftmeta.Resource, d *Def) string {
	switch res.Type {
	case raftmeta.ResourceTopic:
		s, _, _ := r.inherited(r.view(m), d)
		return s
	case raftmeta.ResourceBroker:
		if res.Name == r.node || res.Name == "" {
			s, ok := r.static[d.name]
			if ok {
				return s
			}
		}
	}
	s, _ := d.Default()
	return s
}

// setters put one parsed value into a TopicConfig.
var setters = map[string]func(*TopicConfig, string){
	"cleanup.policy": func(c *TopicConfig, s string) {
		list := "," + s + ","
		c.CleanupDelete = strings.Contains(list, ",delete,")
		c.CleanupCompact = strings.Contains(list, ",compact,")
	},
	"compression.type": func(c *TopicConfig, s string) { c.Compression = compressions[s] },
	"message.timestamp.type": func(c *TopicConfig, s string) {
		c.LogAppendTime = s == "LogAppendTime"
	},
	"min.cleanable.dirty.ratio": func(c *TopicConfig, s string) {
		c.MinCleanableDirtyRatio, _ = strconv.ParseFloat(s, 64)
	},
	"internal.segment.bytes": func(c *TopicConfig, s string) {
		c.SegmentBytes = max(1, toInt(s)) // Kafka's own tests use it, and ours
		c.segmentInternal = true
	},
	"segment.bytes": func(c *TopicConfig, s string) {
		if !c.segmentInternal {
			c.SegmentBytes = toInt(s)
		}
	},
	"retention.ms":          long(func(c *TopicConfig) *int64 { return &c.RetentionMs }),
	"retention.bytes":       long(func(c *TopicConfig) *int64 { return &c.RetentionBytes }),
	"local.retention.ms":    long(func(c *TopicConfig) *int64 { return &c.LocalRetentionMs }),
	"local.retention.bytes": long(func(c *TopicConfig) *int64 { return &c.LocalRetentionBytes }),
	"delete.retention.ms":   long(func(c *TopicConfig) *int64 { return &c.DeleteRetentionMs }),
	"file.delete.delay.ms":  long(func(c *TopicConfig) *int64 { return &c.FileDeleteDelayMs }),
	"segment.ms":            long(func(c *TopicConfig) *int64 { return &c.SegmentMs }),
	"segment.jitter.ms":     long(func(c *TopicConfig) *int64 { return &c.SegmentJitterMs }),
	"flush.messages":        long(func(c *TopicConfig) *int64 { return &c.FlushMessages }),
	"flush.ms":              long(func(c *TopicConfig) *int64 { return &c.FlushMs }),
	"min.compaction.lag.ms": long(func(c *TopicConfig) *int64 { return &c.MinCompactionLagMs }),
	"max.compaction.lag.ms": long(func(c *TopicConfig) *int64 { return &c.MaxCompactionLagMs }),
	"message.timestamp.before.max.ms": long(func(c *TopicConfig) *int64 {
		return &c.TimestampBeforeMs
	}),
	"message.timestamp.after.max.ms": long(func(c *TopicConfig) *int64 {
		return &c.TimestampAfterMs
	}),
	"segment.index.bytes":    number(func(c *TopicConfig) *int32 { return &c.SegmentIndexBytes }),
	"index.interval.bytes":   number(func(c *TopicConfig) *int32 { return &c.IndexIntervalBytes }),
	"max.message.bytes":      number(func(c *TopicConfig) *int32 { return &c.MaxMessageBytes }),
	"min.insync.replicas":    number(func(c *TopicConfig) *int32 { return &c.MinInsyncReplicas }),
	"compression.gzip.level": number(func(c *TopicConfig) *int32 { return &c.GzipLevel }),
	"compression.lz4.level":  number(func(c *TopicConfig) *int32 { return &c.Lz4Level }),
	"compression.zstd.level": number(func(c *TopicConfig) *int32 { return &c.ZstdLevel }),
	"preallocate":            truth(func(c *TopicConfig) *bool { return &c.Preallocate }),
	"unclean.leader.election.enable": truth(func(c *TopicConfig) *bool {
		return &c.UncleanLeaderElection
	}),
}

func long(field func(*TopicConfig) *int64) func(*TopicConfig, string) {
	return func(c *TopicConfig, s string) { *field(c), _ = strconv.ParseInt(s, 10, 64) }
}

func number(field func(*TopicConfig) *int32) func(*TopicConfig, string) {
	return func(c *TopicConfig, s string) { *field(c) = toInt(s) }
}

func truth(field func(*TopicConfig) *bool) func(*TopicConfig, string) {
	return func(c *TopicConfig, s string) { *field(c) = s == "true" }
}

func toInt(s string) int32 {
	n, _ := strconv.ParseInt(s, 10, 32)
	return int32(n)
}

var compressions = map[string]Compression{
	"producer": CompressionProducer, "uncompressed": CompressionUncompressed,
	"gzip": CompressionGzip, "snappy": CompressionSnappy, "lz4": CompressionLz4,
	"zstd": CompressionZstd,
}
