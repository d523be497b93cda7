package checker

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// model is a broker that does no wrong, and the knobs to make it do wrong.
type model struct {
	h    *History
	r    *rand.Rand
	logs map[Place][]Origin
	acks map[Origin]int64
}

var places = []Place{{Topic: "a"}, {Topic: "a", Partition: 1}, {Topic: "b", Incarnation: 7}}

const (
	exact = 1 // producer, idempotent
	plain = 2
)

func promiseOf(producer uint32) Promise {
	if producer == exact {
		return ExactOnce
	}
	return AtLeast
}

// clean is a history with retries, unanswered records, and nothing wrong.
func clean(seed uint64) *model {
	m := &model{h: New(), r: rand.New(rand.NewPCG(seed, 1)), logs: map[Place][]Origin{},
		acks: map[Origin]int64{}}
	for range 300 + m.r.IntN(300) {
		p := places[m.r.IntN(len(places))]
		producer := uint32(1 + m.r.IntN(2))
		o := m.h.Intend(p, producer, promiseOf(producer))
		arrived, answered := m.r.IntN(20) > 0, m.r.IntN(20) > 0
		if !arrived {
			continue // the producer gave up
		}
		if producer == plain && m.r.IntN(10) == 0 {
			m.append(o) // its answer was lost: sent again
		}
		offset := m.append(o)
		if answered {
			m.ack(o, offset)
		}
	}
	return m
}

func (m *model) append(o Origin) int64 {
	m.logs[o.Place] = append(m.logs[o.Place], o)
	return int64(len(m.logs[o.Place]) - 1)
}

func (m *model) ack(o Origin, offset int64) {
	m.acks[o] = offset
	m.h.Ack(o, offset)
}

// read lets a reader see all logs from a random offset (or 0), and closes them.
func (m *model) read(reader string, whole bool) {
	for p, log := range m.logs {
		from := 0
		if !whole {
			from = m.r.IntN(len(log) + 1)
		}
		for i := from; i < len(log); i++ {
			m.h.Read(reader, p, int64(i), Payload(log[i], 60+m.r.IntN(10)))
		}
		if whole {
			m.h.Close(p, 0, int64(len(log)))
		}
	}
	if whole {
		for _, p := range places {
			if m.logs[p] == nil {
				m.h.Close(p, 0, 0)
			}
		}
	}
}

// acked finds an acknowledged record of a producer, with its offset.
func (m *model) acked(producer uint32) (Origin, int64) {
	var all []Origin
	for o := range m.acks {
		if o.Producer == producer {
			all = append(all, o)
		}
	}
	slices.SortFunc(all, func(a, b Origin) int {
		return int(m.acks[a]-m.acks[b])*100 + int(a.Partition-b.Partition)*10 + len(a.Topic)
	})
	o := all[m.r.IntN(len(all))]
	return o, m.acks[o]
}

func kindsOf(found []Anomaly) map[Kind]int {
	out := map[Kind]int{}
	for _, a := range found {
		out[a.Kind]++
	}
	return out
}

func TestCleanHistoriesRaiseNoAlarm(t *testing.T) {
	for seed := range uint64(300) {
		m := clean(seed)
		m.read("early", false)
		m.read("late", true)
		m.read("again", true)
		if found := m.h.Check(); len(found) > 0 {
			t.Fatalf("seed %d: %v", seed, found)
		}
		if again := m.h.Check(); len(again) > 0 {
			t.Fatalf("seed %d: a second Check found %v", seed, again)
		}
	}
}

