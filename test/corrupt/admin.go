package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// create makes the topics, and one that is deleted later.
func create(c *client) error {
	req := kmsg.NewPtrCreateTopicsRequest()
	req.TimeoutMillis = 10_000
	for _, t := range append([]topic{{name: "gone", partitions: 2}}, topics...) {
		x := kmsg.NewCreateTopicsRequestTopic()
		x.Topic, x.NumPartitions, x.ReplicationFactor = t.name, t.partitions, 1
		for k, v := range t.configs {
			conf := kmsg.NewCreateTopicsRequestTopicConfig()
			conf.Name, conf.Value = k, &v
			x.Configs = append(x.Configs, conf)
		}
		req.Topics = append(req.Topics, x)
	}
	resp, err := ask[*kmsg.CreateTopicsResponse](c, req, 7)
	if err != nil {
		return err
	}
	for _, t := range resp.Topics {
		if err := kerr.ErrorForCode(t.ErrorCode); err != nil {
			return fmt.Errorf("create %s: %w", t.Topic, err)
		}
	}
	return nil
}

// administer commits offsets, deletes records and a topic, and changes a config.
func (m *maker) administer(c *client, number int) error {
	for i, g := range groups {
		if err := commit(c, g, int64(10*number+i), fmt.Sprintf("life %d", number)); err != nil {
			return err
		}
	}
	switch number {
	case 0:
		for i := range 256 { // enough for a digest of the partition of __consumer_offsets
			if err := commit(c, "many", int64(i), strings.Repeat("many ", 800)); err != nil {
				return err
			}
		}
		if err := deleteTopic(c, "gone"); err != nil {
			return err
		}
		return alter(c, "large", "max.message.bytes", "900123")
	case 1:
		m.deleted = 25
		return deleteRecords(c, place{"plain", 0}, m.deleted)
	}
	return nil
}

// commit commits one offset for all partitions.
func commit(c *client, group string, at int64, words string) error {
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group, req.Generation = group, -1
	for _, t := range topics {
		x := kmsg.NewOffsetCommitRequestTopic()
		x.Topic = t.name
		for p := range t.partitions {
			part := kmsg.NewOffsetCommitRequestTopicPartition()
			part.Partition, part.Offset, part.LeaderEpoch, part.Metadata = p, at, -1, &words
			x.Partitions = append(x.Partitions, part)
		}
		req.Topics = append(req.Topics, x)
	}
	for late := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		resp, err := ask[*kmsg.OffsetCommitResponse](c, req, 8)
		if err != nil {
			return err
		}
		for _, t := range resp.Topics {
			for _, p := range t.Partitions {
				if e := kerr.ErrorForCode(p.ErrorCode); e != nil && err == nil {
					err = fmt.Errorf("commit %s: %w", group, e)
				}
			}
		}
		if err == nil || time.Now().After(late) {
			return err
		}
	}
}

func deleteTopic(c *client, name string) error {
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.TimeoutMillis = 10_000
	t := kmsg.NewDeleteTopicsRequestTopic()
	t.Topic = &name
	req.Topics = append(req.Topics, t)
	resp, err := ask[*kmsg.DeleteTopicsResponse](c, req, 6)
	if err != nil {
		return err
	}
	return kerr.ErrorForCode(resp.Topics[0].ErrorCode)
}

func alter(c *client, name, key, value string) error {
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	x := kmsg.NewIncrementalAlterConfigsRequestResource()
	x.ResourceType, x.ResourceName = kmsg.ConfigResourceTypeTopic, name
	conf := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
	conf.Name, conf.Value = key, &value
	x.Configs = append(x.Configs, conf)
	req.Resources = append(req.Resources, x)
	resp, err := ask[*kmsg.IncrementalAlterConfigsResponse](c, req, 1)
	if err != nil {
		return err
	}
	return kerr.ErrorForCode(resp.Resources[0].ErrorCode)
}

func deleteRecords(c *client, p place, before int64) error {
	req := kmsg.NewPtrDeleteRecordsRequest()
	req.TimeoutMillis = 10_000
	t := kmsg.NewDeleteRecordsRequestTopic()
	t.Topic = p.topic
	part := kmsg.NewDeleteRecordsRequestTopicPartition()
	part.Partition, part.Offset = p.partition, before
	t.Partitions = append(t.Partitions, part)
	req.Topics = append(req.Topics, t)
	resp, err := ask[*kmsg.DeleteRecordsResponse](c, req, 2)
	if err != nil {
		return err
	}
	return kerr.ErrorForCode(resp.Topics[0].Partitions[0].ErrorCode)
}
