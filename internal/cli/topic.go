package cli

import (
	"context"
	"encoding/base64"
	"fmt"
	"sort"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func topicCommand(a *app) *cobra.Command {
	return Noun("topic", "Create, show, change, write and read topics",
		topicCreate(a), topicList(a), topicDescribe(a), topicDelete(a), topicAddPartitions(a),
		topicAlterConfig(a), topicTrim(a), topicProduce(a), topicConsume(a))
}

func topicCreate(a *app) *cobra.Command {
	var partitions int32
	var replicas int16
	var configs []string
	var ifNotExists, dryRun bool
	cmd := &cobra.Command{
		Use:     "create NAME...",
		Short:   "Create topics",
		Example: "  millrace topic create orders -p 3 -c retention.ms=86400000",
		Args:    cobra.MinimumNArgs(1),
	}
	f := cmd.Flags()
	f.Int32VarP(&partitions, "partitions", "p", -1, "number of partitions (-1: the broker's num.partitions)")
	f.Int16VarP(&replicas, "replicas", "r", -1, "replication factor (-1: the broker's default)")
	f.StringArrayVarP(&configs, "config", "c", nil, "topic config name=value (repeatable)")
	f.BoolVar(&ifNotExists, "if-not-exists", false, "a topic that exists is no failure")
	f.BoolVar(&dryRun, "dry-run", false, "let the broker check, create nothing")
	return a.verb(cmd, func(ctx context.Context, args []string) error {
		kv, err := pairs(configs)
		if err != nil {
			return err
		}
		req := kmsg.NewPtrCreateTopicsRequest()
		req.TimeoutMillis, req.ValidateOnly = a.millis(), dryRun
		for _, name := range args {
			t := kmsg.NewCreateTopicsRequestTopic()
			t.Topic, t.NumPartitions, t.ReplicationFactor = name, partitions, replicas
			for _, p := range kv {
				c := kmsg.NewCreateTopicsRequestTopicConfig()
				c.Name, c.Value = p[0], kmsg.StringPtr(p[1])
				t.Configs = append(t.Configs, c)
			}
			req.Topics = append(req.Topics, t)
		}
		resp, err := ask[*kmsg.CreateTopicsResponse](ctx, a, req)
		if err != nil {
			return err
		}
		var rows []status
		for _, t := range resp.Topics {
			if ifNotExists && t.ErrorCode == kerr.TopicAlreadyExists.Code {
				t.ErrorCode = 0
			}
			rows = append(rows, coded(t.Topic, t.ErrorCode, t.ErrorMessage))
		}
		return a.statuses("TOPIC", rows)
	})
}

func topicDelete(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "delete NAME...", Short: "Delete topics and their data", Args: cobra.MinimumNArgs(1)}
	return a.verb(cmd, func(ctx context.Context, args []string) error {
		req := kmsg.NewPtrDeleteTopicsRequest()
		req.TimeoutMillis, req.TopicNames = a.millis(), args
		for _, name := range args {
			t := kmsg.NewDeleteTopicsRequestTopic()
			t.Topic = kmsg.StringPtr(name)
			req.Topics = append(req.Topics, t)
		}
		resp, err := ask[*kmsg.DeleteTopicsResponse](ctx, a, req)
		if err != nil {
			return err
		}
		var rows []status
		for _, t := range resp.Topics {
			rows = append(rows, coded(deref(t.Topic), t.ErrorCode, t.ErrorMessage))
		}
		return a.statuses("TOPIC", rows)
	})
}

func topicAddPartitions(a *app) *cobra.Command {
	var add, total int32
	var dryRun bool
	cmd := &cobra.Command{
		Use: "add-partitions NAME...", Short: "Give topics more partitions", Args: cobra.MinimumNArgs(1),
	}
	f := cmd.Flags()
	f.Int32VarP(&add, "num", "n", 0, "how many to add")
	f.Int32Var(&total, "total", 0, "how many there shall be")
	f.BoolVar(&dryRun, "dry-run", false, "let the broker check, change nothing")
	cmd.MarkFlagsMutuallyExclusive("num", "total")
	cmd.MarkFlagsOneRequired("num", "total")
	return a.verb(cmd, func(ctx context.Context, args []string) error {
		if add < 0 || total < 0 {
			return Usage("a number of partitions cannot be negative")
		}
		topics, err := a.topics(ctx, args)
		if err != nil {
			return err
		}
		req := kmsg.NewPtrCreatePartitionsRequest()
		req.TimeoutMillis, req.ValidateOnly = a.millis(), dryRun
		var rows []status
		for i := range topics {
			t := &topics[i]
			if t.ErrorCode != 0 {
				rows = append(rows, coded(deref(t.Topic), t.ErrorCode, nil))
				continue
			}
			r := kmsg.NewCreatePartitionsRequestTopic()
			r.Topic, r.Count = deref(t.Topic), total
			if total == 0 {
				r.Count = int32(len(t.Partitions)) + add
			}
			req.Topics = append(req.Topics, r)
		}
		if len(req.Topics) > 0 {
			resp, err := ask[*kmsg.CreatePartitionsResponse](ctx, a, req)
			if err != nil {
				return err
			}
			for _, t := range resp.Topics {
				rows = append(rows, coded(t.Topic, t.ErrorCode, t.ErrorMessage))
			}
		}
		return a.statuses("TOPIC", rows)
	})
}