// planted are wrongs done to a clean model before it is read, with what must be found.
// Other findings may come with it: a lost record moves all that follow.
var planted = []struct {
	name string
	want Kind
	do   func(m *model)
}{
	{"the last acknowledged record is gone", Lost, func(m *model) {
		o, _ := m.acked(exact)
		at := m.acks[o]
		m.logs[o.Place] = m.logs[o.Place][:at]
	}},
	{"an acknowledged record is gone, later ones are there", Lost, func(m *model) {
		o, _ := m.acked(plain)
		m.logs[o.Place] = slices.DeleteFunc(slices.Clone(m.logs[o.Place]),
			func(x Origin) bool { return x == o })
	}},
	{"an idempotent record twice", Duplicate, func(m *model) {
		o, _ := m.acked(exact)
		m.append(o)
	}},
	{"two records of a producer swapped", Reordered, func(m *model) {
		log := m.logs[places[0]]
		var first = -1
		for i, o := range log {
			if o.Producer != exact {
				continue
			}
			if first < 0 {
				first = i
				continue
			}
			log[first], log[i] = log[i], log[first]
			return
		}
	}},
	{"acknowledged at another offset", Misplaced, func(m *model) {
		o, at := m.acked(exact)
		m.ack(o, at+1)
	}},
	{"acknowledged at offset 0", Misplaced, func(m *model) {
		o := m.logs[places[1]][20]
		m.ack(o, 0)
	}},
	{"acknowledged beyond the end", Misplaced, func(m *model) {
		o, _ := m.acked(exact)
		m.ack(o, 1<<20)
	}},
	{"a record of nobody", Phantom, func(m *model) {
		m.append(Origin{Place: places[0], Producer: exact, Seq: 1 << 30})
	}},
	{"a record of an unknown producer", Phantom, func(m *model) {
		m.append(Origin{Place: places[0], Producer: 99})
	}},
	{"a record of another partition", Foreign, func(m *model) {
		m.logs[places[0]] = append(m.logs[places[0]], m.logs[places[1]][0])
	}},
	{"a record of the topic's former life", Foreign, func(m *model) {
		old := m.logs[places[2]][0]
		old.Incarnation = 6
		m.logs[places[2]] = append(m.logs[places[2]], old)
	}},
	{"an offset is skipped", Gap, func(m *model) {
		p := places[0]
		m.h.Read("skipper", p, 3, Payload(m.logs[p][3], 60))
		m.h.Read("skipper", p, 5, Payload(m.logs[p][5], 60))
	}},
	{"a reader is sent back", Gap, func(m *model) {
		p := places[0]
		m.h.Read("returner", p, 3, Payload(m.logs[p][3], 60))
		m.h.Read("returner", p, 3, Payload(m.logs[p][3], 60))
	}},
	{"an offset held another record before", Changed, func(m *model) {
		p, i := places[0], 4
		for m.logs[p][i] == m.logs[p][i+1] {
			i++ // a plain producer's repetition
		}
		m.h.Read("early", p, int64(i), Payload(m.logs[p][i+1], 60))
	}},
	{"bytes are damaged", Corrupt, func(m *model) {
		p := places[0]
		value := Payload(m.logs[p][2], 80)
		value[m.r.IntN(len(value))] ^= 1 << m.r.IntN(8)
		m.h.Read("damaged", p, 2, value)
	}},
	{"what was read is gone", Vanished, func(m *model) {
		p := places[0]
		o := m.h.Intend(p, exact, ExactOnce)
		m.h.Read("quick", p, int64(len(m.logs[p])), Payload(o, 60))
	}},
}

func TestPlantedAnomaliesAreFound(t *testing.T) {
	for _, c := range planted {
		t.Run(c.name, func(t *testing.T) {
			for seed := range uint64(60) {
				m := clean(seed)
				c.do(m)
				m.read("late", true)
				if found := m.h.Check(); kindsOf(found)[c.want] == 0 {
					t.Fatalf("seed %d: no %s in %v", seed, c.want, found)
				}
			}
		})
	}
}

func TestGapInTheMiddleIsFound(t *testing.T) {
	m := clean(1)
	p := places[0]
	for i, o := range m.logs[p] {
		if i != 9 {
			m.h.Read(fmt.Sprint("reader before and after", i > 9), p, int64(i), Payload(o, 60))
		}
	}
	m.h.Close(p, 0, int64(len(m.logs[p])))
	if found := m.h.Check(); kindsOf(found)[Gap] != 1 {
		t.Fatalf("want one gap: %v", found)
	}
}

