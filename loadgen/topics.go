package loadgen

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// CreateTopic makes a topic and waits until all its partitions have a leader.
func CreateTopic(ctx context.Context, addr, name string, partitions int,
	config map[string]string) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr))
	if err != nil {
		return err
	}
	defer cl.Close()
	req := kmsg.NewPtrCreateTopicsRequest()
	req.TimeoutMillis = 30_000
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = name, int32(partitions), 1
	for k, v := range config {
		c := kmsg.NewCreateTopicsRequestTopicConfig()
		c.Name, c.Value = k, &v
		t.Configs = append(t.Configs, c)
	}
	req.Topics = append(req.Topics, t)
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		return fmt.Errorf("loadgen: create topic: %w", err)
	}
	if err := kerr.ErrorForCode(resp.Topics[0].ErrorCode); err != nil {
		return fmt.Errorf("loadgen: create topic %s: %w", name, err)
	}
	return waitForLeaders(ctx, cl, name, partitions)
}

// waitForLeaders asks each partition for its end until all answer: metadata names a leader
// somewhat before it serves.
func waitForLeaders(ctx context.Context, cl *kgo.Client, name string, partitions int) error {
	// Some brokers take minutes over thousands of partitions.
	deadline := time.Now().Add(30*time.Second + time.Duration(partitions)*50*time.Millisecond)
	for p := int32(0); p < int32(partitions); {
		_, err := endOffset(ctx, cl, name, p)
		switch {
		case err == nil:
			p++
		case time.Now().After(deadline):
			return fmt.Errorf("loadgen: topic %s has no leaders: %w", name, err)
		default:
			time.Sleep(20 * time.Millisecond)
		}
	}
	return nil
}

// DeleteTopic removes a topic.
func DeleteTopic(ctx context.Context, addr, name string) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr))
	if err != nil {
		return err
	}
	defer cl.Close()
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.TimeoutMillis = 30_000
	req.TopicNames = []string{name}
	t := kmsg.NewDeleteTopicsRequestTopic()
	t.Topic = &name
	req.Topics = append(req.Topics, t)
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		return fmt.Errorf("loadgen: delete topic: %w", err)
	}
	return kerr.ErrorForCode(resp.Topics[0].ErrorCode)
}

// EndOffset asks for the end of one partition.
func EndOffset(ctx context.Context, addr, topic string, partition int32) (int64, error) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr))
	if err != nil {
		return 0, err
	}
	defer cl.Close()
	return endOffset(ctx, cl, topic, partition)
}

func endOffset(ctx context.Context, cl *kgo.Client, topic string, partition int32) (int64, error) {
	req := kmsg.NewPtrListOffsetsRequest()
	req.ReplicaID = -1
	t := kmsg.NewListOffsetsRequestTopic()
	t.Topic = topic
	p := kmsg.NewListOffsetsRequestTopicPartition()
	p.Partition, p.Timestamp, p.CurrentLeaderEpoch = partition, -1, -1
	t.Partitions = append(t.Partitions, p)
	req.Topics = append(req.Topics, t)
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		return 0, fmt.Errorf("loadgen: list offsets: %w", err)
	}
	got := resp.Topics[0].Partitions[0]
	return got.Offset, kerr.ErrorForCode(got.ErrorCode)
}
