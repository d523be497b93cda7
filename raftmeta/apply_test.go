package raftmeta

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"millrace/protocol"
)

func id(i int) protocol.TopicID {
	return protocol.TopicID{1, byte(i >> 16), byte(i >> 8), byte(i)}
}

// do applies through the encoded form, as the log does.
func do(t *testing.T, m *Image, c Command) (*Image, Outcome) {
	t.Helper()
	b, err := Encode(c)
	if err != nil {
		t.Fatal(err)
	}
	n, out, err := Apply(m, m.Index()+1, b)
	if err != nil {
		t.Fatal(err)
	}
	return n, out
}

func topic(i int, name string, parts int) NewTopic {
	n := NewTopic{ID: id(i), Name: name}
	for range parts {
		n.Replicas = append(n.Replicas, []protocol.NodeID{1})
	}
	return n
}

// cluster has broker 1 and topics a and b.c.
func cluster(t *testing.T) *Image {
	t.Helper()
	m, _ := do(t, Empty(), InitCluster{ClusterID: "cid", Features: []Feature{{"x", 2}}})
	m, _ = do(t, m, RegisterBroker{ID: 1, Incarnation: [16]byte{1}, Rack: "r",
		Endpoints: []Endpoint{{"PLAINTEXT", "h", 9092, 0}}})
	m, out := do(t, m, CreateTopics{[]NewTopic{topic(1, "a", 1), topic(2, "b.c", 3)}})
	if out.Code() != protocol.None {
		t.Fatal(out)
	}
	return m
}

func TestCreateTopicsEachItsOwnOutcome(t *testing.T) {
	m := cluster(t)
	before := EncodeImage(m)
	bad := topic(9, "replicas", 1)
	bad.Replicas[0][0] = 7
	n, out := do(t, m, CreateTopics{[]NewTopic{
		topic(3, "c", 2), topic(4, "a", 1), topic(5, "b_c", 1), topic(6, "", 1),
		topic(7, "no/slash", 1), topic(8, strings.Repeat("x", 250), 1), bad,
		topic(1, "taken-id", 1), topic(10, "c", 1), topic(11, "none", 0),
		topic(12, "__consumer_offsets", 1), topic(13, "..", 1),
	}})
	want := []protocol.Code{protocol.None, protocol.TopicAlreadyExists,
		protocol.InvalidTopicException, protocol.InvalidTopicException,
		protocol.InvalidTopicException, protocol.InvalidTopicException,
		protocol.InvalidReplicaAssignment, protocol.InvalidRequest,
		protocol.TopicAlreadyExists, protocol.InvalidPartitions, protocol.None,
		protocol.InvalidTopicException}
	for i, it := range out.Items {
		if it.Code != want[i] || (it.Message == "") != (it.Code == protocol.None) {
			t.Errorf("%d: %v %q, want %v", i, it.Code, it.Message, want[i])
		}
	}
	if got := out.Items[2].Message; got != "Topic 'b_c' collides with existing topic: b.c" {
		t.Error(got)
	}
	var names []string
	for _, x := range n.Topics() {
		names = append(names, x.Name)
	}
	if !slices.Equal(names, []string{"__consumer_offsets", "a", "b.c", "c"}) {
		t.Error(names)
	}
	c := n.Topic("c")
	if c != n.TopicByID(id(3)) || len(c.Partitions) != 2 || c.Created != n.Index() ||
		!n.Topic("__consumer_offsets").Internal || n.PartitionCount() != 7 {
		t.Errorf("%+v", c)
	}
	p := n.Partition(protocol.TopicPartition{Topic: id(3), Partition: 1})
	if p.Leader != 1 || p.LeaderEpoch != 0 || !slices.Equal(p.ISR, []protocol.NodeID{1}) {
		t.Errorf("%+v", p)
	}
	if n.Partition(protocol.TopicPartition{Topic: id(3), Partition: 2}) != nil {
		t.Error("a partition too many")
	}
	if !slices.Equal(EncodeImage(m), before) {
		t.Error("the old image changed")
	}
	if o := Check(m, CreateTopics{[]NewTopic{topic(3, "c", 1)}}); o.Code() != protocol.None ||
		m.Topic("c") != nil {
		t.Error("check:", o)
	}
}

