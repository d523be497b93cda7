package engine

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/protocol"
	"millrace/raftmeta"
)

// someImage has topics t00 … with 1, 2, 3 … partitions.
func someImage(t *testing.T, topics int) *raftmeta.Image {
	t.Helper()
	q := raftmeta.NewLocal(nil, nil)
	ask := func(cmd raftmeta.Command) {
		q.Propose(cmd, func(o raftmeta.Outcome, err error) {
			if err != nil || o.Code() != protocol.None {
				t.Fatalf("%T: %v %v", cmd, o, err)
			}
		})
	}
	ask(raftmeta.InitCluster{ClusterID: "abc"})
	ask(raftmeta.RegisterBroker{ID: 1})
	for i := range topics {
		nt := raftmeta.NewTopic{ID: newTopicID(), Name: fmt.Sprintf("t%02d", i)}
		for range i + 1 {
			nt.Replicas = append(nt.Replicas, []protocol.NodeID{1})
		}
		ask(raftmeta.CreateTopics{Topics: []raftmeta.NewTopic{nt}})
	}
	return q.Image()
}

// Paging with any limit shows every partition once, in order.
func TestPagesShowEverythingOnce(t *testing.T) {
	img := someImage(t, 12)
	var want []string
	for _, top := range img.Topics() {
		for i := range top.Partitions {
			want = append(want, fmt.Sprint(top.Name, " ", i))
		}
	}
	for limit := 1; limit < 90; limit += 1 + rand.IntN(5) {
		var got []string
		names, from := topicNames(&kmsg.DescribeTopicPartitionsRequest{}, img), int32(0)
		for pages := 0; ; pages++ {
			resp := kmsg.NewPtrDescribeTopicPartitionsResponse()
			fillPage(resp, img, names, from, limit)
			n := 0
			for _, rt := range resp.Topics {
				for _, p := range rt.Partitions {
					got = append(got, fmt.Sprint(*rt.Topic, " ", p.Partition))
					n++
				}
			}
			if n > limit {
				t.Fatalf("%d partitions, limit %d", n, limit)
			}
			if resp.NextCursor == nil {
				break
			}
			at, _ := slices.BinarySearch(names, resp.NextCursor.Topic)
			names, from = names[at:], resp.NextCursor.Partition
			if pages > len(want) {
				t.Fatal("pages without end")
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("limit %d: %d partitions, want %d", limit, len(got), len(want))
		}
	}
}

func TestPageOfUnknownTopics(t *testing.T) {
	resp := kmsg.NewPtrDescribeTopicPartitionsResponse()
	fillPage(resp, someImage(t, 2), []string{"a b", "nope", "t00"}, 0, 10)
	var codes []int16
	for _, rt := range resp.Topics {
		codes = append(codes, rt.ErrorCode)
	}
	want := []int16{int16(protocol.InvalidTopicException), int16(protocol.UnknownTopicOrPartition), 0}
	if !slices.Equal(codes, want) || resp.NextCursor != nil {
		t.Errorf("%v, want %v", codes, want)
	}
}

func TestMetadataTopics(t *testing.T) {
	img := someImage(t, 3)
	id := img.Topic("t01").ID
	name := func(s string) kmsg.MetadataRequestTopic { return kmsg.MetadataRequestTopic{Topic: &s} }
	byID := func(id protocol.TopicID) kmsg.MetadataRequestTopic { return kmsg.MetadataRequestTopic{TopicID: id} }
	for _, c := range []struct {
		about   string
		version int16
		ask     []kmsg.MetadataRequestTopic
		want    []protocol.Code
	}{
		{"known", 1, []kmsg.MetadataRequestTopic{name("t00")}, []protocol.Code{0}},
		{"twice", 9, []kmsg.MetadataRequestTopic{name("t00"), name("t00")}, []protocol.Code{0}},
		{"name and id of one topic", 12, []kmsg.MetadataRequestTopic{name("t01"), byID(id)}, []protocol.Code{0}},
		{"unknown twice", 9, []kmsg.MetadataRequestTopic{name("x"), name("x")}, []protocol.Code{protocol.UnknownTopicOrPartition}},
		{"invalid", 9, []kmsg.MetadataRequestTopic{name("a b")}, []protocol.Code{protocol.InvalidTopicException}},
		{"unknown id", 12, []kmsg.MetadataRequestTopic{byID(protocol.TopicID{1})}, []protocol.Code{protocol.UnknownTopicId}},
		{"id too early", 10, []kmsg.MetadataRequestTopic{byID(id)}, []protocol.Code{protocol.InvalidRequest}},
		{"neither", 12, []kmsg.MetadataRequestTopic{{}}, []protocol.Code{protocol.InvalidRequest}},
		{"refused", 9, []kmsg.MetadataRequestTopic{name("ref")}, []protocol.Code{protocol.PolicyViolation}},
		{"raced", 9, []kmsg.MetadataRequestTopic{name("raced")}, []protocol.Code{protocol.UnknownTopicOrPartition}},
	} {
		a := metadataAsk{img: img, version: c.version, operations: noOperations, refused: map[string]protocol.Code{
			"ref": protocol.PolicyViolation, "raced": protocol.TopicAlreadyExists}}
		var codes []protocol.Code
		for _, rt := range a.topics(c.ask) {
			codes = append(codes, protocol.Code(rt.ErrorCode))
			if rt.Topic == nil && c.version < 12 {
				t.Errorf("%s: null name in version %d", c.about, c.version)
			}
		}
		if !slices.Equal(codes, c.want) {
			t.Errorf("%s: %v, want %v", c.about, codes, c.want)
		}
	}
	a := metadataAsk{img: img}
	if n := a.size([]kmsg.MetadataRequestTopic{name("t01"), name("t02"), name("x")}); n != 3+2+3 {
		t.Errorf("size %d", n)
	}
}

func TestSoftwareNames(t *testing.T) {
	for s, want := range map[string]bool{"a": true, "apache-kafka-java": true, "4.3.1": true, "": false,
		"-a": false, "a-": false, ".": false, "a b": false, "é": false} {
		if softwareName(s) != want {
			t.Errorf("%q: %v", s, !want)
		}
	}
}

func TestEpochCodes(t *testing.T) {
	for _, c := range []struct {
		known, ours int32
		want        protocol.Code
	}{{-1, 5, 0}, {5, 5, 0}, {4, 5, protocol.FencedLeaderEpoch}, {6, 5, protocol.UnknownLeaderEpoch}} {
		if got := epochCode(c.known, c.ours); got != c.want {
			t.Errorf("%d at %d: %v", c.known, c.ours, got)
		}
	}
}

// What ApiVersions says is what the table serves, and nothing else.
func TestApiVersionsRows(t *testing.T) {
	if row := apiRow(protocol.Produce); row.MinVersion != 0 || row.MaxVersion != 13 {
		t.Errorf("Produce %+v", row)
	}
	if row := apiRow(protocol.InitProducerId); row.MaxVersion != 5 {
		t.Errorf("InitProducerId %+v", row)
	}
	for k := range protocol.Key(protocol.KeyCount) {
		if apis[k].serve != nil && !protocol.VersionsOf(k).Served {
			t.Errorf("%v has a row, but Kafka does not serve it", k)
		}
	}
	resp := kmsg.NewPtrApiVersionsResponse()
	c := &Core{}
	c.addFeatures(resp, 3, raftmeta.Empty())
	for _, f := range resp.SupportedFeatures {
		if f.MinVersion == 0 {
			t.Errorf("version 3 cannot carry %+v", f)
		}
	}
}
