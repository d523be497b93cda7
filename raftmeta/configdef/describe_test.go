package configdef

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"millrace/protocol"
	"millrace/raftmeta"
)

// golden reads what a real broker of 4.3.1 answered.
func golden(t *testing.T, name string) []Entry {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "kafka-4.3.1-"+name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var list []Entry
	if err := json.Unmarshal(b, &list); err != nil {
		t.Fatal(err)
	}
	return list
}

// static is the properties file of the broker that gave the golden answers.
var static = map[string]string{
	"node.id": "1", "broker.id": "1", "process.roles": "broker,controller",
	"controller.listener.names": "CONTROLLER", "log.dirs": "/data",
	"listeners":                                        "PLAINTEXT://127.0.0.1:19392,CONTROLLER://127.0.0.1:29392",
	"advertised.listeners":                             "PLAINTEXT://127.0.0.1:19392",
	"inter.broker.listener.name":                       "PLAINTEXT",
	"controller.quorum.voters":                         "1@127.0.0.1:29392",
	"share.coordinator.state.topic.replication.factor": "1",
	"share.coordinator.state.topic.min.isr":            "1",
	"socket.request.max.bytes":                         "104857600", "num.network.threads": "3",
	"socket.send.buffer.bytes": "102400", "socket.receive.buffer.bytes": "102400",
	"group.coordinator.rebalance.protocols":    "classic,consumer,share,streams",
	"transaction.state.log.replication.factor": "1", "num.io.threads": "8",
	"offsets.topic.replication.factor": "1", "transaction.state.log.min.isr": "1",
	"num.partitions": "1", "group.initial.rebalance.delay.ms": "0",
}

func one(t *testing.T, q raftmeta.Quorum, c raftmeta.Command) {
	t.Helper()
	q.Propose(c, func(out raftmeta.Outcome, err error) {
		if err != nil || out.Code() != protocol.None {
			t.Fatalf("%#v: %v %v", c, out, err)
		}
	})
}

func set1(t raftmeta.ResourceType, name, config, value string) raftmeta.SetConfigs {
	return raftmeta.SetConfigs{Resources: []raftmeta.ResourceEdits{{
		Resource: raftmeta.Resource{Type: t, Name: name},
		Edits:    []raftmeta.ConfigEdit{{Name: config, Value: value}}}}}
}

// world is an image like that of the broker that gave the golden answers.
func world(t *testing.T) *raftmeta.Local {
	q := raftmeta.NewLocal(nil, nil)
	one(t, q, raftmeta.RegisterBroker{ID: 1})
	one(t, q, raftmeta.CreateTopics{Topics: []raftmeta.NewTopic{
		{ID: protocol.TopicID{1}, Name: "plain", Replicas: [][]int32{{1}}},
		{ID: protocol.TopicID{2}, Name: "over", Replicas: [][]int32{{1}},
			Configs: []raftmeta.Config{{Name: "retention.ms", Value: "1000"},
				{Name: "cleanup.policy", Value: "compact,delete"},
				{Name: "segment.bytes", Value: "2097152"}}}}})
	// With the feature of eligible leaders Kafka sets this by itself.
	one(t, q, set1(raftmeta.ResourceBroker, "", "min.insync.replicas", "1"))
	return q
}

func change(t *testing.T, q raftmeta.Quorum) {
	const b = raftmeta.ResourceBroker
	for _, c := range [][3]string{{"1", "log.cleaner.threads", "2"},
		{"", "log.cleaner.threads", "3"}, {"", "log.retention.ms", "12345"},
		{"1", "log.retention.ms", "23456"}, {"1", "foo.bar", "1"}, {"", "foo.bar", "1"},
		{"", "compression.type", "lz4"}, {"1", "log.cleanup.policy", "delete,compact"},
		{"1", "listener.name.plaintext.max.connections", "100"},
		{"", "max.connections.per.ip.overrides", "127.0.0.1:5"}} {
		one(t, q, set1(b, c[0], c[1], c[2]))
	}
	one(t, q, set1(raftmeta.ResourceGroup, "g1", "consumer.session.timeout.ms", "50000"))
	one(t, q, set1(raftmeta.ResourceClientMetrics, "m1", "interval.ms", "5000"))
	one(t, q, set1(raftmeta.ResourceClientMetrics, "m1", "match", "client_id=abc"))
}

func TestDescribeAnswersAsKafkaDoes(t *testing.T) {
	q, r := world(t), NewResolver(1, static)
	res := func(t raftmeta.ResourceType, n string) raftmeta.Resource {
		return raftmeta.Resource{Type: t, Name: n}
	}
	compare := func(file string, of raftmeta.Resource) {
		t.Helper()
		got, it := r.Describe(q.Image(), Ask{Resource: of, Synonyms: true})
		if it.Code != protocol.None {
			t.Fatalf("%s: %v", file, it)
		}
		same(t, file, got, golden(t, file))
	}
	compare("topic-plain", res(raftmeta.ResourceTopic, "plain"))
	compare("broker", res(raftmeta.ResourceBroker, "1"))
	compare("group", res(raftmeta.ResourceGroup, "g1"))
	compare("metrics", res(raftmeta.ResourceClientMetrics, "m1"))
	change(t, q)
	compare("topic-dynamic", res(raftmeta.ResourceTopic, "over"))
	compare("broker-dynamic", res(raftmeta.ResourceBroker, "1"))
	compare("brokers-dynamic", res(raftmeta.ResourceBroker, ""))
	compare("group-dynamic", res(raftmeta.ResourceGroup, "g1"))
	compare("metrics-dynamic", res(raftmeta.ResourceClientMetrics, "m1"))
}

// same compares entry by entry; a change of the broker in the order of its own dynamic
// names is not looked at, Kafka's is that of a hash table.
func same(t *testing.T, file string, got, want []Entry) {
	t.Helper()
	by := map[string]Entry{}
	for _, e := range got {
		by[e.Name] = e
	}
	if len(got) != len(want) {
		t.Errorf("%s: %d entries, Kafka has %d", file, len(got), len(want))
	}
	ordered := len(got) == len(want) && file != "broker-dynamic" && file != "brokers-dynamic"
	for i, w := range want {
		g, ok := by[w.Name]
		if !ok {
			t.Errorf("%s: %s is missing", file, w.Name)
			continue
		}
		if ordered && got[i].Name != w.Name {
			t.Errorf("%s: %d is %s, Kafka has %s there", file, i, got[i].Name, w.Name)
		}
		if a, b := line(t, g), line(t, w); a != b {
			t.Errorf("%s:\n got  %s\n want %s", file, a, b)
		}
	}
}

func line(t *testing.T, e Entry) string {
	t.Helper()
	if len(e.Synonyms) == 0 {
		e.Synonyms = nil
	}
	e.Doc = ""
	b, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