func TestDeleteRecreatePurge(t *testing.T) {
	m := cluster(t)
	m, out := do(t, m, DeleteTopics{[]protocol.TopicID{id(2), id(99)}})
	if out.Items[0].Code != protocol.None || out.Items[1].Code != protocol.UnknownTopicId {
		t.Fatal(out)
	}
	if m.Topic("b.c") != nil || m.Deleted(id(2)) == nil || m.PartitionCount() != 1 {
		t.Fatal("not deleted")
	}
	m, out = do(t, m, CreateTopics{[]NewTopic{topic(2, "b.c", 1), topic(20, "b_c", 1)}})
	if out.Items[0].Code != protocol.InvalidRequest || out.Items[1].Code != protocol.None {
		t.Fatal("a deleted id was reused, or its name kept colliding:", out)
	}
	m, _ = do(t, m, Purged{Broker: 2, IDs: []protocol.TopicID{id(2)}})
	if d := m.DeletedTopics(); len(d) != 1 || d[0].Name != "b.c" {
		t.Fatal("a broker without the data purged it:", d)
	}
	m, _ = do(t, m, Purged{Broker: 1, IDs: []protocol.TopicID{id(2), id(2), id(50)}})
	if len(m.DeletedTopics()) != 0 {
		t.Fatal("not purged")
	}
}

func TestAddPartitions(t *testing.T) {
	m := cluster(t)
	p, it := PlanPartitions(m, m.Topic("b.c"), 5, nil)
	if it.Code != protocol.None || p.From != 3 || len(p.Replicas) != 2 {
		t.Fatal(p, it)
	}
	n, out := do(t, m, AddPartitions{[]MorePartitions{p, {Topic: id(77)}, p}})
	if out.Items[0].Code != protocol.None ||
		out.Items[1].Code != protocol.UnknownTopicOrPartition ||
		out.Items[2].Message != "Topic already has 5 partition(s)." {
		t.Fatal(out)
	}
	if len(n.Topic("b.c").Partitions) != 5 || len(m.Topic("b.c").Partitions) != 3 ||
		n.PartitionCount() != 6 || n.TopicByID(id(2)) != n.Topic("b.c") {
		t.Error("partitions")
	}
	for count, want := range map[int32]string{
		3: "Topic already has 3 partition(s).",
		1: "The topic b.c currently has 3 partition(s); 1 would not be an increase."} {
		if _, it := PlanPartitions(m, m.Topic("b.c"), count, nil); it.Message != want {
			t.Error(it)
		}
	}
	for _, c := range []struct {
		a    [][]protocol.NodeID
		code protocol.Code
	}{{[][]protocol.NodeID{{1}, {1}}, protocol.None},
		{[][]protocol.NodeID{{1}}, protocol.InvalidReplicaAssignment},
		{[][]protocol.NodeID{{1}, {}}, protocol.InvalidReplicaAssignment},
		{[][]protocol.NodeID{{1}, {2}}, protocol.InvalidReplicaAssignment},
		{[][]protocol.NodeID{{1}, {1, 1}}, protocol.InvalidReplicaAssignment}} {
		if _, it := PlanPartitions(m, m.Topic("b.c"), 5, c.a); it.Code != c.code {
			t.Errorf("%v: %v", c.a, it)
		}
	}
}

func TestConfigs(t *testing.T) {
	m := cluster(t)
	top, brk := Resource{ResourceTopic, "a"}, Resource{ResourceBroker, ""}
	m, out := do(t, m, SetConfigs{[]ResourceEdits{
		{Resource: top, Edits: []ConfigEdit{{OpSet, "z", "1", ""}, {OpSet, "b", "2", ""},
			{OpAppend, "l", "x,y", "w,x"}}},
		{Resource: Resource{ResourceTopic, "gone"}, Edits: []ConfigEdit{{Name: "z"}}},
		{Resource: Resource{ResourceBroker, "7"}}, {Resource: Resource{ResourceBroker, "x"}},
		{Resource: brk, Edits: []ConfigEdit{{OpSet, "n", "v", ""}}},
		{Resource: Resource{ResourceGroup, "g"}, Edits: []ConfigEdit{{OpSet, "n", "v", ""}}},
	}})
	want := []protocol.Code{protocol.None, protocol.UnknownTopicOrPartition,
		protocol.BrokerIdNotRegistered, protocol.InvalidRequest, protocol.None, protocol.None}
	for i, it := range out.Items {
		if it.Code != want[i] {
			t.Errorf("%d: %v", i, it)
		}
	}
	if got := m.Configs(top).List(); !slices.Equal(got,
		[]Config{{"b", "2"}, {"l", "w,x,y"}, {"z", "1"}}) {
		t.Error(got)
	}
	if m.Topic("a").Configs != m.Configs(top) || m.Configs(top).Index() != m.Index() {
		t.Error("a topic's configs are those of its resource")
	}
	same := m.Configs(top)
	m, _ = do(t, m, SetConfigs{[]ResourceEdits{{Resource: top,
		Edits: []ConfigEdit{{OpSet, "z", "1", ""}, {OpDelete, "nothing", "", ""}}}}})
	if m.Configs(top) != same {
		t.Error("no change, but a new pointer")
	}
	m, _ = do(t, m, SetConfigs{[]ResourceEdits{{Resource: top,
		Edits: []ConfigEdit{{OpSubtract, "l", "y, w", ""}, {OpDelete, "b", "", ""}}}}})
	if got := m.Configs(top).List(); !slices.Equal(got, []Config{{"l", "x"}, {"z", "1"}}) {
		t.Error(got)
	}
	m, _ = do(t, m, SetConfigs{[]ResourceEdits{{Resource: top, Replace: true,
		Edits: []ConfigEdit{{OpSet, "q", "7", ""}}}, {Resource: brk, Replace: true}}})
	if got := m.Configs(top).List(); !slices.Equal(got, []Config{{"q", "7"}}) ||
		m.Configs(brk).Len() != 0 {
		t.Error(got)
	}
	if r := m.ConfigResources(ResourceTopic); !slices.Equal(r, []Resource{top}) {
		t.Error(r)
	}
	if r := m.ConfigResources(ResourceGroup); len(r) != 1 {
		t.Error(r)
	}
	m, _ = do(t, m, DeleteTopics{[]protocol.TopicID{id(1)}})
	m, _ = do(t, m, CreateTopics{[]NewTopic{topic(30, "a", 1)}})
	if m.Configs(top).Len() != 0 {
		t.Error("a recreated topic inherited configs")
	}
}

