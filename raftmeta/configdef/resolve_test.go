package configdef

import (
	"math"
	"testing"

	"millrace/protocol"
	"millrace/raftmeta"
)

func TestTopicConfigDefaults(t *testing.T) {
	q := world(t)
	got := *NewResolver(1, nil).Topic(q.Image(), q.Image().Topic("plain"))
	want := TopicConfig{
		CleanupDelete: true, RetentionMs: 604800000, RetentionBytes: -1,
		LocalRetentionMs: -2, LocalRetentionBytes: -2, DeleteRetentionMs: 86400000,
		FileDeleteDelayMs: 60000, SegmentBytes: 1 << 30, SegmentMs: 604800000,
		SegmentIndexBytes: 10 << 20, IndexIntervalBytes: 4096, MaxMessageBytes: 1048588,
		MinInsyncReplicas: 1, FlushMessages: math.MaxInt64, FlushMs: math.MaxInt64,
		Compression: CompressionProducer, GzipLevel: -1, Lz4Level: 9, ZstdLevel: 3,
		TimestampBeforeMs: math.MaxInt64, TimestampAfterMs: 3600000,
		MinCleanableDirtyRatio: 0.5, MaxCompactionLagMs: math.MaxInt64,
	}
	if got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestPrecedence(t *testing.T) {
	q := world(t)
	topic := func() *raftmeta.Topic { return q.Image().Topic("plain") }
	r := NewResolver(1, map[string]string{"log.retention.hours": "2", "log.roll.ms": "7",
		"log.roll.hours": "1"})
	c := r.Topic(q.Image(), topic())
	if c.RetentionMs != 2*3600_000 || c.SegmentMs != 7 {
		t.Fatalf("static: %d %d", c.RetentionMs, c.SegmentMs)
	}
	if NewResolver(1, map[string]string{"log.retention.hours": "-1"}).
		Topic(q.Image(), topic()).RetentionMs != -1 {
		t.Error("-1 hours is no limit")
	}
	for _, s := range []struct {
		typ                raftmeta.ResourceType
		name, conf, value  string
		retention, segment int64
	}{
		{raftmeta.ResourceBroker, "", "log.retention.ms", "30", 30, 7},
		{raftmeta.ResourceBroker, "2", "log.retention.ms", "99", 30, 7},
		{raftmeta.ResourceBroker, "1", "log.retention.ms", "40", 40, 7},
		{raftmeta.ResourceTopic, "plain", "retention.ms", "50", 50, 7},
		{raftmeta.ResourceTopic, "plain", "segment.ms", "60", 50, 60},
		{raftmeta.ResourceBroker, "1", "log.retention.ms", "nonsense", 50, 60},
	} {
		one(t, q, raftmeta.RegisterBroker{ID: 2})
		one(t, q, set1(s.typ, s.name, s.conf, s.value))
		c := r.Topic(q.Image(), topic())
		if c.RetentionMs != s.retention || c.SegmentMs != s.segment {
			t.Errorf("after %+v: %d %d", s, c.RetentionMs, c.SegmentMs)
		}
	}
	if over := r.Topic(q.Image(), q.Image().Topic("over")); over.RetentionMs != 1000 ||
		!over.CleanupCompact || !over.CleanupDelete || over.SegmentBytes != 2<<20 {
		t.Errorf("%+v", over)
	}
	one(t, q, set1(raftmeta.ResourceTopic, "plain", "internal.segment.bytes", "500"))
	one(t, q, set1(raftmeta.ResourceTopic, "plain", "segment.bytes", "2000000"))
	if c := r.Topic(q.Image(), topic()); c.SegmentBytes != 500 {
		t.Errorf("internal segment size: %d", c.SegmentBytes)
	}
}

func TestResolveIsCached(t *testing.T) {
	q, r := world(t), NewResolver(1, static)
	m := q.Image()
	plain, over := m.Topic("plain"), m.Topic("over")
	a, b := r.Topic(m, plain), r.Topic(m, over)
	one(t, q, raftmeta.CreateTopics{Topics: []raftmeta.NewTopic{{ID: protocol.TopicID{9},
		Name: "other", Replicas: [][]int32{{1}}}}})
	m = q.Image()
	if r.Topic(m, m.Topic("plain")) != a || r.Topic(m, m.Topic("over")) != b {
		t.Error("another image, the same configs: resolved anew")
	}
	if n := testing.AllocsPerRun(100, func() { r.Topic(m, plain); r.Topic(m, over) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
	one(t, q, set1(raftmeta.ResourceBroker, "", "log.retention.ms", "1"))
	if m = q.Image(); r.Topic(m, m.Topic("plain")).RetentionMs != 1 {
		t.Error("stale")
	}
	if r.Int64(m, "log.retention.ms") != 1 || r.Bool(m, "auto.create.topics.enable") != true ||
		r.Int64(m, "num.partitions") != 1 {
		t.Error("broker values")
	}
}