func TestAnUnreadLogProvesNothing(t *testing.T) {
	m := clean(3)
	m.read("early", false)
	if found := m.h.Check(); kindsOf(found)[Unread] != len(places) {
		t.Fatalf("want %d unread logs: %v", len(places), found)
	}
}

func TestPlainProducersMayRepeat(t *testing.T) {
	h := New()
	p := places[0]
	a, b := h.Intend(p, plain, AtLeast), h.Intend(p, plain, AtLeast)
	for i, o := range []Origin{a, b, a, b} {
		h.Read("r", p, int64(i), Payload(o, 0))
	}
	h.Ack(a, 2)
	h.Ack(b, 3)
	h.Close(p, 0, 4)
	if found := h.Check(); len(found) > 0 {
		t.Fatal(found)
	}
}

func TestForgottenPlacesOweNothing(t *testing.T) {
	m := clean(5)
	for _, p := range places {
		m.h.Forget(p)
	}
	late := Origin{Place: places[0], Producer: exact}
	m.h.Ack(late, 3) // an answer that was under way
	if found := m.h.Check(); len(found) > 0 {
		t.Fatal(found)
	}
}

func TestFindingsAreBounded(t *testing.T) {
	h := New()
	for i := range int64(5 * maxAnomalies) {
		h.Read("r", places[0], i, []byte("garbage"))
	}
	found := h.Check()
	if len(found) != maxAnomalies+1 {
		t.Fatalf("%d findings", len(found))
	}
}

func TestCommittedOffsets(t *testing.T) {
	p := places[0]
	cases := []struct {
		name string
		got  int64
		want Kind
	}{
		{"the acknowledged one", 20, ""},
		{"one on its way", 30, ""},
		{"an older one", 10, CommitBack},
		{"none", -1, CommitBack},
		{"one of nobody", 25, CommitMade},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h := New()
			for _, offset := range []int64{10, 20, 30} {
				h.CommitIntend("g", p, offset)
				if offset < 30 {
					h.CommitAck("g", p, offset)
				}
			}
			h.CommitRead("g", p, h.CommitFloor("g", p), c.got)
			found := h.Check()
			if c.want == "" && len(found) > 0 || c.want != "" && kindsOf(found)[c.want] != 1 {
				t.Fatalf("want %q: %v", c.want, found)
			}
		})
	}
	t.Run("seen once, gone later", func(t *testing.T) {
		h := New()
		h.CommitIntend("g", p, 10)
		h.CommitRead("g", p, h.CommitFloor("g", p), 10)
		h.CommitRead("g", p, h.CommitFloor("g", p), -1)
		if found := h.Check(); kindsOf(found)[CommitBack] != 1 {
			t.Fatal(found)
		}
	})
	t.Run("acknowledged while the fetch was under way", func(t *testing.T) {
		h := New()
		floor := h.CommitFloor("g", p)
		h.CommitIntend("g", p, 10)
		h.CommitAck("g", p, 10)
		h.CommitRead("g", p, floor, -1)
		if found := h.Check(); len(found) > 0 {
			t.Fatal(found)
		}
	})
}

func TestPayloadsRoundTrip(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		o := Origin{Place: Place{Topic: fmt.Sprint("topic", r.IntN(50)), Incarnation: r.Uint32(),
			Partition: r.Int32()}, Producer: r.Uint32(), Seq: r.Uint64()}
		value := Payload(o, r.IntN(5000))
		got, err := ParsePayload(value)
		if err != nil || got != o {
			t.Fatalf("%v became %v, %v", o, got, err)
		}
		value[r.IntN(len(value))] ^= 1 << r.IntN(8)
		if _, err := ParsePayload(value); err == nil {
			t.Fatalf("%v: a flipped bit passed", o)
		}
	}
}

func FuzzParsePayload(f *testing.F) {
	f.Add(Payload(Origin{Place: places[0]}, 0))
	f.Add([]byte("CRck"))
	f.Fuzz(func(t *testing.T, p []byte) {
		o, err := ParsePayload(p)
		if err == nil && len(p) < MinPayload(o.Topic) {
			t.Fatalf("%d bytes hold %v", len(p), o)
		}
	})
}
