package raftmeta

import (
	"bytes"
	"errors"
	"reflect"
	"runtime"
	"testing"

	"millrace/protocol"
)

// samples has every kind of command, with every field set.
func samples() []Command {
	return []Command{
		InitCluster{"cid", []Feature{{"metadata.version", 29}, {"x", -1}}},
		SetFeatures{[]Feature{{"group.version", 1}}},
		CreateTopics{[]NewTopic{{id(1), "a", [][]protocol.NodeID{{1, 2}, {2, 3}},
			[]Config{{"retention.ms", "5"}, {"cleanup.policy", ""}}}, {ID: id(2), Name: "b"}}},
		DeleteTopics{[]protocol.TopicID{id(1), id(2)}},
		AddPartitions{[]MorePartitions{{id(1), 2, [][]protocol.NodeID{{1}}}}},
		SetConfigs{[]ResourceEdits{{Resource{ResourceTopic, "a"}, true, []ConfigEdit{
			{OpSet, "a", "b", ""}, {OpAppend, "l", "x", "y"}, {OpSubtract, "l", "x", ""},
			{OpDelete, "z", "", ""}}}, {Resource: Resource{ResourceClientMetrics, "m"}}}},
		AllocateProducerIDs{1000},
		RegisterBroker{7, [16]byte{1, 2}, "rack", []Endpoint{{"L", "host", 9092, 3}}, true},
		Purged{7, []protocol.TopicID{id(3)}},
	}
}

func TestCommandsRoundTrip(t *testing.T) {
	seen := map[kind]bool{}
	for _, c := range samples() {
		b, err := Encode(c)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Decode(b)
		if err != nil || !reflect.DeepEqual(got, c) {
			t.Errorf("%#v\n became %#v %v", c, got, err)
		}
		seen[c.kind()] = true
		for n := range b { // every shorter piece is refused
			if _, err := Decode(b[:n]); !errors.Is(err, ErrFormat) {
				t.Errorf("%T cut to %d bytes: %v", c, n, err)
			}
		}
		if _, err := Decode(append(b, 0)); !errors.Is(err, ErrFormat) {
			t.Errorf("%T with a byte more: %v", c, err)
		}
		b[0]++
		if _, err := Decode(b); !errors.Is(err, ErrFormat) {
			t.Errorf("a newer version: %v", err)
		}
	}
	for k := range bodies {
		if (bodies[k] != nil) != seen[kind(k)] {
			t.Errorf("kind %d has no sample", k)
		}
	}
	if _, err := Decode([]byte{commandVersion, 200}); !errors.Is(err, ErrFormat) {
		t.Error("unknown kind:", err)
	}
	if _, err := Decode([]byte{commandVersion, byte(kindSetConfigs), 1, 2, 0, 0, 1, 9, 0, 0, 0}); !errors.Is(err, ErrFormat) {
		t.Error("unknown operation:", err)
	}
}

func TestCountsThatLieTakeNoMemory(t *testing.T) {
	for k := range bodies {
		if bodies[k] == nil {
			continue
		}
		b := append([]byte{commandVersion, byte(k)}, bytes.Repeat([]byte{0xff}, 9)...)
		b = append(b, 1)
		if _, err := Decode(b); !errors.Is(err, ErrFormat) {
			t.Errorf("kind %d: %v", k, err)
		}
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 100 {
		_, _ = Decode(append([]byte{commandVersion, byte(kindCreateTopics), 0xff, 0xff, 0x7f}, make([]byte, 1000)...))
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 10<<20 {
		t.Errorf("%d bytes for a lie", n)
	}
}

func FuzzDecodeCommand(f *testing.F) {
	for _, c := range samples() {
		b, err := Encode(c)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := Decode(b)
		if err != nil {
			if !errors.Is(err, ErrFormat) {
				t.Fatal(err)
			}
			return
		}
		again, err := Encode(c)
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%x → %#v → %x %v", b, c, again, err)
		}
		// Whatever is well-formed can be applied, twice with the same result.
		m, _ := do(t, Empty(), RegisterBroker{ID: 1})
		x, out, err := Apply(m, 10, b)
		y, out2, err2 := Apply(m, 10, b)
		if err != nil || err2 != nil || !reflect.DeepEqual(out, out2) ||
			!bytes.Equal(EncodeImage(x), EncodeImage(y)) {
			t.Fatal("not deterministic", err, err2)
		}
		back, err := DecodeImage(EncodeImage(x))
		if err != nil || !bytes.Equal(EncodeImage(back), EncodeImage(x)) {
			t.Fatal("snapshot of the result:", err)
		}
	})
}

// rich has something of everything.
func rich(t testing.TB) *Image {
	m := Empty()
	apply := func(c Command) {
		b, err := Encode(c)
		if err != nil {
			t.Fatal(err)
		}
		if m, _, err = Apply(m, m.Index()+1, b); err != nil {
			t.Fatal(err)
		}
	}
	apply(RegisterBroker{ID: 1})
	apply(RegisterBroker{ID: 2, Rack: "r", Endpoints: []Endpoint{{"L", "h", 1, 2}}})
	apply(RegisterBroker{ID: 3})
	for _, c := range samples() {
		apply(c)
	}
	apply(CreateTopics{[]NewTopic{topic(50, "x.y", 3), topic(51, "w", 1)}})
	apply(DeleteTopics{[]protocol.TopicID{id(51)}})
	for _, r := range []Resource{{ResourceBroker, ""}, {ResourceBroker, "2"},
		{ResourceGroup, "g"}, {ResourceClientMetrics, "m"}, {ResourceTopic, "x.y"}} {
		apply(SetConfigs{[]ResourceEdits{{Resource: r, Edits: []ConfigEdit{{OpSet, "n", "v", ""},
			{OpSet, "o", "", ""}}}}})
	}
	return m
}

func TestSnapshotRoundTrip(t *testing.T) {
	m := rich(t)
	b := EncodeImage(m)
	got, err := DecodeImage(b)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(EncodeImage(got), b) {
		t.Error("another image")
	}
	if d := Diff(m, got); len(d.Created)+len(d.Deleted) != 0 || d.Brokers {
		t.Errorf("%+v", d)
	}
	if !reflect.DeepEqual(got.Topics(), m.Topics()) || got.PartitionCount() != m.PartitionCount() {
		t.Error("topics differ")
	}
	// What follows has the same outcome on both: collisions and deleted ids included.
	next := CreateTopics{[]NewTopic{topic(60, "x_y", 1), topic(51, "again", 1)}}
	if a, b := Check(m, next), Check(got, next); !reflect.DeepEqual(a, b) {
		t.Error(a, b)
	}
	for i := range b {
		c := bytes.Clone(b)
		c[i] ^= 0x40
		if _, err := DecodeImage(c); !errors.Is(err, ErrFormat) {
			t.Fatalf("byte %d changed: %v", i, err)
		}
	}
}

func FuzzDecodeImage(f *testing.F) {
	b := EncodeImage(rich(f))
	f.Add(b[5 : len(b)-4])
	b = EncodeImage(Empty())
	f.Add(b[5 : len(b)-4])
	f.Fuzz(func(t *testing.T, body []byte) {
		p := append([]byte(snapshotMagic), snapshotVersion)
		m, err := DecodeImage(seal(append(p, body...)))
		if err != nil {
			if !errors.Is(err, ErrFormat) {
				t.Fatal(err)
			}
			return
		}
		again, err := DecodeImage(EncodeImage(m))
		if err != nil || !bytes.Equal(EncodeImage(again), EncodeImage(m)) {
			t.Fatal("not stable:", err)
		}
	})
}
