package main

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/protocol/batch"
	"millrace/test/checker"
)

// state is a data directory that no broker uses, and what it serves.
type state struct {
	name    string
	dir     string
	picture *picture
}

var groups = []string{"readers", "others", "many"}

// topic is one that the load writes to.
type topic struct {
	name       string
	partitions int32
	configs    map[string]string
	codec      kgo.CompressionCodec
	size       int // of values, at most
	keys       int // 0: a hundred
}

var topics = []topic{
	{"plain", 3, map[string]string{"segment.index.bytes": "600"}, kgo.NoCompression(), 600, 0},
	{"gzip", 1, map[string]string{"segment.index.bytes": "400"}, kgo.GzipCompression(), 800, 0},
	{"snappy", 1, map[string]string{"segment.index.bytes": "400", "retention.ms": "-1"},
		kgo.SnappyCompression(), 800, 0},
	{"lz4", 1, map[string]string{"index.interval.bytes": "512"}, kgo.Lz4Compression(), 800, 0},
	{"zstd", 2, map[string]string{"segment.index.bytes": "800"}, kgo.ZstdCompression(), 800, 0},
	{"large", 1, map[string]string{"segment.bytes": "3000000"}, kgo.NoCompression(), 200_000, 0},
	{compacted, 1, map[string]string{"cleanup.policy": "compact", "segment.index.bytes": "200",
		"min.cleanable.dirty.ratio": "0.01"}, kgo.NoCompression(), 600, 40},
}

// compacted is the topic that is compacted while the data is made, and not afterwards.
const compacted = "compacted"

// asMade are settings of every start on made data: what is served stays as it is.
const asMade = "log.cleaner.enable=false"

// maker makes the directories, one life of the broker after the other.
type maker struct {
	o       *options
	scratch string
	data    string
	h       *checker.History
	rng     *rand.Rand
	deleted int64 // records of plain-0 that were deleted
	states  []*state
}

// makeStates makes a directory that was stopped, one that was killed behind that, and
// one that was killed twice.
func makeStates(ctx context.Context, o *options, scratch string) ([]*state, error) {
	m := &maker{o: o, scratch: scratch, data: filepath.Join(scratch, "data"), h: checker.New(),
		rng: rand.New(rand.NewPCG(o.seed, 1<<40))}
	for i, life := range []struct {
		name   string
		clean  bool
		bursts int
	}{{"stopped", true, 40}, {"killed", false, 40}, {"killed twice", false, 15}} {
		if err := m.live(ctx, i, life.bursts, life.clean); err != nil {
			return nil, fmt.Errorf("%s: %w", life.name, err)
		}
		s := &state{name: life.name, dir: filepath.Join(scratch, fmt.Sprintf("state-%d", i))}
		if err := os.CopyFS(s.dir, os.DirFS(m.data)); err != nil {
			return nil, err
		}
		if err := m.look(s); err != nil {
			return nil, fmt.Errorf("%s: %w", life.name, err)
		}
		m.states = append(m.states, s)
	}
	if err := m.check(); err != nil {
		return nil, err
	}
	return m.states, m.takeOver(ctx)
}

// takeOver makes another directory of the files of the first, as `millrace import` does with
// what Apache Kafka leaves: they are its formats.
func (m *maker) takeOver(ctx context.Context) error {
	from := filepath.Join(m.scratch, "foreign")
	defer os.RemoveAll(from)
	if err := foreign(m.states[0].dir, from); err != nil {
		return err
	}
	s := &state{name: "imported", dir: filepath.Join(m.scratch, "state-imported")}
	out, err := exec.CommandContext(ctx, m.o.bin, "import", from, "--data", s.dir).CombinedOutput()
	if err != nil {
		return fmt.Errorf("import: %w\n%s", err, out)
	}
	if err := m.look(s); err != nil {
		return fmt.Errorf("imported: %w", err)
	}
	m.states = append(m.states, s)
	return nil
}

// live runs the broker under load once.
func (m *maker) live(ctx context.Context, number, bursts int, clean bool) error {
	p, err := start(m.o.bin, m.data, 2, "log.cleaner.backoff.ms=100")
	if err != nil {
		return fmt.Errorf("%w\n%s", err, p.log)
	}
	defer p.kill()
	c, err := dial(p.addr)
	if err != nil {
		return err
	}
	defer c.close()
	if number == 0 {
		if err := create(c); err != nil {
			return err
		}
	}
	for i, t := range topics {
		if err := m.fill(ctx, p.addr, uint32(number*len(topics)+i), &t, bursts); err != nil {
			return err
		}
	}
	if err := m.administer(c, number); err != nil {
		return err
	}
	for _, made := range []string{"checkpoint/cleaner", "groups/*"} {
		if err := m.await(made); err != nil {
			return err
		}
	}
	if !clean {
		p.kill()
		return nil
	}
	if code, err := p.stop(); err != nil || code != 0 {
		return fmt.Errorf("stop: exit code %d, %w", code, err)
	}
	return nil
}

