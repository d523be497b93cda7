package broker

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// history is what a client sees of a broker, as text.
type history struct {
	t    testing.TB
	p    *Process
	c    *kgo.Client
	ctx  context.Context
	base int64 // ms: times are told relative to it
	text strings.Builder
}

func (h *history) note(format string, args ...any) { fmt.Fprintf(&h.text, format+"\n", args...) }

// The same work gives the same history, whatever the number of cores, the engine and the
// durability: these change how, never what.
func TestSameHistory(t *testing.T) {
	var first, firstName string
	for cores := 1; cores <= 3; cores++ {
		for _, io := range engines {
			for _, durability := range []string{"fsync", "write"} {
				name := fmt.Sprintf("%d-%s-%s", cores, io, durability)
				t.Run(name, func(t *testing.T) {
					text := runHistory(t, "--cores", fmt.Sprint(cores), "--io", io, "--durability", durability)
					if first == "" {
						first, firstName = text, name
					}
					if text != first {
						t.Errorf("%s:\n%s\n%s:\n%s", firstName, first, name, text)
					}
				})
			}
		}
	}
}

const historyParts = 5

func runHistory(t *testing.T, args ...string) string {
	p := Start(t, "", append(args, "--set", "group.initial.rebalance.delay.ms=0")...)
	h := &history{t: t, p: p, ctx: within(t, 2*time.Minute), base: time.Now().UnixMilli()}
	h.c = client(t, p, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0))
	createTopic(t, h.c, "a", historyParts, nil)
	createTopic(t, h.c, "keyed", 1, map[string]string{"cleanup.policy": "compact"})
	createTopic(t, h.c, "gzip", 1, map[string]string{"compression.type": "gzip"})
	h.produce("a", 40)
	h.produce("gzip", 5)
	h.produce("keyed", 2)
	h.consume("a", 40)
	h.consume("gzip", 5)
	h.group()
	h.deleteRecords()
	h.offsets("a", -2)
	h.offsets("a", -1)
	h.offsets("a", 5_000) // of record time
	h.refused()
	h.deleteTopic("gzip")
	h.p.Kill()
	h.p = Start(t, p.Dir, args...)
	h.c = client(t, h.p)
	h.offsets("a", -2)
	h.offsets("a", -1)
	h.committed()
	return h.text.String()
}

// produce sends n records, each alone and in order.
func (h *history) produce(topic string, n int) {
	for i := range n {
		rec := &kgo.Record{Topic: topic, Partition: int32(i % historyParts), Key: []byte("k"),
			Value: fmt.Appendf(nil, "%s-%d", topic, i), Timestamp: time.UnixMilli(h.base + int64(i)*1000)}
		if topic != "a" {
			rec.Partition = 0
		}
		got, err := h.c.ProduceSync(h.ctx, rec).First()
		if err != nil {
			h.t.Fatal(err)
		}
		h.note("produced %s %d at %d", rec.Value, got.Partition, got.Offset)
	}
}

