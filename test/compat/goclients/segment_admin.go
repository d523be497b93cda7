package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/segmentio/kafka-go"
)

func (s segment) admin(ctx context.Context, topic, group string) error {
	a := &kafka.Client{Addr: kafka.TCP(bootstrap), Timeout: 20 * time.Second}
	created, err := a.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{{
		Topic: topic, NumPartitions: 2, ReplicationFactor: 1,
		ConfigEntries: []kafka.ConfigEntry{{ConfigName: "retention.ms", ConfigValue: "7200000"}}}}})
	if err = errors.Join(err, created.Errors[topic]); err != nil {
		return fmt.Errorf("create: %w", err)
	}
	if err := s.configs(ctx, a, topic); err != nil {
		return err
	}
	grown, err := a.CreatePartitions(ctx, &kafka.CreatePartitionsRequest{
		Topics: []kafka.TopicPartitionsConfig{{Name: topic, Count: 4}}})
	if err = errors.Join(err, grown.Errors[topic]); err != nil {
		return fmt.Errorf("create partitions: %w", err)
	}
	count := func() (int, error) {
		m, err := a.Metadata(ctx, &kafka.MetadataRequest{})
		if err != nil {
			return 0, err
		}
		i := slices.IndexFunc(m.Topics, func(t kafka.Topic) bool { return t.Name == topic })
		if i < 0 {
			return 0, nil
		}
		return len(m.Topics[i].Partitions), nil
	}
	err = eventually(ctx, "four partitions", func() (bool, error) {
		n, err := count()
		return n == 4, err
	})
	if err != nil {
		return err
	}
	if err := s.produce(ctx, topic, "none", false, numbers("", 40, 4)); err != nil {
		return err
	}
	if err := s.groups(ctx, a, topic, group); err != nil {
		return err
	}
	deleted, err := a.DeleteTopics(ctx, &kafka.DeleteTopicsRequest{Topics: []string{topic}})
	if err = errors.Join(err, deleted.Errors[topic]); err != nil {
		return fmt.Errorf("delete: %w", err)
	}
	return eventually(ctx, "the topic is gone", func() (bool, error) {
		n, err := count()
		return n == 0, err
	})
}

func (s segment) configs(ctx context.Context, a *kafka.Client, topic string) error {
	value := func() (string, error) {
		d, err := a.DescribeConfigs(ctx, &kafka.DescribeConfigsRequest{
			Resources: []kafka.DescribeConfigRequestResource{{
				ResourceType: kafka.ResourceTypeTopic, ResourceName: topic,
				ConfigNames: []string{"retention.ms"}}}})
		if err != nil {
			return "", err
		}
		if len(d.Resources) != 1 || len(d.Resources[0].ConfigEntries) != 1 {
			return "", fmt.Errorf("answer %+v", d.Resources)
		}
		return d.Resources[0].ConfigEntries[0].ConfigValue, nil
	}
	if v, err := value(); err != nil || v != "7200000" {
		return fmt.Errorf("retention.ms is %q: %v", v, err)
	}
	_, err := a.IncrementalAlterConfigs(ctx, &kafka.IncrementalAlterConfigsRequest{
		Resources: []kafka.IncrementalAlterConfigsRequestResource{{
			ResourceType: kafka.ResourceTypeTopic, ResourceName: topic,
			Configs: []kafka.IncrementalAlterConfigsRequestConfig{{Name: "retention.ms",
				Value: "3600000", ConfigOperation: kafka.ConfigOperationSet}}}}})
	if err != nil {
		return err
	}
	return eventually(ctx, "retention.ms altered", func() (bool, error) {
		v, err := value()
		return v == "3600000", err
	})
}

func (s segment) groups(ctx context.Context, a *kafka.Client, topic, group string) error {
	m, err := s.join(group, topic, func(string) {})
	if err != nil {
		return err
	}
	err = eventually(ctx, "offsets are committed", func() (bool, error) {
		kept, err := a.OffsetFetch(ctx, &kafka.OffsetFetchRequest{GroupID: group,
			Topics: map[string][]int{topic: {0, 1, 2, 3}}})
		if err != nil {
			return false, err
		}
		n := 0
		for _, p := range kept.Topics[topic] {
			if p.CommittedOffset == 10 {
				n++
			}
		}
		return n == 4, nil
	})
	if err == nil {
		var d *kafka.DescribeGroupsResponse
		d, err = a.DescribeGroups(ctx, &kafka.DescribeGroupsRequest{GroupIDs: []string{group}})
		if err == nil && (d.Groups[0].GroupState != "Stable" || len(d.Groups[0].Members) != 1) {
			err = fmt.Errorf("described group %+v", d.Groups[0])
		}
	}
	if closeErr := m.close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	listed := func() (bool, error) {
		l, err := a.ListGroups(ctx, &kafka.ListGroupsRequest{})
		if err != nil {
			return false, err
		}
		return slices.ContainsFunc(l.Groups, func(g kafka.ListGroupsResponseGroup) bool {
			return g.GroupID == group
		}), nil
	}
	if there, err := listed(); err != nil || !there {
		return fmt.Errorf("the group is not listed: %v", err)
	}
	d, err := a.DeleteGroups(ctx, &kafka.DeleteGroupsRequest{GroupIDs: []string{group}})
	if err = errors.Join(err, d.Errors[group]); err != nil {
		return fmt.Errorf("delete the group: %w", err)
	}
	return eventually(ctx, "the group is gone", func() (bool, error) {
		there, err := listed()
		return !there, err
	})
}
