package workload

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestScenario(t *testing.T) {
	s, err := Parse([]byte(`
scenario: two
about: words
common: &c
  topic: here
  partitions: 6
  size: {100: 80, 1000: 20}
  groups: 2 # means nothing to produce
loads:
  - name: most
    mode: produce
    brokers: [a:1, b:2]
    topic-config: {retention.ms: 1000, cleanup.policy: "compact,delete"}
    create: true
    rate: max
    duration: 90s
  - mode: e2e
    size: 200
    rate: 50% of most
`), ".", map[string]string{"duration": "5s", "groups": "3"})
	if err != nil {
		t.Fatal(err)
	}
	a, b := s.Loads[0], s.Loads[1]
	if s.Name != "two" || a.Partitions != 6 || len(a.Brokers) != 2 || a.Size.Mean() != 280 || a.Duration != 5*time.Second {
		t.Errorf("%+v", a)
	}
	if a.TopicConfig["cleanup.policy"] != "compact,delete" || a.TopicConfig["retention.ms"] != "1000" {
		t.Errorf("config %v", a.TopicConfig)
	}
	if b.Name != "e2e-2" || b.Rate.Of != "most" || b.Groups != 3 || b.Size.Max() != 200 {
		t.Errorf("%+v", b)
	}
	if err := b.Resolve(1000); err != nil || b.Rate.PerSecond != 500 || len(b.Notes) != 1 {
		t.Errorf("resolved to %v: %v", b.Rate, err)
	}
}

func TestWrongScenarios(t *testing.T) {
	for text, want := range map[string]string{
		"":                                  "want names with values",
		"- a":                               "want names with values",
		"mode: dance":                       `line 1: --mode: "dance"`,
		"rate: 5":                           "--mode",
		"mode: produce\nsiez: 5":            "line 2: --siez: there is no such option; did you mean size?",
		"mode: produce\nsize: big":          "line 2: --size",
		"mode: produce\nsize: [[1]]":        "line 2: want a list of plain values",
		"mode: consume\nsize: 5":            "has no meaning in mode consume",
		"mode: produce\nduration: 0s":       "load produce: --duration",
		"mode: produce\nrate: 50% of x":     "no load before it is called",
		"loads: []":                         "at least one load",
		"loads: [{mode: produce}]\nrate: 1": "line 2: --rate: beside loads",
		"loads: [{mode: produce, name: a}, {mode: produce, name: a}]": `two loads are called "a"`,
		"mode: produce\nmode: [": "yaml",
	} {
		_, err := Parse([]byte(text), ".", nil)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	if _, err := Parse([]byte("mode: consume"), ".", map[string]string{"size": "5"}); err == nil ||
		!strings.Contains(err.Error(), "in any load") {
		t.Errorf("an override that nothing takes: %v", err)
	}
}

func TestOpenMessagingBenchmark(t *testing.T) {
	const file = `
name: 1 topic / 4 partitions / 1Kb
topics: 1
partitionsPerTopic: 4
keyDistributor: "KEY_ROUND_ROBIN"
messageSize: 1024
payloadFile: "payload/payload-1Kb.data"
subscriptionsPerTopic: 2
consumerPerSubscription: 2
producersPerTopic: 2
producerRate: 50000
consumerBacklogSizeGB: 3
testDurationMinutes: 15
`
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "payload"), 0o755); err != nil {
		t.Fatal(err)
	}
	payload := filepath.Join(dir, "payload", "payload-1Kb.data")
	if err := os.WriteFile(payload, make([]byte, 1024), 0o644); err != nil {
		t.Fatal(err)
	}
	s, err := Parse([]byte(file), filepath.Join(dir, "workloads"), nil)
	if err != nil {
		t.Fatal(err)
	}
	w := s.Loads[0]
	if w.Mode != EndToEnd || w.Groups != 2 || w.Consumers != 2 || w.Connections != 2 || w.Partitions != 4 ||
		w.Rate.PerSecond != 50000 || w.Keys.Kind != KeysSeq || w.Duration != 15*time.Minute+94*time.Second || w.Warmup != 0 ||
		w.Payload.File != payload || w.Backlog != 3<<30 || w.Batch.Records != 25 || len(w.Notes) != 1 {
		t.Errorf("%+v", w)
	}
	s, err = Parse([]byte(file), ".", map[string]string{"client": "franz", "duration": "1s"})
	if err != nil {
		t.Fatal(err)
	}
	if w := s.Loads[0]; w.Linger != time.Millisecond || w.Batch.Bytes != 128<<10 || w.Duration != time.Second || len(w.Notes) != 2 {
		t.Errorf("franz: %+v", w)
	}
	for text, want := range map[string]string{
		strings.Replace(file, "topics: 1", "topics: 0", 1):                             "topics",
		file + "producerz: 1\n":                                                        "producerz",
		strings.Replace(file, "producerRate: 50000", "producerRate: 0", 1):             "backlog",
		strings.Replace(file, "testDurationMinutes: 15", "testDurationMinutes: -1", 1): "testDurationMinutes",
	} {
		if _, err := Parse([]byte(text), ".", nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	s, err = Parse([]byte(strings.NewReplacer("producerRate: 50000", "producerRate: 10000000", "GB: 3", "GB: 0",
		"messageSize: 1024", "messageSize: 10").Replace(file)), ".", nil)
	if err != nil {
		t.Fatal(err)
	}
	if w := s.Loads[0]; !w.Rate.Max() || w.Warmup != time.Minute || w.Size.Max() != StampSize || len(w.Notes) != 3 {
		t.Errorf("%+v", w)
	}
}

// TestScenariosOfTheProject reads every file that the project brings.
func TestScenariosOfTheProject(t *testing.T) {
	files, err := filepath.Glob("../../bench/scenarios/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	omb, err := filepath.Glob("../../bench/scenarios/omb/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 11 || len(omb) < 3 {
		t.Fatalf("%d scenarios, %d workloads of OMB", len(files), len(omb))
	}
	for _, f := range append(files, omb...) {
		s, err := ReadScenario(f, map[string]string{"brokers": "h:1"})
		if err != nil {
			t.Error(err)
			continue
		}
		for _, w := range s.Loads {
			if w.Brokers[0] != "h:1" || w.Name == "" {
				t.Errorf("%s: %+v", f, w)
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("mode: produce\nrate: 20k\nsize: {100: 1, 200: 2}"))
	f.Add([]byte("common: &c {mode: e2e}\nloads: [{name: a}, {name: b, rate: 5% of a}]"))
	f.Add([]byte("topics: 1\npartitionsPerTopic: 1\nmessageSize: 1\nproducersPerTopic: 1\ntestDurationMinutes: 1"))
	f.Add([]byte("a: &a [*a]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := Parse(data, ".", nil)
		if err != nil {
			return
		}
		for _, w := range s.Loads {
			if w.Rate.Resolved() && w.Check() != nil {
				t.Errorf("parsed, and not right: %v", w.Check())
			}
		}
	})
}
