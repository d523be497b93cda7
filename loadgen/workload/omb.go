package workload

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// ombFile is a workload of the OpenMessaging Benchmark, by its own names.
type ombFile struct {
	Name                      string  `yaml:"name"`
	Topics                    int     `yaml:"topics"`
	PartitionsPerTopic        int     `yaml:"partitionsPerTopic"`
	KeyDistributor            string  `yaml:"keyDistributor"`
	MessageSize               int     `yaml:"messageSize"`
	UseRandomizedPayloads     bool    `yaml:"useRandomizedPayloads"`
	RandomBytesRatio          float64 `yaml:"randomBytesRatio"`
	RandomizedPayloadPoolSize int     `yaml:"randomizedPayloadPoolSize"`
	PayloadFile               string  `yaml:"payloadFile"`
	SubscriptionsPerTopic     int     `yaml:"subscriptionsPerTopic"`
	ProducersPerTopic         int     `yaml:"producersPerTopic"`
	ConsumerPerSubscription   int     `yaml:"consumerPerSubscription"`
	ProducerRate              int     `yaml:"producerRate"`
	ConsumerBacklogSizeGB     int64   `yaml:"consumerBacklogSizeGB"`
	BacklogDrainRatio         float64 `yaml:"backlogDrainRatio"`
	TestDurationMinutes       int     `yaml:"testDurationMinutes"`
	WarmupDurationMinutes     *int    `yaml:"warmupDurationMinutes"`
}

const (
	ombKeys      = 10_000 // how many different keys its distributors make
	ombKeySize   = 10     // theirs are 7 bytes in base64
	ombUnlimited = 10_000_000
	ombBatch     = 128 << 10 // of the Kafka drivers' configurations
	ombClients   = 64        // at most so many of ours stand for theirs
)

// isOMB tells their files from ours by the names that every one of theirs has.
func isOMB(root *yaml.Node) bool {
	has := map[string]bool{}
	for k := range pairs(root) {
		has[k.Value] = true
	}
	return has["partitionsPerTopic"] || has["producersPerTopic"] || has["messageSize"]
}

func parseOMB(root *yaml.Node, dir string, overrides map[string]string) (*Scenario, error) {
	var f ombFile
	for k := range pairs(root) {
		if !ombKnows(k.Value) {
			return nil, at(k, fmt.Errorf("%s: the OpenMessaging Benchmark has no such option", k.Value))
		}
	}
	if err := root.Decode(&f); err != nil {
		return nil, err
	}
	if err := f.check(); err != nil {
		return nil, err
	}
	w := f.workload(dir)
	if overrides["client"] == Franz {
		w.Client, w.Linger, w.Batch = Franz, time.Millisecond, Batch{Bytes: ombBatch}
	}
	s := &Scenario{Name: f.Name, About: "a workload of the OpenMessaging Benchmark",
		Loads: []Workload{w}}
	return s, s.check(overrides)
}

func ombKnows(name string) bool {
	switch name {
	case "name", "topics", "partitionsPerTopic", "keyDistributor", "messageSize",
		"useRandomizedPayloads", "randomBytesRatio", "randomizedPayloadPoolSize", "payloadFile",
		"subscriptionsPerTopic", "producersPerTopic", "consumerPerSubscription", "producerRate",
		"consumerBacklogSizeGB", "backlogDrainRatio", "testDurationMinutes",
		"warmupDurationMinutes":
		return true
	}
	return false
}

func (f *ombFile) check() error {
	for _, n := range []struct {
		name        string
		have, least int
	}{
		{"topics", f.Topics, 1}, {"partitionsPerTopic", f.PartitionsPerTopic, 1},
		{"messageSize", f.MessageSize, 0}, {"producersPerTopic", f.ProducersPerTopic, 1},
		{"subscriptionsPerTopic", f.SubscriptionsPerTopic, 0}, {"producerRate", f.ProducerRate, 0},
		{"testDurationMinutes", f.TestDurationMinutes, 1},
		{"consumerBacklogSizeGB", int(f.ConsumerBacklogSizeGB), 0},
	} {
		if n.have < n.least || n.have > 1<<31-1 {
			return fmt.Errorf("%s: want a number, %d or more", n.name, n.least)
		}
	}
	if f.SubscriptionsPerTopic > 0 && f.ConsumerPerSubscription < 1 {
		return errors.New("consumerPerSubscription: want a number, 1 or more")
	}
	if f.ConsumerBacklogSizeGB > 0 && (f.ProducerRate == 0 || f.ProducerRate >= ombUnlimited ||
		f.MessageSize == 0) {
		return errors.New("consumerBacklogSizeGB: a backlog needs a producerRate below 10000000 and a " +
			"messageSize")
	}
	return nil
}