func TestProducerIDsBrokersCluster(t *testing.T) {
	m := cluster(t)
	var next int64
	for i := range int32(5) {
		n, out := do(t, m, AllocateProducerIDs{1000 + i})
		if out.FirstProducerID != next || out.Code() != protocol.None {
			t.Fatal(out)
		}
		next += int64(1000 + i)
		m = n
	}
	if _, out := do(t, m, AllocateProducerIDs{0}); out.Code() != protocol.InvalidRequest {
		t.Error(out)
	}
	if _, out := do(t, m, InitCluster{ClusterID: "cid"}); out.Code() != protocol.None {
		t.Error(out)
	}
	if _, out := do(t, m, InitCluster{ClusterID: "x"}); out.Code() !=
		protocol.InconsistentClusterId {
		t.Error(out)
	}
	m, _ = do(t, m, SetFeatures{[]Feature{{"x", 0}, {"y", 3}}})
	if m.Feature("x") != 0 || m.Feature("y") != 3 || len(m.Features()) != 1 {
		t.Error(m.Features())
	}
	epoch := m.Broker(1).Epoch
	m, out := do(t, m, RegisterBroker{ID: 1, Incarnation: [16]byte{1}, Rack: "s"})
	if out.BrokerEpoch != epoch || m.Broker(1).Rack != "s" {
		t.Error("the same incarnation has a new epoch")
	}
	m, out = do(t, m, RegisterBroker{ID: 1, Incarnation: [16]byte{2}, NewEpochs: true})
	if out.BrokerEpoch != int64(out.Index) || m.Topic("b.c").Partitions[2].LeaderEpoch != 1 ||
		m.Topic("a").Partitions[0].PartitionEpoch != 1 {
		t.Error("no new epochs")
	}
}

func TestPlan(t *testing.T) {
	m := cluster(t)
	d := Defaults{Partitions: 4, Replication: 1}
	for _, c := range []struct {
		spec  TopicSpec
		parts int
		code  protocol.Code
	}{
		{TopicSpec{Partitions: -1, Replication: -1}, 4, protocol.None},
		{TopicSpec{Partitions: 2, Replication: 1}, 2, protocol.None},
		{TopicSpec{Partitions: 0, Replication: 1}, 0, protocol.InvalidPartitions},
		{TopicSpec{Partitions: -2, Replication: 1}, 0, protocol.InvalidPartitions},
		{TopicSpec{Partitions: 1, Replication: 0}, 0, protocol.InvalidReplicationFactor},
		{TopicSpec{Partitions: 1, Replication: 3}, 0, protocol.InvalidReplicationFactor},
		{TopicSpec{Name: "__consumer_offsets", Partitions: 50, Replication: 3}, 50, protocol.None},
		{TopicSpec{Partitions: 10_001, Replication: 1}, 0, protocol.PolicyViolation},
		{TopicSpec{Partitions: -1, Replication: -1,
			Assignment: map[int32][]protocol.NodeID{0: {1}, 1: {1}}}, 2, protocol.None},
		{TopicSpec{Partitions: 1, Replication: -1,
			Assignment: map[int32][]protocol.NodeID{0: {1}}}, 0, protocol.InvalidRequest},
		{TopicSpec{Partitions: -1, Replication: 1,
			Assignment: map[int32][]protocol.NodeID{0: {1}}}, 0, protocol.InvalidRequest},
		{TopicSpec{Partitions: -1, Replication: -1,
			Assignment: map[int32][]protocol.NodeID{1: {1}}}, 0, protocol.InvalidReplicaAssignment},
		{TopicSpec{Partitions: -1, Replication: -1,
			Assignment: map[int32][]protocol.NodeID{0: {5}}}, 1, protocol.InvalidReplicaAssignment},
	} {
		n, it := Plan(m, c.spec, id(5), d)
		if it.Code != c.code || len(n.Replicas) != c.parts {
			t.Errorf("%+v: %d partitions, %v", c.spec, len(n.Replicas), it)
		}
	}
	for i := range protocol.NodeID(3) {
		m, _ = do(t, m, RegisterBroker{ID: i + 1, Incarnation: [16]byte{9},
			Rack: []string{"a", "a", "b"}[i]})
	}
	parts, _ := Assign(m, 6, 2)
	lead := map[protocol.NodeID]int{}
	for _, p := range parts {
		lead[p[0]]++
		if p[0] == p[1] {
			t.Error("twice on one broker")
		}
	}
	if len(lead) != 3 || lead[1] != 2 || lead[2] != 2 {
		t.Error("leaders are not spread:", lead)
	}
}

