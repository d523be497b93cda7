package kafkadir

import (
	"os"
	"path/filepath"
	"testing"
)

// recordOf makes a config record as Kafka's metadata log has it.
func recordOf(resource, name, value string) []byte {
	b := []byte{frameVersion, configRecord, 0, topicResource}
	for _, s := range []string{resource, name, value} {
		b = append(append(b, byte(len(s)+1)), s...)
	}
	return append(b, 0)
}

func FuzzMetadata(f *testing.F) {
	f.Add(recordOf("t", "retention.ms", "1"))
	f.Add(append([]byte{frameVersion, topicRecord, 0, 2, 't'}, make([]byte, 17)...))
	f.Add(append([]byte{frameVersion, removeTopicRecord, 0}, make([]byte, 17)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		m := &metadataLog{names: map[string]string{}, configs: map[string]map[string]string{}}
		_ = m.apply(b)
	})
}

func TestMetadata(t *testing.T) {
	m := &metadataLog{names: map[string]string{}, configs: map[string]map[string]string{}}
	id := make([]byte, 16)
	id[3] = 7
	for _, b := range [][]byte{
		append(append([]byte{frameVersion, topicRecord, 0, 2, 't'}, id...), 0),
		recordOf("t", "retention.ms", "1"), recordOf("t", "retention.ms", "2"), recordOf("u", "a", "b"),
		{frameVersion, 99, 0, 1, 2, 3}, // of another kind
	} {
		if err := m.apply(b); err != nil {
			t.Fatal(err)
		}
	}
	if m.configs["t"]["retention.ms"] != "2" || m.configs["u"]["a"] != "b" {
		t.Fatal(m.configs)
	}
	if err := m.apply(append(append([]byte{frameVersion, removeTopicRecord, 0}, id...), 0)); err != nil {
		t.Fatal(err)
	}
	if len(m.configs["t"]) != 0 {
		t.Fatal("a topic that was removed has configs")
	}
	for n := range recordOf("t", "a", "b") {
		if n < 8 && m.apply(recordOf("t", "a", "b")[:n]) == nil {
			t.Fatalf("%d bytes are believed", n)
		}
	}
}

func FuzzOffsets(f *testing.F) {
	f.Add([]byte("0\n1\nt 0 5\n"))
	name := filepath.Join(f.TempDir(), "x")
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
		m, err := offsets(name)
		for k, v := range m {
			if err == nil && v < 0 {
				t.Fatalf("%s: %d", k, v)
			}
		}
	})
}
