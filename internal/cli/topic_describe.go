package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

type topicDetail struct {
	topicRow
	PartitionRows []partitionRow `json:"partition_details,omitempty"`
	Configs       []configRow    `json:"configs,omitempty"`
}

type partitionRow struct {
	Partition int32   `json:"partition"`
	Leader    int32   `json:"leader"`
	Epoch     int32   `json:"epoch"`
	Replicas  []int32 `json:"replicas"`
	InSync    []int32 `json:"isr"`
	Start     int64   `json:"log_start_offset"`
	High      int64   `json:"high_watermark"`
	Error     string  `json:"error,omitempty"`
}

func topicDescribe(a *app) *cobra.Command {
	var summary, partitions, configs, all bool
	cmd := &cobra.Command{
		Use:   "describe NAME...",
		Short: "Show topics: summary and partitions, or what the flags name",
		Args:  cobra.MinimumNArgs(1),
	}
	f := cmd.Flags()
	f.BoolVarP(&summary, "print-summary", "s", false, "the summary")
	f.BoolVarP(&partitions, "print-partitions", "p", false, "the partitions")
	f.BoolVarP(&configs, "print-configs", "c", false, "the configs")
	f.BoolVarP(&all, "print-all", "a", false, "everything")
	return a.verb(cmd, func(ctx context.Context, args []string) error {
		if !summary && !partitions && !configs {
			summary, partitions = true, true
		}
		if all {
			summary, partitions, configs = true, true, true
		}
		topics, err := a.topics(ctx, args)
		if err != nil {
			return err
		}
		details := []topicDetail{}
		var tables []*table
		for i := range topics {
			t := &topics[i]
			if err := refused("topic "+deref(t.Topic), t.ErrorCode, nil); err != nil {
				return err
			}
			d := topicDetail{topicRow: describeTopic(t)}
			if summary {
				tables = append(tables, summaryTable(d.topicRow))
			}
			if partitions {
				if d.PartitionRows, err = a.partitionRows(ctx, t); err != nil {
					return err
				}
				tables = append(tables, partitionTable(d.PartitionRows))
			}
			if configs {
				if d.Configs, err = a.describeConfigs(ctx, kmsg.ConfigResourceTypeTopic, d.Name, nil); err != nil {
					return err
				}
				tables = append(tables, configTable("CONFIGS", d.Configs))
			}
			details = append(details, d)
		}
		return a.show(details, tables...)
	})
}

func summaryTable(r topicRow) *table {
	t := newTable("SUMMARY", "NAME", "ID", "INTERNAL", "PARTITIONS", "REPLICAS")
	t.row(r.Name, r.ID, r.Internal, r.Partitions, r.Replicas)
	return t
}

func partitionTable(rows []partitionRow) *table {
	t := newTable("PARTITIONS", "PARTITION", "LEADER", "EPOCH", "REPLICAS", "ISR", "LOG-START-OFFSET", "HIGH-WATERMARK")
	for _, r := range rows {
		high := fmt.Sprint(r.High)
		if r.Error != "" {
			high = r.Error
		}
		t.row(r.Partition, r.Leader, r.Epoch, ids(r.Replicas), ids(r.InSync), r.Start, high)
	}
	return t
}

func ids(list []int32) string { return strings.ReplaceAll(fmt.Sprint(list), " ", ",") }

func (a *app) partitionRows(ctx context.Context, t *kmsg.MetadataResponseTopic) ([]partitionRow, error) {
	name := deref(t.Topic)
	places := map[string][]int32{name: nil}
	for _, p := range t.Partitions {
		places[name] = append(places[name], p.Partition)
	}
	start, err := a.offsets(ctx, places, earliest)
	if err != nil {
		return nil, err
	}
	end, err := a.offsets(ctx, places, latest)
	if err != nil {
		return nil, err
	}
	var rows []partitionRow
	for _, p := range t.Partitions {
		at := place{name, p.Partition}
		r := partitionRow{
			Partition: p.Partition, Leader: p.Leader, Epoch: p.LeaderEpoch, Replicas: p.Replicas, InSync: p.ISR,
			Start: start[at].offset, High: end[at].offset,
		}
		if code := end[at].code; code != 0 {
			r.Error = codeName(code)
		}
		rows = append(rows, r)
	}
	return rows, nil
}

// place names a partition; comparable, for maps.
type place struct {
	topic     string
	partition int32
}

// found is what ListOffsets says about one place.
type found struct {
	offset, timestamp int64
	code              int16
}

// The special timestamps of ListOffsets.
const (
	latest   int64 = -1
	earliest int64 = -2
)

// offsets asks each partition's leader for the offset at ts (or latest, earliest).
func (a *app) offsets(ctx context.Context, places map[string][]int32, ts int64) (map[place]found, error) {
	req := kmsg.NewPtrListOffsetsRequest()
	req.ReplicaID = -1
	for topic, parts := range places {
		t := kmsg.NewListOffsetsRequestTopic()
		t.Topic = topic
		for _, p := range parts {
			rp := kmsg.NewListOffsetsRequestTopicPartition()
			rp.Partition, rp.Timestamp, rp.CurrentLeaderEpoch = p, ts, -1
			t.Partitions = append(t.Partitions, rp)
		}
		req.Topics = append(req.Topics, t)
	}
	out := make(map[place]found)
	if len(req.Topics) == 0 {
		return out, nil
	}
	resp, err := ask[*kmsg.ListOffsetsResponse](ctx, a, req)
	if err != nil {
		return nil, err
	}
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			out[place{t.Topic, p.Partition}] = found{p.Offset, p.Timestamp, p.ErrorCode}
		}
	}
	return out, nil
}

// places fills in every partition where a topic's list is empty; unknown topics
// and partitions are refused.
func (a *app) places(ctx context.Context, want map[string][]int32) (map[string][]int32, error) {
	names := []string{}
	for name := range want {
		names = append(names, name)
	}
	topics, err := a.topics(ctx, names)
	if err != nil {
		return nil, err
	}
	out := make(map[string][]int32)
	for i := range topics {
		t := &topics[i]
		name := deref(t.Topic)
		if t.ErrorCode == kerr.UnknownTopicOrPartition.Code {
			return nil, Failed("topic %s does not exist", name)
		}
		if err := refused("topic "+name, t.ErrorCode, nil); err != nil {
			return nil, err
		}
		for _, p := range want[name] {
			if p < 0 || int(p) >= len(t.Partitions) {
				return nil, Failed("topic %s has no partition %d: it has %d", name, p, len(t.Partitions))
			}
		}
		out[name] = want[name]
		if len(want[name]) == 0 {
			for _, p := range t.Partitions {
				out[name] = append(out[name], p.Partition)
			}
		}
	}
	return out, nil
}