func (h *history) consume(topic string, n int) {
	c := client(h.t, h.p, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	seen := make(map[int32]string)
	for n > 0 {
		f := c.PollFetches(h.ctx)
		if err := f.Err(); err != nil {
			h.t.Fatal(err)
		}
		f.EachRecord(func(r *kgo.Record) {
			n--
			seen[r.Partition] += fmt.Sprintf(" %d=%s@%d", r.Offset, r.Value, r.Timestamp.UnixMilli()-h.base)
		})
	}
	for p := range int32(historyParts) {
		h.note("%s-%d:%s", topic, p, seen[p])
	}
}

// group reads with a group and commits.
func (h *history) group() {
	c := client(h.t, h.p, kgo.ConsumeTopics("a"), kgo.ConsumerGroup("g"), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	for n := 0; n < 40; {
		f := c.PollFetches(h.ctx)
		if err := f.Err(); err != nil {
			h.t.Fatal(err)
		}
		n += f.NumRecords()
	}
	if err := c.CommitUncommittedOffsets(h.ctx); err != nil {
		h.t.Fatal(err)
	}
	c.Close()
	h.committed()
}

func (h *history) committed() {
	req := kmsg.NewPtrOffsetFetchRequest()
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group = "g"
	gt := kmsg.NewOffsetFetchRequestGroupTopic()
	gt.Topic, gt.Partitions = "a", []int32{0, 1, 2, 3, 4}
	g.Topics = append(g.Topics, gt)
	req.Groups, req.Group, req.Topics = append(req.Groups, g), "g", []kmsg.OffsetFetchRequestTopic{
		{Topic: "a", Partitions: gt.Partitions}}
	resp, err := req.RequestWith(h.ctx, h.c)
	if err != nil {
		h.t.Fatal(err)
	}
	for _, rt := range resp.Groups[0].Topics {
		for _, rp := range rt.Partitions {
			h.note("committed %s-%d %d %d", rt.Topic, rp.Partition, rp.Offset, rp.ErrorCode)
		}
	}
}

func (h *history) deleteRecords() {
	req := kmsg.NewPtrDeleteRecordsRequest()
	rt := kmsg.NewDeleteRecordsRequestTopic()
	rt.Topic = "a"
	for p := range int32(historyParts) {
		rt.Partitions = append(rt.Partitions, kmsg.DeleteRecordsRequestTopicPartition{Partition: p, Offset: int64(2 * p)})
	}
	req.Topics, req.TimeoutMillis = append(req.Topics, rt), 10_000
	resp, err := req.RequestWith(h.ctx, h.c)
	if err != nil {
		h.t.Fatal(err)
	}
	for _, rp := range resp.Topics[0].Partitions {
		h.note("start of %d: %d %d", rp.Partition, rp.LowWatermark, rp.ErrorCode)
	}
}

func (h *history) offsets(topic string, at int64) {
	req := kmsg.NewPtrListOffsetsRequest()
	rt := kmsg.NewListOffsetsRequestTopic()
	rt.Topic = topic
	ts := at
	if at >= 0 {
		ts += h.base
	}
	for p := range int32(historyParts) {
		rp := kmsg.NewListOffsetsRequestTopicPartition()
		rp.Partition, rp.Timestamp, rp.CurrentLeaderEpoch = p, ts, -1
		rt.Partitions = append(rt.Partitions, rp)
	}
	req.Topics = append(req.Topics, rt)
	resp, err := req.RequestWith(h.ctx, h.c)
	if err != nil {
		h.t.Fatal(err)
	}
	for _, rp := range resp.Topics[0].Partitions {
		if rp.Timestamp >= 0 {
			rp.Timestamp -= h.base
		}
		h.note("offset of %d in %d: %d at %d, %d", at, rp.Partition, rp.Offset, rp.Timestamp, rp.ErrorCode)
	}
}

// refused is a batch without a key for a compacted topic: the answer names the record
// (KIP-467).
func (h *history) refused() {
	req := kmsg.NewPtrProduceRequest()
	req.Version, req.Acks, req.TimeoutMillis = 9, -1, 10_000
	rt := kmsg.NewProduceRequestTopic()
	rt.Topic = "keyed"
	rp := kmsg.NewProduceRequestTopicPartition()
	rp.Records = oneBatch([]byte("no key"))
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	resp := exchange(h.t, h.p.Dial(h.t), req).(*kmsg.ProduceResponse)
	got := resp.Topics[0].Partitions[0]
	if len(got.ErrorRecords) != 1 || got.ErrorMessage == nil || got.ErrorRecords[0].ErrorMessage == nil {
		h.t.Fatalf("a refusal that does not say why: %+v", got)
	}
	h.note("refused: %d %s; %d %s", got.ErrorCode, *got.ErrorMessage,
		got.ErrorRecords[0].RelativeOffset, *got.ErrorRecords[0].ErrorMessage)
}

func (h *history) deleteTopic(topic string) {
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.TopicNames, req.TimeoutMillis = []string{topic}, 10_000
	rt := kmsg.NewDeleteTopicsRequestTopic()
	rt.Topic = &topic
	req.Topics = append(req.Topics, rt)
	resp, err := req.RequestWith(h.ctx, h.c)
	if err != nil {
		h.t.Fatal(err)
	}
	h.note("deleted %s: %d", topic, resp.Topics[0].ErrorCode)
	meta := kmsg.NewPtrMetadataRequest()
	mt := kmsg.NewMetadataRequestTopic()
	mt.Topic = &topic
	meta.Topics = append(meta.Topics, mt)
	found, err := meta.RequestWith(h.ctx, h.c)
	if err != nil {
		h.t.Fatal(err)
	}
	h.note("then %s: %d", topic, found.Topics[0].ErrorCode)
}
