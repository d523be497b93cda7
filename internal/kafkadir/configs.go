package kafkadir

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"millrace/protocol/batch"
	"millrace/segment"
)

// The cluster's metadata log: record batches whose values are a frame version, the kind of
// the record, its version (all unsigned varints), and fields in the flexible encoding.

// Kinds of records that say something of a topic.
const (
	topicRecord       = 2
	configRecord      = 4
	removeTopicRecord = 9

	frameVersion  = 1
	topicResource = 2
)

// readConfigs takes topics' configs from the newest snapshot of the metadata log, and from
// what follows it.
func (s *Source) readConfigs() error {
	dir := filepath.Join(s.Dir, metadata+"-0")
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		s.Notes = append(s.Notes, "there is no "+metadata+": topics have the default configs")
		return nil
	}
	if err != nil {
		return fmt.Errorf("kafkadir: %w", err)
	}
	m := &metadataLog{names: map[string]string{}, configs: map[string]map[string]string{}}
	newest := ""
	for _, e := range entries { // in order of names, which is that of offsets
		if strings.HasSuffix(e.Name(), ".checkpoint") {
			newest = e.Name()
		}
	}
	if newest != "" {
		digits, _, _ := strings.Cut(newest, "-")
		if m.from, err = strconv.ParseInt(digits, 10, 64); err != nil {
			return fmt.Errorf("kafkadir: %s: %w", newest, err)
		}
		if err := m.read(filepath.Join(dir, newest), 0); err != nil {
			return err
		}
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".log") {
			if err := m.read(filepath.Join(dir, e.Name()), m.from); err != nil {
				return err
			}
		}
	}
	for i := range s.Topics {
		for k, v := range m.configs[s.Topics[i].Name] {
			s.Topics[i].Configs[k] = v
		}
	}
	return nil
}

type metadataLog struct {
	from    int64             // offset behind the snapshot
	names   map[string]string // by topic id
	configs map[string]map[string]string
}

func (m *metadataLog) read(name string, from int64) error {
	f, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("kafkadir: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("kafkadir: %w", err)
	}
	_, err = segment.Walk(f, name, 0, info.Size(), func(v batch.View, pos int64) error {
		if v.IsControl() || v.NextOffset() <= from {
			return nil
		}
		plain := v.RecordBytes()
		if v.Codec() != batch.None {
			var err error
			if plain, err = v.Inflate(nil, math.MaxInt32); err != nil {
				return fmt.Errorf("kafkadir: %s at %d: %w", name, pos, err)
			}
		}
		it := v.Records(plain)
		for it.Next() {
			if it.Record.Offset < from {
				continue
			}
			if err := m.apply(it.Record.Value); err != nil {
				return fmt.Errorf("kafkadir: %s at %d: %w", name, pos, err)
			}
		}
		return it.Err()
	})
	return err
}

var errRecord = errors.New("a metadata record that is none")

// fields reads the flexible encoding; ok turns false at the first lie.
type fields struct {
	b  []byte
	ok bool
}

func (f *fields) uvarint() uint64 {
	v, n := binary.Uvarint(f.b)
	if n <= 0 {
		f.ok = false
		return 0
	}
	f.b = f.b[n:]
	return v
}

func (f *fields) take(n uint64) []byte {
	if n > uint64(len(f.b)) {
		f.ok = false
		return nil
	}
	out := f.b[:n]
	f.b = f.b[n:]
	return out
}

// text is a compact string; null is "" and false.
func (f *fields) text() (string, bool) {
	n := f.uvarint()
	if n == 0 {
		return "", false
	}
	return string(f.take(n - 1)), true
}

func (m *metadataLog) apply(value []byte) error {
	f := &fields{b: value, ok: true}
	frame, kind := f.uvarint(), f.uvarint()
	f.uvarint() // version: these three have one, and grow by tagged fields
	if !f.ok || frame != frameVersion {
		return errRecord
	}
	switch kind {
	case topicRecord:
		name, _ := f.text()
		id := string(f.take(16))
		m.names[id] = name
	case removeTopicRecord:
		id := string(f.take(16))
		delete(m.configs, m.names[id])
		delete(m.names, id)
	case configRecord:
		kind := f.take(1)
		resource, _ := f.text()
		name, _ := f.text()
		value, set := f.text()
		if !f.ok || len(kind) != 1 || kind[0] != topicResource {
			break
		}
		if m.configs[resource] == nil {
			m.configs[resource] = map[string]string{}
		}
		if set {
			m.configs[resource][name] = value
		} else {
			delete(m.configs[resource], name)
		}
	}
	if !f.ok {
		return errRecord
	}
	return nil
}
