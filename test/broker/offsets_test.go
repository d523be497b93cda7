package broker

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
)

// commit commits one offset of a group without members.
func commit(t *testing.T, c *kgo.Client, group string, offset int64) {
	t.Helper()
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group = group
	rt := kmsg.NewOffsetCommitRequestTopic()
	rt.Topic = "data"
	rp := kmsg.NewOffsetCommitRequestTopicPartition()
	rp.Offset = offset
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	resp, err := req.RequestWith(within(t, time.Minute), c)
	if err != nil {
		t.Fatal(err)
	}
	if code := resp.Topics[0].Partitions[0].ErrorCode; code != 0 {
		t.Fatalf("commit of %s: code %d", group, code)
	}
}

// committed is what the group committed, −1: nothing.
func committed(t *testing.T, c *kgo.Client, group string) int64 {
	t.Helper()
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Group = group
	rt := kmsg.NewOffsetFetchRequestTopic()
	rt.Topic, rt.Partitions = "data", []int32{0}
	req.Topics = append(req.Topics, rt)
	rg := kmsg.NewOffsetFetchRequestGroup()
	rg.Group = group
	gt := kmsg.NewOffsetFetchRequestGroupTopic()
	gt.Topic, gt.Partitions = "data", []int32{0}
	rg.Topics = append(rg.Topics, gt)
	req.Groups = append(req.Groups, rg)
	resp, err := req.RequestWith(within(t, time.Minute), c)
	if err != nil {
		t.Fatal(err)
	}
	if len(resp.Groups) > 0 {
		return resp.Groups[0].Topics[0].Partitions[0].Offset
	}
	return resp.Topics[0].Partitions[0].Offset
}

// smallSegments makes a topic's segments smaller than a client may ask for.
func smallSegments(t *testing.T, c *kgo.Client, topic string) {
	t.Helper()
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	rr := kmsg.NewIncrementalAlterConfigsRequestResource()
	rr.ResourceType, rr.ResourceName = kmsg.ConfigResourceTypeTopic, topic
	rc := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
	rc.Name, rc.Value = "internal.segment.bytes", kmsg.StringPtr("20000")
	rr.Configs = append(rr.Configs, rc)
	req.Resources = append(req.Resources, rr)
	resp, err := req.RequestWith(within(t, time.Minute), c)
	if err != nil {
		t.Fatal(err)
	}
	if code := resp.Resources[0].ErrorCode; code != 0 {
		t.Fatalf("alter configs of %s: code %d", topic, code)
	}
}

// What groups committed last is there after compaction of __consumer_offsets and a kill,
// and what they deleted is not.
func TestCommittedOffsetsAreCompacted(t *testing.T) {
	args := append([]string{"--set", "offsets.topic.num.partitions=1",
		"--set", "log.cleaner.min.cleanable.ratio=0.01",
		"--set", "log.cleaner.delete.retention.ms=0"}, compactArgs...)
	p := Start(t, "", args...)
	c := client(t, p, kgo.MaxVersions(kversion.V3_5_0())) // topics by name
	createTopic(t, c, "data", 1, nil)
	commit(t, c, "g0", 7)
	smallSegments(t, c, "__consumer_offsets")
	rng := rand.New(rand.NewPCG(5, 6))
	want := map[string]int64{"g0": 7}
	rounds := 4
	if testing.Short() {
		rounds = 2
	}
	for round := range rounds {
		for range 800 {
			group := fmt.Sprint("g", rng.IntN(30))
			if rng.IntN(25) == 0 {
				req := kmsg.NewPtrDeleteGroupsRequest()
				req.Groups = []string{group}
				if _, err := req.RequestWith(within(t, time.Minute), c); err != nil {
					t.Fatal(err)
				}
				delete(want, group)
				continue
			}
			want[group] = rng.Int64N(1 << 40)
			commit(t, c, group, want[group])
		}
		runs := p.metric(t, "millrace_cleaner_runs_total")
		await(t, "compaction", func() bool {
			names, err := filepath.Glob(filepath.Join(p.Dir, "log", "__consumer_offsets-0", "*.log"))
			size := int64(0)
			for _, n := range names {
				if info, err := os.Stat(n); err == nil {
					size += info.Size()
				}
			}
			return err == nil && size < 60_000 && p.metric(t, "millrace_cleaner_runs_total") >= max(runs, 1)
		})
		if round%2 == 0 {
			p.Kill()
		} else if code := p.Stop(t); code != 0 {
			t.Fatalf("exit code %d", code)
		}
		c.Close()
		p = Start(t, p.Dir, args...)
		c = client(t, p, kgo.MaxVersions(kversion.V3_5_0()))
		for i := range 30 {
			group := fmt.Sprint("g", i)
			offset, ok := want[group]
			if !ok {
				offset = -1
			}
			if got := committed(t, c, group); got != offset {
				t.Fatalf("round %d: %s is at %d, committed %d", round, group, got, offset)
			}
		}
	}
}
