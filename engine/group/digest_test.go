package group

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"millrace/protocol"
)

// held is everything that a coordinator knows of its groups, but for groups of which nothing
// is left: a replay of the whole log meets them, one of its last records does not.
func held(c *Coordinator) string {
	var b strings.Builder
	for _, id := range slices.Sorted(maps.Keys(c.partitions)) {
		p := c.partitions[id]
		for _, name := range slices.Sorted(maps.Keys(p.groups)) {
			g := p.groups[name]
			if g.protocolType == "" && g.generation == 0 && len(g.offsets) == 0 && len(g.members) == 0 {
				continue
			}
			fmt.Fprintf(&b, "%d %s %v gen=%d type=%q leader=%q since=%d", id, name, g.state,
				g.generation, g.protocolType, g.leader, g.since)
			for m := g.first; m != nil; m = m.next {
				fmt.Fprintf(&b, " %s/%v/%x", m.id, m.session, m.assignment)
			}
			for _, t := range slices.Sorted(maps.Keys(g.offsets)) {
				for _, n := range slices.Sorted(maps.Keys(g.offsets[t])) {
					s := g.offsets[t][n]
					fmt.Fprintf(&b, " %s-%d=%+v/%v/%v/%d", t, n, s.commit, s.stored, s.wanted, s.inFlight)
				}
			}
			b.WriteByte('\n')
		}
	}
	fmt.Fprintf(&b, "%d offsets\n", c.offsets)
	return b.String()
}

// A state of any part of the log, and the rest of the log, give what the whole log gives.
func TestDigestIsThatOfTheLog(t *testing.T) {
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 7))
		s := newStage(t, Defaults())
		for range 60 {
			s.run([]string{"join a v=3", "sync a give=a:x", "commit at=t-0:1", "commit at=t-1:2",
				"commit at=u-0:5", "leave a", "delete", "forget at=t-0", "tick 10s", "join b v=3",
				"restart"}[r.IntN(11)])
		}
		whole := s.reload(nil, len(s.log))
		for range 5 {
			cut := r.IntN(len(s.log) + 1)
			if got := s.reload(s.states(cut), cut); got != whole {
				t.Fatalf("seed %d, cut at %d of %d:\n%s\nwhole:\n%s", seed, cut, len(s.log), got, whole)
			}
		}
	}
}

// states boils the first cut records down, in two steps, through files.
func (s *stage) states(cut int) map[int32][]byte {
	files := map[int32][]byte{}
	for _, end := range []int{cut / 2, cut} {
		for p := range int32(s.o.Partitions) {
			st, from := NewDigest(protocol.TopicID{9}, p), 0
			if b := files[p]; b != nil {
				old, err := ReadDigest(b, [16]byte{3}, protocol.TopicID{9}, p)
				if err != nil {
					s.t.Fatal(err)
				}
				from = int(old.End)
				for at, key, value, ok := old.Next(); ok; at, key, value, ok = old.Next() {
					st.Apply(at, key, value)
				}
			}
			for i, r := range s.log[from:end] {
				if PartitionFor(recordGroup(s.t, r), s.o.Partitions) == p {
					st.Apply(int64(from+i), r.Key, r.Value)
				}
			}
			st.End = int64(end)
			files[p] = st.Encode([16]byte{3})
		}
	}
	return files
}

// reload is what a coordinator holds after files and the log behind cut, or the whole log.
func (s *stage) reload(files map[int32][]byte, cut int) string {
	c := New(s.o)
	if files == nil {
		cut = 0
	}
	for p := range int32(s.o.Partitions) {
		c.Loading(p)
		if files == nil {
			continue
		}
		st, err := ReadDigest(files[p], [16]byte{3}, protocol.TopicID{9}, p)
		if err != nil {
			s.t.Fatal(err)
		}
		for _, key, value, ok := st.Next(); ok; _, key, value, ok = st.Next() {
			c.Load(p, key, value)
		}
	}
	for _, r := range s.log[cut:] {
		c.Load(PartitionFor(recordGroup(s.t, r), s.o.Partitions), r.Key, r.Value)
	}
	return held(c)
}

// What is read in place is what the schema says.
func TestPlainOffsetsAreRead(t *testing.T) {
	now := time.Unix(1000, 0).UnixMilli()
	for _, c := range []commit{
		{offset: 5, at: now, deadline: -1, epoch: -1},
		{offset: 1 << 40, at: now, deadline: -1, epoch: 7, metadata: "m"},
		{offset: 0, at: now, deadline: -1, epoch: 0, topicID: protocol.TopicID{1, 2},
			metadata: strings.Repeat("x", 300)},
	} {
		r := offsetRecord("group", "topic", 12, &c)
		g, topic, n, ok := parseOffsetKey(r.Key)
		if !ok || string(g) != "group" || string(topic) != "topic" || n != 12 {
			t.Errorf("key: %q %q %d %v", g, topic, n, ok)
		}
		got, metadata, ok := parseOffsetValue(r.Value)
		got.metadata = string(metadata)
		if !ok || got != c {
			t.Errorf("value: %+v, want %+v (%v)", got, c, ok)
		}
		for i := range r.Value {
			parseOffsetValue(r.Value[:i]) // must not panic
		}
	}
}

func TestDamagedDigestIsRefused(t *testing.T) {
	st := NewDigest(protocol.TopicID{9}, 3)
	for i := range int64(20) {
		r := offsetRecord("g", "t", int32(i), &commit{offset: i, deadline: -1})
		st.Apply(i, r.Key, r.Value)
	}
	st.End = 25
	good := st.Encode([16]byte{3})
	if len(good) != st.size {
		t.Fatalf("%d bytes, %d foretold", len(good), st.size)
	}
	if _, err := ReadDigest(good, [16]byte{3}, protocol.TopicID{9}, 3); err != nil {
		t.Fatal(err)
	}
	for i := range good {
		bad := slices.Clone(good)
		bad[i] ^= 4
		if _, err := ReadDigest(bad, [16]byte{3}, protocol.TopicID{9}, 3); err == nil {
			t.Fatalf("a flipped bit at %d was not noticed", i)
		}
		if _, err := ReadDigest(good[:i], [16]byte{3}, protocol.TopicID{9}, 3); err == nil {
			t.Fatalf("a cut at %d was not noticed", i)
		}
	}
	if _, err := ReadDigest(good, [16]byte{3}, protocol.TopicID{8}, 3); err == nil {
		t.Error("another topic's state was taken")
	}
}

func FuzzDigest(f *testing.F) {
	st := NewDigest(protocol.TopicID{}, 0)
	st.Apply(1, []byte("key"), []byte("value"))
	st.End = 2
	f.Add(st.Encode([16]byte{}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := ReadDigest(b, [16]byte{}, protocol.TopicID{}, 0); err == nil {
			n := 0
			for _, key, value, ok := s.Next(); ok; _, key, value, ok = s.Next() {
				n += len(key) + len(value)
			}
			if n > len(b) {
				t.Fatal("more than there is")
			}
		}
	})
}

func FuzzPlainOffset(f *testing.F) {
	r := offsetRecord("g", "t", 1, &commit{offset: 5, deadline: -1, metadata: "m"})
	f.Add(r.Key, r.Value)
	f.Fuzz(func(t *testing.T, key, value []byte) {
		parseOffsetKey(key)
		parseOffsetValue(value)
	})
}
