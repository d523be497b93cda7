package main

import (
	"context"
	"fmt"
	"time"

	"github.com/IBM/sarama"
)

func (s saramaClient) admin(ctx context.Context, topic, group string) error {
	a, err := sarama.NewClusterAdmin([]string{bootstrap}, s.config())
	if err != nil {
		return err
	}
	defer a.Close()
	retention := "7200000"
	err = a.CreateTopic(topic, &sarama.TopicDetail{NumPartitions: 2, ReplicationFactor: 1,
		ConfigEntries: map[string]*string{"retention.ms": &retention}}, false)
	if err != nil {
		return fmt.Errorf("create: %w", err)
	}
	if err := s.configs(ctx, a, topic); err != nil {
		return err
	}
	if err := a.CreatePartitions(topic, 4, nil, false); err != nil {
		return fmt.Errorf("create partitions: %w", err)
	}
	err = eventually(ctx, "four partitions", func() (bool, error) {
		t, err := a.DescribeTopics([]string{topic})
		return err == nil && len(t[0].Partitions) == 4, err
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
	if err := a.DeleteRecords(topic, map[int32]int64{1: 4}); err != nil {
		return fmt.Errorf("delete records: %w", err)
	}
	cl, err := sarama.NewClient([]string{bootstrap}, s.config())
	if err != nil {
		return err
	}
	defer cl.Close()
	if o, err := cl.GetOffset(topic, 1, sarama.OffsetOldest); err != nil || o != 4 {
		return fmt.Errorf("start after deleting records is %d, want 4: %v", o, err)
	}
	brokers, _, err := a.DescribeCluster()
	if err != nil || len(brokers) == 0 {
		return fmt.Errorf("cluster %v: %v", brokers, err)
	}
	dirs, err := a.DescribeLogDirs([]int32{brokers[0].ID()})
	if err != nil || len(dirs) == 0 {
		return fmt.Errorf("log dirs %v: %v", dirs, err)
	}
	if err := a.DeleteTopic(topic); err != nil {
		return err
	}
	return eventually(ctx, "the topic is gone", func() (bool, error) {
		t, err := a.ListTopics()
		_, there := t[topic]
		return err == nil && !there, err
	})
}

func (s saramaClient) configs(ctx context.Context, a sarama.ClusterAdmin, topic string) error {
	value := func() (string, error) {
		entries, err := a.DescribeConfig(sarama.ConfigResource{Type: sarama.TopicResource,
			Name: topic, ConfigNames: []string{"retention.ms"}})
		if err != nil {
			return "", err
		}
		if len(entries) != 1 {
			return "", fmt.Errorf("%d entries for one name", len(entries))
		}
		return entries[0].Value, nil
	}
	if v, err := value(); err != nil || v != "7200000" {
		return fmt.Errorf("retention.ms is %q: %v", v, err)
	}
	other := "3600000"
	err := a.IncrementalAlterConfig(sarama.TopicResource, topic,
		map[string]sarama.IncrementalAlterConfigsEntry{"retention.ms": {
			Operation: sarama.IncrementalAlterConfigsOperationSet, Value: &other}}, false)
	if err != nil {
		return err
	}
	return eventually(ctx, "retention.ms altered", func() (bool, error) {
		v, err := value()
		return v == other, err
	})
}

func (s saramaClient) groups(ctx context.Context, a sarama.ClusterAdmin,
	topic, group string) error {
	m, err := s.join(group, topic, func(string) {})
	if err != nil {
		return err
	}
	committed := func() (*sarama.OffsetFetchResponse, error) {
		return a.ListConsumerGroupOffsets(group, map[string][]int32{topic: {0, 1, 2, 3}})
	}
	err = eventually(ctx, "offsets are committed", func() (bool, error) {
		kept, err := committed()
		if err != nil {
			return false, err
		}
		for p := range int32(4) {
			if b := kept.GetBlock(topic, p); b == nil || b.Offset != 10 {
				return false, nil
			}
		}
		return true, nil
	})
	if err == nil {
		var groups []*sarama.GroupDescription
		groups, err = a.DescribeConsumerGroups([]string{group})
		if err == nil && (groups[0].State != "Stable" || len(groups[0].Members) != 1) {
			err = fmt.Errorf("described group %+v", groups[0])
		}
	}
	if closeErr := m.close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	listed, err := a.ListConsumerGroups()
	if err != nil {
		return err
	}
	if _, ok := listed[group]; !ok {
		return fmt.Errorf("the group is not among %v", listed)
	}
	if err := s.reset(topic, group); err != nil {
		return fmt.Errorf("reset: %w", err)
	}
	kept, err := committed()
	if err != nil {
		return err
	}
	if o := kept.GetBlock(topic, 0).Offset; o != 3 {
		return fmt.Errorf("offset after a reset is %d, want 3", o)
	}
	if err := a.DeleteConsumerGroupOffset(group, topic, 1); err != nil {
		return fmt.Errorf("delete an offset: %w", err)
	}
	if err := a.DeleteConsumerGroup(group); err != nil {
		return err
	}
	return eventually(ctx, "the group is gone", func() (bool, error) {
		listed, err := a.ListConsumerGroups()
		_, there := listed[group]
		return err == nil && !there, err
	})
}

// reset commits an earlier offset from outside of the group.
func (s saramaClient) reset(topic, group string) error {
	c := s.config()
	c.Consumer.Offsets.AutoCommit.Interval = 50 * time.Millisecond
	cl, err := sarama.NewClient([]string{bootstrap}, c)
	if err != nil {
		return err
	}
	defer cl.Close()
	om, err := sarama.NewOffsetManagerFromClient(group, cl)
	if err != nil {
		return err
	}
	pom, err := om.ManagePartition(topic, 0)
	if err != nil {
		return err
	}
	pom.ResetOffset(3, "reset")
	om.Commit()
	pom.AsyncClose()
	return om.Close()
}