// workload is the same load in our words. What is different is said in its notes.
func (f *ombFile) workload(dir string) Workload {
	mode := EndToEnd
	if f.SubscriptionsPerTopic == 0 {
		mode = Produce
	}
	w := New(mode)
	note := func(format string, args ...any) { w.Notes = append(w.Notes, fmt.Sprintf(format, args...)) }
	w.Name, w.Topic, w.Topics, w.Partitions = f.Name, "omb", f.Topics, f.PartitionsPerTopic
	w.Create, w.Delete, w.Acks = true, true, AcksAll
	w.Size = FixedSize(f.MessageSize)
	if mode == EndToEnd && f.MessageSize < StampSize {
		w.Size = FixedSize(StampSize)
		note("messages have %d bytes instead of %d: the intended time of sending is in them",
			StampSize, f.MessageSize)
	}
	switch f.KeyDistributor {
	case "KEY_ROUND_ROBIN":
		w.Keys, w.KeySize = Keys{Kind: KeysSeq, N: ombKeys}, ombKeySize
	case "RANDOM_NANO":
		w.Keys, w.KeySize = Keys{Kind: KeysRandom, N: ombKeys}, ombKeySize
	}
	if f.SubscriptionsPerTopic > 0 {
		w.Groups = f.SubscriptionsPerTopic
		w.Consumers = ombClientCount(f.ConsumerPerSubscription, f.Topics)
		if w.Consumers < f.ConsumerPerSubscription*f.Topics {
			note("%d consumers of a group stand for %d", w.Consumers, f.ConsumerPerSubscription*f.Topics)
		}
		w.Consumers = min(w.Consumers, f.Topics*f.PartitionsPerTopic)
		w.Backlog = f.ConsumerBacklogSizeGB << 30
	}
	w.Connections = ombClientCount(f.ProducersPerTopic, f.Topics)
	if w.Connections < f.ProducersPerTopic*f.Topics {
		note("%d producers stand for %d", w.Connections, f.ProducersPerTopic*f.Topics)
	}
	w.Duration = time.Duration(f.TestDurationMinutes) * time.Minute
	w.Warmup = time.Minute
	if f.WarmupDurationMinutes != nil {
		w.Warmup = time.Duration(*f.WarmupDurationMinutes) * time.Minute
	}
	w.Rate = Rate{PerSecond: float64(f.ProducerRate)}
	if f.ProducerRate >= ombUnlimited {
		w.Rate = Rate{}
		note("producerRate %d means as many as go", f.ProducerRate)
	} else if f.ProducerRate == 0 {
		note("producerRate 0 looks for a rate that holds: here it is as many as go; " +
			"loadgen sweep looks for one")
	}
	f.payload(&w, dir, note)
	f.batches(&w)
	if w.Backlog > 0 {
		// Their clock of the test stands still while the backlog is built and drained.
		build := time.Duration(float64(w.Backlog) / w.Rate.PerSecond / float64(f.MessageSize) * 1e9)
		w.Warmup = 0
		w.Duration += (build + build/2).Round(time.Second)
		note("the measurement takes %v longer, for the backlog to be built and drained in it",
			(build + build/2).Round(time.Second))
	}
	return w
}

func ombClientCount(each, topics int) int {
	if each > ombClients || topics > ombClients {
		return ombClients
	}
	return min(ombClients, each*topics)
}

func (f *ombFile) payload(w *Workload, dir string, note func(string, ...any)) {
	if f.UseRandomizedPayloads {
		w.Payload.Random = min(1, max(0, f.RandomBytesRatio))
		w.Payload.Pool = max(1, min(f.RandomizedPayloadPoolSize, 1000))
		return
	}
	if f.PayloadFile == "" {
		return
	}
	// Their tool looks from its own root on, one above the workloads.
	for _, base := range []string{"", dir, filepath.Dir(dir)} {
		path := filepath.Join(base, f.PayloadFile)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Size() > 0 {
			w.Payload.File = path
			return
		}
	}
	w.Payload.Random = 0.5
	note("%s is not there: values are half random bytes, half zeros", f.PayloadFile)
}

// batches are what a linger of 1 ms and batches of 128 KB come to for pre-encoded ones.
func (f *ombFile) batches(w *Workload) {
	w.InFlight = 256
	most := max(1, ombBatch/(max(1, f.MessageSize)+recordOverhead))
	if w.Rate.Max() {
		w.Batch, w.InFlight = Batch{Records: most}, 5
		return
	}
	inMilli := int(w.Rate.PerSecond / 1000 / float64(w.Connections))
	w.Batch = Batch{Records: max(1, min(most, inMilli))}
	if strings.TrimSpace(w.Name) == "" {
		w.Name = "omb"
	}
}