type topicRow struct {
	Name       string `json:"name"`
	ID         string `json:"id"`
	Internal   bool   `json:"internal"`
	Partitions int    `json:"partitions"`
	Replicas   int    `json:"replicas"`
}

func describeTopic(t *kmsg.MetadataResponseTopic) topicRow {
	r := topicRow{
		Name: deref(t.Topic), ID: base64.RawURLEncoding.EncodeToString(t.TopicID[:]),
		Internal: t.IsInternal, Partitions: len(t.Partitions),
	}
	if len(t.Partitions) > 0 {
		r.Replicas = len(t.Partitions[0].Replicas)
	}
	return r
}

func topicList(a *app) *cobra.Command {
	var internal bool
	cmd := &cobra.Command{Use: "list", Aliases: []string{"ls"}, Short: "List topics", Args: cobra.NoArgs}
	cmd.Flags().BoolVarP(&internal, "internal", "i", false, "internal topics too")
	return a.verb(cmd, func(ctx context.Context, _ []string) error {
		topics, err := a.topics(ctx, nil)
		if err != nil {
			return err
		}
		rows := []topicRow{}
		t := newTable("", "NAME", "PARTITIONS", "REPLICAS")
		for i := range topics {
			r := describeTopic(&topics[i])
			if r.Internal && !internal {
				continue
			}
			rows = append(rows, r)
			t.row(r.Name, r.Partitions, r.Replicas)
		}
		return a.show(rows, t)
	})
}

// topics asks for the metadata of names, of all topics when names is nil; sorted.
// It never creates one.
func (a *app) topics(ctx context.Context, names []string) ([]kmsg.MetadataResponseTopic, error) {
	resp, err := a.metadata(ctx, names, names == nil)
	if err != nil {
		return nil, err
	}
	return resp.Topics, nil
}

func (a *app) metadata(ctx context.Context, names []string, all bool) (*kmsg.MetadataResponse, error) {
	req := kmsg.NewPtrMetadataRequest()
	if !all {
		req.Topics = []kmsg.MetadataRequestTopic{}
	}
	for _, n := range names {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = kmsg.StringPtr(n)
		req.Topics = append(req.Topics, t)
	}
	resp, err := ask[*kmsg.MetadataResponse](ctx, a, req)
	if err != nil {
		return nil, err
	}
	sort.Slice(resp.Topics, func(i, j int) bool { return deref(resp.Topics[i].Topic) < deref(resp.Topics[j].Topic) })
	for i := range resp.Topics {
		p := resp.Topics[i].Partitions
		sort.Slice(p, func(i, j int) bool { return p[i].Partition < p[j].Partition })
	}
	return resp, nil
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func topicTrim(a *app) *cobra.Command {
	var partitions []int32
	var offset int64
	cmd := &cobra.Command{
		Use:   "trim-prefix NAME",
		Short: "Delete a topic's records below an offset",
		Args:  cobra.ExactArgs(1),
	}
	cmd.Flags().Int32SliceVarP(&partitions, "partitions", "p", nil, "only these partitions")
	cmd.Flags().Int64VarP(&offset, "offset", "o", 0, "first offset to keep; -1 deletes all there is")
	_ = cmd.MarkFlagRequired("offset")
	return a.verb(cmd, func(ctx context.Context, args []string) error {
		places, err := a.places(ctx, map[string][]int32{args[0]: partitions})
		if err != nil {
			return err
		}
		req := kmsg.NewPtrDeleteRecordsRequest()
		req.TimeoutMillis = a.millis()
		for topic, parts := range places {
			t := kmsg.NewDeleteRecordsRequestTopic()
			t.Topic = topic
			for _, p := range parts {
				rp := kmsg.NewDeleteRecordsRequestTopicPartition()
				rp.Partition, rp.Offset = p, offset
				t.Partitions = append(t.Partitions, rp)
			}
			req.Topics = append(req.Topics, t)
		}
		resp, err := ask[*kmsg.DeleteRecordsResponse](ctx, a, req)
		if err != nil {
			return err
		}
		var rows []status
		for _, t := range resp.Topics {
			for _, p := range t.Partitions {
				rows = append(rows, coded(fmt.Sprintf("%s/%d", t.Topic, p.Partition), p.ErrorCode, nil))
			}
		}
		return a.statuses("PARTITION", rows)
	})
}
