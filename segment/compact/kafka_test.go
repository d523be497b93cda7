package compact

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"millrace/protocol/batch"
)

// kafkaLibs is where Apache Kafka's jars are, or the test is skipped.
func kafkaLibs(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("KAFKA_LIBS")
	if dir == "" {
		home, _ := os.UserHomeDir()
		dir = filepath.Join(home, ".cache/kafka-peer/libs")
	}
	if _, err := os.Stat(filepath.Join(dir, "kafka-storage-4.3.1.jar")); err != nil {
		t.Skipf("no Kafka jars (KAFKA_LIBS): %v", err)
	}
	if _, err := exec.LookPath("java"); err != nil {
		t.Skipf("no java: %v", err)
	}
	return dir
}

// pair is one log that both cleaners work on.
type pair struct {
	w     *writer
	dir   string
	dirty int64
	plain bool
	o     Options
	slots int
	end   int64 // where Kafka says it is clean now
}

// TestLikeKafka cleans the same logs with Kafka's own cleaner: segments, batches and
// records are the same after every round; batches that are not compressed to the byte.
func TestLikeKafka(t *testing.T) {
	libs := kafkaLibs(t)
	var pairs []*pair
	for seed := range uint64(24) {
		w := newWriter(t, 1000+seed)
		w.now = time.Now().UnixMilli() // else Kafka forgets producers
		w.txns = seed%3 > 0
		if seed%2 == 0 {
			w.codec = w.codec[:1]
		}
		pairs = append(pairs, &pair{w: w, plain: true})
	}
	root := t.TempDir()
	rounds := 4
	if testing.Short() {
		rounds = 1
	}
	for round := range rounds {
		for i, p := range pairs {
			p.prepare(t, filepath.Join(root, fmt.Sprint(round), fmt.Sprintf("t%d-0", i)))
		}
		runKafka(t, libs, filepath.Join(root, fmt.Sprint(round)), pairs)
		for i, p := range pairs {
			p.compare(t, fmt.Sprintf("round %d log %d", round, i))
		}
	}
}

// prepare appends, and writes the segments where Kafka finds them.
func (p *pair) prepare(t *testing.T, dir string) {
	w := p.w
	w.some(40 + w.rng.IntN(60))
	w.settle()
	w.roll()
	w.data() // active
	w.now += 1000
	p.dir = dir
	p.o = Options{FirstDirty: p.dirty, Plain: p.plain, Now: w.now, DeleteRetention: 1500,
		Producers: maps.Clone(w.last), SegmentBytes: int64(4000 + w.rng.IntN(8000)), Buffer: 1000}
	p.slots = 5000
	if err := os.MkdirAll(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	for _, m := range w.l.segs {
		name := filepath.Join(dir, fmt.Sprintf("%020d.log", m.base))
		if err := os.WriteFile(name, m.log, 0o666); err != nil {
			t.Fatal(err)
		}
	}
}

func runKafka(t *testing.T, libs, dir string, pairs []*pair) {
	t.Helper()
	var jobs bytes.Buffer
	for _, p := range pairs {
		fmt.Fprintf(&jobs, "%s %d %d %d %d %d\n", p.dir, p.dirty, p.o.Now, p.o.DeleteRetention,
			p.o.SegmentBytes, p.slots)
	}
	list := filepath.Join(dir, "jobs")
	if err := os.WriteFile(list, jobs.Bytes(), 0o666); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("java", "-Xmx256m", "-cp", libs+"/*", "testdata/Clean.java", list)
	var problems bytes.Buffer
	cmd.Stderr = &problems
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("kafka's cleaner: %v\n%s%s", err, out, problems.Bytes())
	}
	at := 0
	for line := range strings.Lines(string(out)) {
		if end, ok := strings.CutPrefix(line, "cleaned "); ok {
			if pairs[at].end, err = strconv.ParseInt(strings.TrimSpace(end), 10, 64); err != nil {
				t.Fatal(err)
			}
			at++
		}
	}
	if at != len(pairs) {
		t.Fatalf("kafka cleaned %d of %d logs\n%s", at, len(pairs), problems.Bytes())
	}
}

// compare cleans the log here, too, and looks at what Kafka left.
func (p *pair) compare(t *testing.T, what string) {
	t.Helper()
	l := p.w.l
	active := l.segs[len(l.segs)-1]
	l.segs = l.segs[:len(l.segs)-1]
	p.o.Keys = NewOffsetMap(make([]byte, p.slots*SlotSize), 0.9)
	res, err := l.clean(p.o, 3000)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	l.segs = append(l.segs, active)
	if res.End != p.end {
		t.Errorf("%s: clean up to %d, Kafka says %d", what, res.End, p.end)
	}
	p.dirty, p.plain = res.End, res.Plain
	names, err := filepath.Glob(filepath.Join(p.dir, "*.log"))
	if err != nil {
		t.Fatal(err)
	}
	var have, want []string
	for _, n := range names {
		have = append(have, filepath.Base(n))
	}
	for _, m := range l.segs {
		want = append(want, fmt.Sprintf("%020d.log", m.base))
	}
	if !slices.Equal(have, want) {
		t.Fatalf("%s: Kafka has segments %v, here are %v", what, have, want)
	}
	for i, m := range l.segs {
		b, err := os.ReadFile(names[i])
		if err != nil {
			t.Fatal(err)
		}
		sameBatches(t, what+" segment "+want[i], b, m.log)
	}
}

// sameBatches compares segments, of which those of Kafka may be compressed otherwise.
func sameBatches(t *testing.T, what string, kafka, ours []byte) {
	t.Helper()
	for len(kafka) > 0 && len(ours) > 0 {
		k, kRest, kErr := batch.Next(kafka)
		o, oRest, oErr := batch.Next(ours)
		if kErr != nil || oErr != nil {
			t.Fatalf("%s: %v, %v", what, kErr, oErr)
		}
		at := fmt.Sprintf("%s: batch at %d (Kafka's: %d)", what, o.BaseOffset(), k.BaseOffset())
		kafka, ours = kRest, oRest
		if bytes.Equal(k, o) {
			continue
		}
		if k.Codec() == batch.None || k.Codec() != o.Codec() || k.BaseOffset() != o.BaseOffset() ||
			!bytes.Equal(k[21:batch.HeaderSize], o[21:batch.HeaderSize]) {
			t.Fatalf("%s: headers\n%x\n%x", at, k[:batch.HeaderSize], o[:batch.HeaderSize])
		}
		if !slices.Equal(recordsOf(t, k), recordsOf(t, o)) {
			t.Fatalf("%s: records differ", at)
		}
	}
	if len(kafka)+len(ours) > 0 {
		t.Fatalf("%s: Kafka has %d bytes more, here are %d", what, len(kafka), len(ours))
	}
}