// await waits for a file that the broker makes when it comes to it.
func (m *maker) await(pattern string) error {
	for late := time.Now().Add(startWithin); ; time.Sleep(20 * time.Millisecond) {
		found, err := filepath.Glob(filepath.Join(m.data, pattern))
		if err != nil || len(found) > 0 {
			return err
		}
		if time.Now().After(late) {
			return fmt.Errorf("there is no %s", pattern)
		}
	}
}

// fill writes bursts of records of one topic, each burst a few batches.
func (m *maker) fill(ctx context.Context, addr string, producer uint32, t *topic, bursts int) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.ProducerBatchCompression(t.codec),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchMaxBytes(900_000), kgo.ProducerLinger(0))
	if err != nil {
		return err
	}
	defer cl.Close()
	for range bursts {
		var list []*kgo.Record
		var origins []checker.Origin
		for bytes := 0; bytes < 12_000 || len(list) < 4; {
			at := checker.Place{Topic: t.name, Partition: int32(m.rng.IntN(int(t.partitions)))}
			o := m.h.Intend(at, producer, checker.ExactOnce)
			rec := &kgo.Record{
				Topic: t.name, Partition: at.Partition, Key: []byte(fmt.Sprint(m.rng.IntN(cmp.Or(t.keys, 100)))),
				Value:   checker.Payload(o, 40+m.rng.IntN(t.size)),
				Headers: []kgo.RecordHeader{{Key: "n", Value: []byte(fmt.Sprint(len(list)))}},
			}
			bytes += len(rec.Value)
			list, origins = append(list, rec), append(origins, o)
		}
		for i, res := range cl.ProduceSync(ctx, list...) {
			if res.Err != nil {
				return res.Err
			}
			m.h.Ack(originOf(res.Record, origins[i]), res.Record.Offset)
		}
	}
	return nil
}

// originOf: results come in the order of their ends, not of the records.
func originOf(r *kgo.Record, else_ checker.Origin) checker.Origin {
	if o, err := checker.ParsePayload(r.Value); err == nil {
		return o
	}
	return else_
}

// look makes the picture of a state, from a copy that is left as it is.
func (m *maker) look(s *state) error {
	dir := s.dir + "-look"
	defer os.RemoveAll(dir)
	if err := os.CopyFS(dir, os.DirFS(s.dir)); err != nil {
		return err
	}
	p, err := start(m.o.bin, dir, 2, asMade)
	if err != nil {
		return fmt.Errorf("%w\n%s", err, p.log)
	}
	defer p.kill()
	if s.picture, err = read(p.addr, groups, nil); err != nil {
		return err
	}
	if len(s.picture.errors) > 0 {
		return fmt.Errorf("an unharmed directory: %v", s.picture.errors)
	}
	again, err := read(p.addr, groups, s.picture)
	if err != nil {
		return err
	}
	if d := compare(s.picture, again); !d.none {
		return fmt.Errorf("two readings differ: %+v %v", d, again.errors)
	}
	if word := said.FindString(p.log.String()); word != "" {
		return fmt.Errorf("an unharmed directory: %s", word)
	}
	return nil
}

// check holds the last picture against what was sent: the pictures are right.
func (m *maker) check() error {
	last := m.states[len(m.states)-1].picture
	for _, t := range topics {
		for p := range t.partitions {
			if t.name == compacted {
				continue
			}
			l := last.logs[place{t.name, p}]
			if l == nil {
				return fmt.Errorf("%s-%d was not read", t.name, p)
			}
			if err := m.replay(checker.Place{Topic: t.name, Partition: p}, l); err != nil {
				return err
			}
		}
	}
	for _, a := range m.h.Check() {
		if a.Kind == checker.Lost && a.Place == (checker.Place{Topic: "plain"}) && m.deleted > 0 {
			continue // its first records were deleted
		}
		if a.Place.Topic == compacted {
			continue
		}
		return fmt.Errorf("without any damage: %s", a)
	}
	if got := len(last.groups); got != len(groups) || last.groups["others"][place{"large", 0}] != "21/-1/life 2" {
		return fmt.Errorf("without any damage: groups are %v", last.groups)
	}
	return nil
}

func (m *maker) replay(at checker.Place, l *logPicture) error {
	for base := l.start; base < l.end; {
		v := batch.View(l.batches[base])
		if v == nil {
			base++ // the start may lie within a batch
			for k, b := range l.batches {
				if k < base && batch.View(b).NextOffset() > base-1 {
					v = batch.View(b)
				}
			}
			if v == nil {
				return fmt.Errorf("%v: no batch at %d", at, base-1)
			}
		}
		plain, err := v.Inflate(nil, 64<<20)
		if v.Codec() == batch.None {
			plain, err = v.RecordBytes(), nil
		}
		if err != nil {
			return fmt.Errorf("%v: %w", at, err)
		}
		it := v.Records(plain)
		for it.Next() {
			if it.Record.Offset >= l.start {
				m.h.Read("check", at, it.Record.Offset, it.Record.Value)
			}
		}
		if it.Err() != nil {
			return fmt.Errorf("%v: %w", at, it.Err())
		}
		base = v.NextOffset()
	}
	m.h.Close(at, l.start, l.end)
	return nil
}