func TestDelta(t *testing.T) {
	a := cluster(t)
	b, _ := do(t, a, DeleteTopics{[]protocol.TopicID{id(1)}})
	b, _ = do(t, b, CreateTopics{[]NewTopic{topic(40, "a", 1), topic(41, "z", 1)}})
	b, _ = do(t, b, SetConfigs{[]ResourceEdits{
		{Resource: Resource{ResourceTopic, "b.c"}, Edits: []ConfigEdit{{OpSet, "n", "v", ""}}},
		{Resource: Resource{ResourceBroker, ""}, Edits: []ConfigEdit{{OpSet, "n", "v", ""}}}}})
	d := Diff(a, b)
	if len(d.Created) != 2 || d.Created[0].ID != id(40) || d.Created[1].Name != "z" ||
		len(d.Deleted) != 1 || d.Deleted[0].ID != id(1) ||
		len(d.Changed) != 1 || d.Changed[0].New != b.Topic("b.c") ||
		d.Changed[0].Old != a.Topic("b.c") ||
		len(d.Configs) != 1 || d.Brokers {
		t.Errorf("%+v", d)
	}
	c, _ := do(t, b, RegisterBroker{ID: 1, Incarnation: [16]byte{7}})
	if d := Diff(b, c); !d.Brokers || len(d.Changed)+len(d.Created)+len(d.Deleted) != 0 {
		t.Errorf("%+v", d)
	}
}

func TestManyTopicsOneByOne(t *testing.T) {
	m, _ := do(t, Empty(), RegisterBroker{ID: 1})
	const n = 10_000
	for i := range n {
		b, err := Encode(CreateTopics{[]NewTopic{topic(i+1, fmt.Sprintf("t.%06d", i), 1)}})
		if err != nil {
			t.Fatal(err)
		}
		if m, _, err = Apply(m, m.Index()+1, b); err != nil {
			t.Fatal(err)
		}
	}
	if m.TopicCount() != n || len(m.Topics()) != n || m.Topics()[4711].Name != "t.004711" {
		t.Fatal(m.TopicCount())
	}
	// A further one copies paths, not the whole: a few dozen small allocations.
	last, err := Encode(CreateTopics{[]NewTopic{topic(n+1, "u.x", 1)}})
	if err != nil {
		t.Fatal(err)
	}
	if a := testing.AllocsPerRun(10, func() { _, _, _ = Apply(m, m.Index()+1, last) }); a > 100 {
		t.Errorf("%v allocations for one topic among %d", a, n)
	}
}

func TestLocal(t *testing.T) {
	var seen []uint64
	l := NewLocal(nil, func(m *Image) { seen = append(seen, m.Index()) })
	ask := func(c Command) (out Outcome, err error) {
		l.Propose(c, func(o Outcome, e error) { out, err = o, e })
		return out, err
	}
	for _, c := range []Command{RegisterBroker{ID: 1}, CreateTopics{[]NewTopic{topic(1, "a", 2)}},
		AllocateProducerIDs{5}} {
		if out, err := ask(c); err != nil || out.Index != l.Image().Index() {
			t.Fatal(out, err)
		}
	}
	m := Empty()
	for i, b := range l.Log() {
		var err error
		if m, _, err = Apply(m, uint64(i+1), b); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(EncodeImage(m), EncodeImage(l.Image())) || !slices.Equal(seen, []uint64{1, 2, 3}) {
		t.Error("replay differs", seen)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := ask(AllocateProducerIDs{5}); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	if _, err := ask(DeleteTopics{make([]protocol.TopicID, MaxCommandBytes/16+1)}); !errors.Is(err, ErrFormat) {
		t.Error(err)
	}
}
