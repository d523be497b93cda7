package configdef

import (
	"strings"
	"testing"

	"millrace/protocol"
	"millrace/raftmeta"
)

// TestTopicValuesAsKafkaJudgesThem holds refusals against the words of a real 4.3.1.
func TestTopicValuesAsKafkaJudgesThem(t *testing.T) {
	const throttle = "leader.replication.throttled.replicas must be the literal '*' or a " +
		"list of replicas in the following format: " +
		"[partitionId]:[brokerId],[partitionId]:[brokerId],..."
	for _, c := range [][3]string{
		{"retention.ms", "-2", "Invalid value -2 for configuration retention.ms: Value must be at least -1"},
		{"retention.ms", "abc", "Invalid value abc for configuration retention.ms: Not a number of type LONG"},
		{"retention.ms", "", "Invalid value  for configuration retention.ms: Not a number of type LONG"},
		{"retention.ms", "99999999999999999999", "Invalid value 99999999999999999999 for configuration retention.ms: Not a number of type LONG"},
		{"segment.bytes", "10", "Invalid value 10 for configuration segment.bytes: Value must be at least 1048576"},
		{"segment.bytes", "99999999999", "Invalid value 99999999999 for configuration segment.bytes: Not a number of type INT"},
		{"cleanup.policy", "foo", "Invalid value foo for configuration cleanup.policy: String must be one of: compact, delete"},
		{"cleanup.policy", "", ""},
		{"cleanup.policy", "delete,delete", ""},
		{"cleanup.policy", " compact , delete ", ""},
		{"compression.type", "lzo",
			"Invalid value lzo for configuration compression.type: String must be one of: uncompressed, zstd, lz4, snappy, gzip, producer"},
		{"compression.type", "GZIP",
			"Invalid value GZIP for configuration compression.type: String must be one of: uncompressed, zstd, lz4, snappy, gzip, producer"},
		{"compression.gzip.level", "0", "Invalid value 0 for configuration compression.gzip.level: Value must be between 1 and 9 or equal to -1"},
		{"compression.gzip.level", "-1", ""},
		{"compression.zstd.level", "23", "Invalid value 23 for configuration compression.zstd.level: Value must be no more than 22"},
		{"min.cleanable.dirty.ratio", "1.5", "Invalid value 1.5 for configuration min.cleanable.dirty.ratio: Value must be no more than 1"},
		{"min.cleanable.dirty.ratio", "x", "Invalid value x for configuration min.cleanable.dirty.ratio: Not a number of type DOUBLE"},
		{"unclean.leader.election.enable", "maybe",
			"Invalid value maybe for configuration unclean.leader.election.enable: Expected value to be either true or false"},
		{"unclean.leader.election.enable", "TRUE", ""},
		{"preallocate", " true ", ""},
		{"message.timestamp.type", "foo", "Invalid value foo for configuration message.timestamp.type: String must be one of: CreateTime, LogAppendTime"},
		{"leader.replication.throttled.replicas", "x", "Invalid value [x] for configuration leader.replication.throttled.replicas: " + throttle},
		{"leader.replication.throttled.replicas", "none", "Invalid value [none] for configuration leader.replication.throttled.replicas: " + throttle},
		{"leader.replication.throttled.replicas", "*", ""},
		{"leader.replication.throttled.replicas", "0:1,1:1", ""},
		{"unknown.name", "1", "Unknown topic config name: unknown.name"},
		{"internal.segment.bytes", "1000", ""},
		{"remote.storage.enable", "true", "Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote log storage."},
		{"min.insync.replicas", "0", "Invalid value 0 for configuration min.insync.replicas: Value must be at least 1"},
		{"local.retention.ms", "-3", "Invalid value -3 for configuration local.retention.ms: Value must be at least -2"},
		{"segment.ms", " 5 ", ""},
		{"message.format.version", "3.0", ""}, // Kafka refuses it; here it is dropped
	} {
		it := ValidateTopic(map[string]string{c[0]: c[1]})
		if it.Message != c[2] || (it.Code == protocol.InvalidConfig) != (c[2] != "") {
			t.Errorf("%s=%q:\n got  %v %s\n want %s", c[0], c[1], it.Code, it.Message, c[2])
		}
	}
	it := ValidateTopic(map[string]string{"min.compaction.lag.ms": "10",
		"max.compaction.lag.ms": "5"})
	if it.Message != "conflict topic config setting min.compaction.lag.ms (10) > "+
		"max.compaction.lag.ms (5)" {
		t.Error(it)
	}
}

func str(s string) *string { return &s }

func TestPlanTopic(t *testing.T) {
	list, it := PlanTopic([]Wanted{{"segment.ms", str(" 5 ")}, {"preallocate", str("TRUE")},
		{"message.format.version", str("2.8")}})
	if it.Code != protocol.None || len(list) != 2 ||
		list[0] != (raftmeta.Config{Name: "preallocate", Value: "true"}) ||
		list[1] != (raftmeta.Config{Name: "segment.ms", Value: "5"}) {
		t.Error(list, it)
	}
	_, it = PlanTopic([]Wanted{{"retention.ms", nil}})
	if it != bad(protocol.InvalidConfig, "Null value not supported for topic configs: retention.ms") {
		t.Error(it)
	}
}

