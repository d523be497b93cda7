package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

func (f franz) admin(ctx context.Context, topic, group string) error {
	cl, err := f.open()
	if err != nil {
		return err
	}
	defer cl.Close()
	a := kadm.NewClient(cl)
	retention := "7200000"
	created, err := a.CreateTopic(ctx, 2, 1, map[string]*string{"retention.ms": &retention}, topic)
	if err != nil || created.NumPartitions != 2 {
		return fmt.Errorf("create: %+v, %w", created, err)
	}
	if err := f.configs(ctx, a, topic); err != nil {
		return err
	}
	if _, err := a.UpdatePartitions(ctx, 4, topic); err != nil {
		return fmt.Errorf("create partitions: %w", err)
	}
	err = eventually(ctx, "four partitions", func() (bool, error) {
		t, err := a.ListTopics(ctx, topic)
		return err == nil && len(t[topic].Partitions) == 4, err
	})
	if err != nil {
		return err
	}
	if err := f.produce(ctx, topic, "none", false, numbers("", 40, 4)); err != nil {
		return err
	}
	if err := f.groups(ctx, a, topic, group); err != nil {
		return err
	}
	var cut kadm.Offsets
	cut.Add(kadm.Offset{Topic: topic, Partition: 1, At: 4, LeaderEpoch: -1})
	if _, err := a.DeleteRecords(ctx, cut); err != nil {
		return fmt.Errorf("delete records: %w", err)
	}
	start, err := a.ListStartOffsets(ctx, topic)
	if err != nil {
		return err
	}
	if o, _ := start.Lookup(topic, 1); o.Offset != 4 {
		return fmt.Errorf("start after deleting records is %d, want 4", o.Offset)
	}
	meta, err := a.BrokerMetadata(ctx)
	if err != nil || meta.Cluster == "" {
		return fmt.Errorf("cluster %+v: %v", meta, err)
	}
	dirs, err := a.DescribeAllLogDirs(ctx, nil)
	if err != nil || len(dirs) == 0 {
		return fmt.Errorf("log dirs %+v: %v", dirs, err)
	}
	if _, err := a.DeleteTopic(ctx, topic); err != nil {
		return err
	}
	return eventually(ctx, "the topic is gone", func() (bool, error) {
		t, err := a.ListTopics(ctx)
		return err == nil && !t.Has(topic), err
	})
}

func (f franz) configs(ctx context.Context, a *kadm.Client, topic string) error {
	value := func() (string, error) {
		rs, err := a.DescribeTopicConfigs(ctx, topic)
		if err != nil {
			return "", err
		}
		r, err := rs.On(topic, nil)
		if err != nil {
			return "", err
		}
		for _, c := range r.Configs {
			if c.Key == "retention.ms" {
				return c.MaybeValue(), nil
			}
		}
		return "", errors.New("no retention.ms")
	}
	if v, err := value(); err != nil || v != "7200000" {
		return fmt.Errorf("retention.ms is %q: %v", v, err)
	}
	other := "3600000"
	change := []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "retention.ms", Value: &other}}
	if _, err := a.AlterTopicConfigs(ctx, change, topic); err != nil {
		return err
	}
	return eventually(ctx, "retention.ms altered", func() (bool, error) {
		v, err := value()
		return v == other, err
	})
}

func (f franz) groups(ctx context.Context, a *kadm.Client, topic, group string) error {
	cl, err := f.open(kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return err
	}
	defer cl.Close()
	for n := 0; n < 40; {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return err
		}
		n += fetches.NumRecords()
	}
	if err := cl.CommitUncommittedOffsets(ctx); err != nil {
		return err
	}
	described, err := a.DescribeGroups(ctx, group)
	if err != nil {
		return err
	}
	if g := described[group]; g.State != "Stable" || len(g.Members) != 1 {
		return fmt.Errorf("described group %+v", g)
	}
	cl.Close()
	listed, err := a.ListGroups(ctx)
	if err != nil || !slices.Contains(listed.Groups(), group) {
		return fmt.Errorf("listed groups %v: %v", listed.Groups(), err)
	}
	kept, err := a.FetchOffsets(ctx, group)
	if err != nil {
		return err
	}
	for p := range int32(4) {
		if o, ok := kept.Lookup(topic, p); !ok || o.At != 10 {
			return fmt.Errorf("committed offset of partition %d is %d, want 10", p, o.At)
		}
	}
	var reset kadm.Offsets
	reset.Add(kadm.Offset{Topic: topic, Partition: 0, At: 3, LeaderEpoch: -1})
	if err := a.CommitAllOffsets(ctx, group, reset); err != nil {
		return err
	}
	kept, err = a.FetchOffsets(ctx, group)
	if err != nil {
		return err
	}
	if o, _ := kept.Lookup(topic, 0); o.At != 3 {
		return fmt.Errorf("offset after a reset is %d, want 3", o.At)
	}
	if _, err := a.DeleteGroups(ctx, group); err != nil {
		return err
	}
	return eventually(ctx, "the group is gone", func() (bool, error) {
		listed, err := a.ListGroups(ctx)
		return err == nil && !slices.Contains(listed.Groups(), group), err
	})
}
