package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// topicNow is a topic as the restarted broker tells it.
type topicNow struct {
	id         [16]byte
	partitions int32
}

// compare holds the broker's metadata against what the storm's clients know.
func (t *trial) compare(ctx context.Context, cl *kgo.Client, all []*stormer,
) (map[string]topicNow, error) {
	there := map[string]topicNow{}
	resp, err := kmsg.NewPtrMetadataRequest().RequestWith(ctx, cl) // no topics named: all
	if err != nil {
		return nil, err
	}
	for _, topic := range resp.Topics {
		there[*topic.Topic] = topicNow{topic.TopicID, int32(len(topic.Partitions))}
	}
	for _, s := range all {
		if s.err != nil {
			t.finding("%v", s.err)
		}
		for name, states := range s.topics {
			have := there[name].partitions
			if !states[have] {
				t.finding("%s has %d partitions after the restart, want one of %v (0: no topic)", name,
					have, states)
			}
			s.topics[name] = exactly(have)
		}
	}
	return there, nil
}

// compareDisk holds the data directory against the metadata. Removals run behind, so
// that they get a little time.
func (t *trial) compareDisk(ctx context.Context, data string, there map[string]topicNow) error {
	var wrong []string
	err := waitFor(ctx, 10*time.Second, "the disk holds what the metadata says", func() bool {
		wrong = diskAgainst(data, there)
		return len(wrong) == 0
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		t.finding("%v: %s", err, strings.Join(wrong, "; "))
	}
	return nil
}

func diskAgainst(data string, there map[string]topicNow) (wrong []string) {
	if found, _ := os.ReadDir(filepath.Join(data, "quarantine")); len(found) > 0 {
		for _, e := range found {
			wrong = append(wrong, "quarantined: "+e.Name())
		}
	}
	logs, err := os.ReadDir(filepath.Join(data, "log"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return append(wrong, err.Error())
	}
	for _, e := range logs {
		dash := strings.LastIndexByte(e.Name(), '-')
		if dash < 0 {
			wrong = append(wrong, "what is log/"+e.Name()+"?")
			continue
		}
		topic, known := there[e.Name()[:dash]]
		var partition int32
		if _, err := fmt.Sscanf(e.Name()[dash+1:], "%d", &partition); !known || err != nil ||
			partition >= topic.partitions {
			wrong = append(wrong, "log/"+e.Name()+" is of no topic")
			continue
		}
		if id, err := directoryTopic(filepath.Join(data, "log", e.Name())); err == nil && id != topic.id {
			wrong = append(wrong, "log/"+e.Name()+" is of another topic of that name")
		}
	}
	return wrong
}

// directoryTopic reads the topic id in partition.metadata, a file as Kafka writes it.
func directoryTopic(dir string) (id [16]byte, err error) {
	text, err := os.ReadFile(filepath.Join(dir, "partition.metadata"))
	if err != nil {
		return id, err
	}
	for _, line := range strings.Split(string(text), "\n") {
		if value, ok := strings.CutPrefix(line, "topic_id: "); ok {
			raw, err := base64.RawURLEncoding.DecodeString(strings.TrimSpace(value))
			copy(id[:], raw)
			return id, err
		}
	}
	return id, errors.New("chaos: no topic_id in partition.metadata")
}

// useTopics produces to every partition that exists.
func useTopics(ctx context.Context, cl *kgo.Client, there map[string]topicNow, round int) error {
	var records []*kgo.Record
	for name, topic := range there {
		if !strings.HasPrefix(name, "storm-") {
			continue
		}
		for i := range topic.partitions {
			records = append(records, &kgo.Record{Topic: name, Partition: i,
				Value: fmt.Appendf(nil, "round %d", round)})
		}
	}
	if err := cl.ProduceSync(ctx, records...).FirstErr(); err != nil {
		return fmt.Errorf("chaos: produce to what exists: %w", err)
	}
	return nil
}