type step struct {
	typ   raftmeta.ResourceType
	name  string
	op    int8
	conf  string
	value string
	code  protocol.Code
	words string
}

// TestAlterAsKafkaJudgesIt holds answers against those of a real 4.3.1.
func TestAlterAsKafkaJudgesIt(t *testing.T) {
	const T, B, G, M = raftmeta.ResourceTopic, raftmeta.ResourceBroker, raftmeta.ResourceGroup,
		raftmeta.ResourceClientMetrics
	const ok, conf, req = protocol.None, protocol.InvalidConfig, protocol.InvalidRequest
	q, r := world(t), NewResolver(1, static)
	for _, s := range []step{
		{T, "plain", 2, "cleanup.policy", "compact", ok, ""},
		{T, "plain", 3, "cleanup.policy", "delete", ok, ""},
		{T, "plain", 3, "cleanup.policy", "compact", ok, ""},
		{T, "plain", 1, "cleanup.policy", "", ok, ""},
		{T, "plain", 2, "retention.ms", "5", conf, "Can't APPEND to key retention.ms because its type is not LIST."},
		{T, "plain", 3, "nope", "5", conf, "Can't SUBTRACT to key nope because its type is not LIST."},
		{T, "plain", 0, "nope", "5", conf, "Unknown topic config name: nope"},
		{T, "plain", 1, "nope", "", ok, ""},
		{T, "missing", 0, "retention.ms", "5", protocol.UnknownTopicOrPartition, "The topic 'missing' does not exist."},
		{T, "", 0, "retention.ms", "5", req, "Default topic resources are not allowed."},
		{T, "plain", 2, "cleanup.policy", "foo", conf, "Invalid value foo for configuration cleanup.policy: String must be one of: compact, delete"},
		{B, "1", 0, "log.cleaner.threads", "2", ok, ""},
		{B, "", 0, "log.cleaner.threads", "3", ok, ""},
		{B, "1", 0, "num.partitions", "3", req, "Cannot update these configs dynamically: [num.partitions]"},
		{B, "1", 0, "log.retention.hours", "3", req, "Cannot update these configs dynamically: [log.retention.hours]"},
		{B, "1", 0, "broker.id", "4", req, "Cannot update these configs dynamically: [broker.id]"},
		{B, "", 0, "listeners", "PLAINTEXT://:9999", req, "Cannot update these configs at default cluster level, broker id must be specified: [listeners]"},
		{B, "x", 0, "log.retention.ms", "23456", req, "Node id must be an integer, but it is: x"},
		{B, "1", 0, "foo.bar", "1", ok, ""},
		{B, "1", 0, "log.retention.ms", "abc", req, "Invalid value abc for configuration log.retention.ms: Not a number of type LONG"},
		{B, "1", 0, "log.segment.bytes", "12", req, "Invalid value 12 for configuration log.segment.bytes: Value must be at least 1048576"},
		{B, "1", 0, "ssl.keystore.password", "pw", req,
			"These security configs can be dynamically updated only per-listener using the listener prefix: [ssl.keystore.password]"},
		{B, "1", 2, "log.cleanup.policy", "compact", ok, ""},
		{B, "1", 0, "listener.name.plaintext.max.connections", "100", ok, ""},
		{B, "", 0, "leader.replication.throttled.rate", "100", ok, ""},
		{G, "g1", 0, "consumer.session.timeout.ms", "50000", ok, ""},
		{G, "g1", 0, "consumer.session.timeout.ms", "0", conf, "Invalid value 0 for configuration consumer.session.timeout.ms: Value must be at least 1"},
		{G, "g1", 0, "consumer.session.timeout.ms", "5", conf,
			"consumer.session.timeout.ms must be greater than or equal to group.consumer.min.session.timeout.ms"},
		{G, "g1", 0, "foo", "5", conf, "Unknown group config name: foo"},
		{G, "", 0, "consumer.session.timeout.ms", "50000", req, "Default group resources are not allowed."},
		{M, "m1", 0, "interval.ms", "50", req, "Invalid value 50 for interval.ms, interval must be between 100 and 3600000 (1 hour)"},
		{M, "m1", 0, "interval.ms", "5000", ok, ""},
		{M, "m1", 0, "match", "client_id=abc", ok, ""},
		{M, "m1", 0, "match", "foo=abc", conf, "Illegal client matching pattern: foo=abc"},
		{M, "m1", 0, "foo", "abc", req, "Unknown client metrics configuration: foo"},
	} {
		e, it := r.PlanAlter(q.Image(), raftmeta.Resource{Type: s.typ, Name: s.name},
			[]Alter{{s.op, Wanted{s.conf, &s.value}}})
		if it.Code != s.code || it.Message != s.words {
			t.Errorf("%+v:\n got %v %s", s, it.Code, it.Message)
		}
		if it.Code == protocol.None {
			one(t, q, raftmeta.SetConfigs{Resources: []raftmeta.ResourceEdits{e}})
		}
	}
	got, _ := q.Image().Configs(raftmeta.Resource{Type: B, Name: "1"}).Get("log.cleanup.policy")
	if got != "delete,compact" {
		t.Errorf("appended to the default: %q", got)
	}
}

