package kafkadir

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"millrace/protocol"
	"millrace/segment"
)

// Source is a Kafka's log directory.
type Source struct {
	Dir     string
	Cluster string
	Topics  []Topic
	Notes   []string // what an operator should know
}

// Topic is one topic of it.
type Topic struct {
	Name       string
	ID         protocol.TopicID
	Configs    map[string]string
	Partitions []Partition // by number
}

// Partition is one of its directories.
type Partition struct {
	Dir   string
	Start int64 // of log-start-offset-checkpoint, −1: not there
}

const (
	cleanMark = ".kafka_cleanshutdown"
	metadata  = "__cluster_metadata"
)

// Open reads what a directory has. An unclean one is refused unless recover is set.
func Open(dir string, recover bool) (*Source, error) {
	s := &Source{Dir: dir}
	props, err := properties(filepath.Join(dir, "meta.properties"))
	if err != nil {
		return nil, fmt.Errorf("kafkadir: %s is no log directory of Apache Kafka: %w", dir, err)
	}
	s.Cluster = props["cluster.id"]
	if _, err := os.Stat(filepath.Join(dir, cleanMark)); err != nil && !recover {
		return nil, fmt.Errorf("kafkadir: %s was not stopped cleanly (it has no %s): start and stop Kafka on it, "+
			"or take what is whole with --recover", dir, cleanMark)
	}
	starts, err := offsets(filepath.Join(dir, "log-start-offset-checkpoint"))
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("kafkadir: %w", err)
	}
	byName := map[string]*Topic{}
	for _, e := range entries {
		name, partition, ok := segment.ParsePartitionDir(e.Name())
		if !e.IsDir() || !ok || name == metadata || strings.HasSuffix(e.Name(), "-delete") ||
			strings.HasSuffix(e.Name(), "-future") {
			continue
		}
		t := byName[name]
		if t == nil {
			t = &Topic{Name: name, Configs: map[string]string{}}
			byName[name] = t
		}
		if err := t.add(filepath.Join(dir, e.Name()), partition, starts); err != nil {
			return nil, err
		}
	}
	for _, name := range sortedNames(byName) {
		t := byName[name]
		for i, p := range t.Partitions {
			if p.Dir == "" {
				return nil, fmt.Errorf("kafkadir: %s: partition %d is not here: "+
					"all partitions must be in this directory", name, i)
			}
		}
		if t.ID == (protocol.TopicID{}) {
			_, _ = rand.Read(t.ID[:]) // never fails, says its documentation
		}
		s.Topics = append(s.Topics, *t)
	}
	return s, s.readConfigs()
}

func sortedNames(m map[string]*Topic) []string {
	names := make([]string, 0, len(m))
	for n := range m {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// maxPartitions bounds what a directory's name can make us allocate.
const maxPartitions = 100_000

func (t *Topic) add(dir string, partition int32, starts map[string]int64) error {
	if partition >= maxPartitions {
		return fmt.Errorf("kafkadir: %s: partition %d", dir, partition)
	}
	for int(partition) >= len(t.Partitions) {
		t.Partitions = append(t.Partitions, Partition{Start: -1})
	}
	p := Partition{Dir: dir, Start: -1}
	if at, ok := starts[fmt.Sprintf("%s %d", t.Name, partition)]; ok {
		p.Start = at
	}
	t.Partitions[partition] = p
	id, err := topicID(dir)
	if err != nil {
		return err
	}
	if id != (protocol.TopicID{}) {
		t.ID = id
	}
	return nil
}

// topicID reads partition.metadata, which logs of before topic ids do not have.
func topicID(dir string) (id protocol.TopicID, err error) {
	b, err := os.ReadFile(filepath.Join(dir, "partition.metadata"))
	if errors.Is(err, fs.ErrNotExist) {
		return id, nil
	}
	if err != nil {
		return id, fmt.Errorf("kafkadir: %w", err)
	}
	for line := range strings.Lines(string(b)) {
		k, v, _ := strings.Cut(strings.TrimSpace(line), ":")
		v = strings.TrimSpace(v)
		switch {
		case k == "version" && v != "0" && v != "1":
			return id, fmt.Errorf("kafkadir: %s/partition.metadata: version %q", dir, v)
		case k == "topic_id":
			if id, err = protocol.ParseTopicID(v); err != nil {
				return id, fmt.Errorf("kafkadir: %s/partition.metadata: %w", dir, err)
			}
		}
	}
	return id, nil
}

func properties(name string) (map[string]string, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	m := map[string]string{}
	for line := range strings.Lines(string(b)) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(k, "#") {
			m[k] = v
		}
	}
	return m, nil
}

// offsets reads one of Kafka's checkpoint files: version, number of lines, then
// "topic partition offset" in each. One that is missing is empty.
func offsets(name string) (map[string]int64, error) {
	b, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("kafkadir: %w", err)
	}
	m := map[string]int64{}
	lines := bufio.NewScanner(bytes.NewReader(b))
	for n := 0; lines.Scan(); n++ {
		if n < 2 {
			if _, err := strconv.Atoi(lines.Text()); err != nil || n == 0 && lines.Text() != "0" {
				return nil, fmt.Errorf("kafkadir: %s: line %d: %q", name, n+1, lines.Text())
			}
			continue
		}
		at := strings.LastIndexByte(lines.Text(), ' ')
		if at < 0 {
			return nil, fmt.Errorf("kafkadir: %s: line %d: %q", name, n+1, lines.Text())
		}
		offset, err := strconv.ParseInt(lines.Text()[at+1:], 10, 64)
		if err != nil || offset < 0 {
			return nil, fmt.Errorf("kafkadir: %s: line %d: %q", name, n+1, lines.Text())
		}
		m[lines.Text()[:at]] = offset
	}
	return m, lines.Err()
}