func TestAlterRefusesNullTwiceAndConflict(t *testing.T) {
	q, r := world(t), NewResolver(1, static)
	topic := raftmeta.Resource{Type: raftmeta.ResourceTopic, Name: "plain"}
	for _, c := range []struct {
		list []Alter
		want raftmeta.Item
	}{
		{[]Alter{{0, Wanted{"retention.ms", nil}}},
			bad(protocol.InvalidRequest, "Null value not supported for : retention.ms")},
		{[]Alter{{0, Wanted{"retention.ms", str("5")}}, {0, Wanted{"retention.ms", str("6")}}},
			bad(protocol.InvalidRequest, "Error due to duplicate config keys")},
		{[]Alter{{0, Wanted{"min.compaction.lag.ms", str("10")}},
			{0, Wanted{"max.compaction.lag.ms", str("5")}}},
			bad(protocol.InvalidConfig, "conflict topic config setting "+
				"min.compaction.lag.ms (10) > max.compaction.lag.ms (5)")},
		{[]Alter{{7, Wanted{"retention.ms", str("5")}}},
			bad(protocol.InvalidRequest, "Unknown config operation 7")},
	} {
		if _, it := r.PlanAlter(q.Image(), topic, c.list); it != c.want {
			t.Errorf("got %v, want %v", it, c.want)
		}
	}
	_, it := r.PlanReplace(q.Image(), topic, []Wanted{{"nope", str("1")}})
	if it != bad(protocol.InvalidConfig, "Unknown topic config name: nope") {
		t.Error(it)
	}
	e, it := r.PlanReplace(q.Image(), topic, []Wanted{{"segment.bytes", str(" 3145728")}})
	if it.Code != protocol.None || !e.Replace || e.Edits[0].Value != "3145728" {
		t.Error(e, it)
	}
}

func TestEveryDefaultPassesItsOwnRule(t *testing.T) {
	for _, reg := range []registry{topics, brokers, groups, metrics, throttles} {
		for _, d := range reg.list {
			v, ok := d.Default()
			if !ok {
				continue
			}
			if got, why := d.Parse(v); why != "" || got != v {
				t.Errorf("%s: default %q becomes %q %s", d.name, v, got, why)
			}
		}
	}
	if len(topics.list) != 34 || len(brokers.list) != 360 || len(groups.list) != 17 {
		t.Errorf("%d topic, %d broker, %d group names", len(topics.list), len(brokers.list),
			len(groups.list))
	}
}

func TestEveryDescribedNameHasWords(t *testing.T) {
	for _, reg := range []registry{topics, brokers, groups, metrics} {
		for _, d := range reg.list {
			if !d.Internal() && d.Doc() == "" {
				t.Errorf("%s: no words", d.name)
			}
		}
	}
	for _, docs := range []map[string]string{topicDocs, brokerDocs, groupDocs, metricsDocs} {
		for name := range docs {
			if Topic(name) == nil && Broker(name) == nil && Group(name) == nil &&
				ClientMetrics(name) == nil {
				t.Errorf("%s: words about a name that does not exist", name)
			}
		}
	}
}

func TestCheckStatic(t *testing.T) {
	idle, err := CheckStatic(map[string]string{"num.partitions": "3", "zookeeper.connect": "z",
		"inter.broker.protocol.version": "3.9", "num.network.threads": "3",
		"listener.name.internal.ssl.keystore.password": "x", "confluent.support.x": "1",
		"listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config": "y"})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, i := range idle {
		if i.Why == "" {
			t.Errorf("%s: no reason", i.Name)
		}
		names = append(names, i.Name)
	}
	if got := strings.Join(names, " "); got != "confluent.support.x "+
		"inter.broker.protocol.version listener.name.internal.ssl.keystore.password "+
		"listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config num.network.threads "+
		"zookeeper.connect" {
		t.Error(got)
	}
	for name, want := range map[string]string{
		"num.partition": "did you mean num.partitions?", "retention.ms": "log.retention.ms",
		"nonsense": "not a name"} {
		if _, err := CheckStatic(map[string]string{name: "1"}); err == nil ||
			!strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err = CheckStatic(map[string]string{"num.partitions": "0", "ssl.key.password": "secret"})
	if err == nil || !strings.Contains(err.Error(),
		"Invalid value 0 for configuration num.partitions: Value must be at least 1") {
		t.Error(err)
	}
}
