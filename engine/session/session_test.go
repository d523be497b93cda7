package session

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/internal/clock"
	"millrace/protocol"
	"millrace/protocol/hot"
)

func options() Options {
	return Options{
		Core: 1, Cores: 3, Slots: 4, MaxPartitions: 100,
		EvictAfter: DefaultEvictAfter, Seed: 7,
	}
}

// request encodes a fetch request; partitions are "topic-0@offset".
type request struct {
	version   int16
	id, epoch int32
	replica   int32
	want      []string
	forget    []string
}

func split(s string) (topic string, partition int32, offset int64) {
	name, rest, _ := strings.Cut(s, "-")
	fmt.Sscanf(rest, "%d@%d", &partition, &offset)
	return name, partition, offset
}

func topicID(name string) (id protocol.TopicID) {
	copy(id[:], name)
	return id
}

func (r request) bytes() []byte {
	q := kmsg.NewFetchRequest()
	q.Version = r.version
	q.ReplicaID = -1
	if r.replica > 0 {
		q.ReplicaID = r.replica
		q.ReplicaState.ID = r.replica
	}
	q.SessionID, q.SessionEpoch = r.id, r.epoch
	for _, w := range r.want {
		name, partition, offset := split(w)
		t := kmsg.NewFetchRequestTopic()
		t.Topic, t.TopicID = name, topicID(name)
		p := kmsg.NewFetchRequestTopicPartition()
		p.Partition, p.FetchOffset = partition, offset
		t.Partitions = append(t.Partitions, p)
		q.Topics = append(q.Topics, t)
	}
	for _, w := range r.forget {
		name, partition, _ := split(w)
		t := kmsg.NewFetchRequestForgottenTopic()
		t.Topic, t.TopicID, t.Partitions = name, topicID(name), []int32{partition}
		q.ForgottenTopics = append(q.ForgottenTopics, t)
	}
	return q.AppendTo(nil)
}

type tester struct {
	*testing.T
	c   *Cache
	now clock.Instant
}

func newTester(t *testing.T, o Options) *tester {
	return &tester{T: t, c: New(o), now: clock.Instant(time.Hour)}
}

func (t *tester) open(r request) (Ticket, protocol.Code) {
	t.Helper()
	if r.version == 0 {
		r.version = 12
	}
	var q hot.FetchRequest
	if err := q.Parse(r.version, r.bytes()); err != nil {
		t.Fatalf("parse: %v", err)
	}
	ticket, code := t.c.Open(t.now, r.version, &q)
	t.c.check(t.T)
	return ticket, code
}

func (t *tester) must(r request) Ticket {
	t.Helper()
	ticket, code := t.open(r)
	if code != protocol.None {
		t.Fatalf("open: %v", code)
	}
	return ticket
}

func (t *tester) refused(r request, want protocol.Code) {
	t.Helper()
	if _, code := t.open(r); code != want {
		t.Fatalf("code %v, want %v", code, want)
	}
}

// answer responds to every partition with the figures of at, and returns what is sent.
func (t *tester) answer(ticket Ticket, at func(*Partition) Result) []string {
	t.Helper()
	var sent []string
	for p := ticket.First(); p != nil; p = p.Next() {
		r := at(p)
		if ticket.Respond(p, &r) {
			sent = append(sent, show(p))
		}
	}
	t.c.End(ticket)
	t.c.check(t.T)
	return sent
}

func show(p *Partition) string {
	name := p.Topic
	if name == "" {
		name = strings.TrimRight(string(p.TopicID[:]), "\x00")
	}
	return fmt.Sprintf("%s-%d@%d", name, p.Want.Index, p.Want.FetchOffset)
}

func (t *tester) order(ticket Ticket) []string {
	var all []string
	for p := ticket.First(); p != nil; p = p.Next() {
		all = append(all, show(p))
	}
	return all
}

func (t *tester) same(got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
}

// check walks everything and asserts the invariants.
func (c *Cache) check(t *testing.T) {
	t.Helper()
	sum, n := 0, 0
	for s := c.oldest; s != nil; s = s.newer {
		n++
		sum += s.counted
		if s.id <= 0 || int(s.id)%c.o.Cores != c.o.Core || c.sessions[s.id] != s {
			t.Fatalf("session %d is not where it belongs", s.id)
		}
		seen := map[*Partition]bool{}
		for p := s.first; p != nil; p = p.next {
			if seen[p] {
				t.Fatal("a partition twice")
			}
			seen[p] = true
		}
		if len(seen) != s.n || len(s.names)+len(s.ids) != s.n || s.counted != s.n {
			t.Fatalf("%d listed, %d counted, %d indexed", len(seen), s.n, len(s.names)+len(s.ids))
		}
		if s.newer == nil && c.newest != s || s.newer != nil && s.newer.used < s.used {
			t.Fatal("the order of use is broken")
		}
	}
	if n != len(c.sessions) || sum != c.partitions || n > c.o.Slots || sum > c.o.MaxPartitions {
		t.Fatalf("%d sessions of %d, %d partitions of %d", n, len(c.sessions), sum, c.partitions)
	}
}

func quiet(*Partition) Result { return Result{HighWatermark: 5} }

func TestIncremental(t *testing.T) {
	for _, version := range []int16{12, 13, 18} {
		t.Run(fmt.Sprint(version), func(t *testing.T) { incremental(newTester(t, options()), version) })
	}
}

func incremental(t *tester, version int16) {
	full := t.must(request{version: version, want: []string{"a-0@0", "a-1@0", "b-0@0"}})
	id := full.ID()
	if id == 0 || !full.Full() {
		t.Fatal("no session")
	}
	// A full request is answered with all partitions, whatever they have.
	t.same(t.answer(full, quiet), "a-0@0", "a-1@0", "b-0@0")

	// Nothing new: nothing is sent.
	next := t.must(request{version: version, id: id, epoch: 1})
	if next.ID() != id || next.Full() {
		t.Fatal("not the same session")
	}
	t.same(t.answer(next, quiet))

	// An update, an addition and a removal; then a moved high watermark.
	next = t.must(request{version: version, id: id, epoch: 2,
		want: []string{"a-1@7", "c-0@1"}, forget: []string{"a-0", "zz-9"}})
	t.same(t.order(next), "a-1@7", "b-0@0", "c-0@1")
	t.same(t.answer(next, quiet), "c-0@1") // it is new, so its watermark is news
	next = t.must(request{version: version, id: id, epoch: 3})
	t.same(t.answer(next, func(p *Partition) Result {
		return Result{HighWatermark: 5 + p.Want.FetchOffset/7}
	}), "a-1@7")

	// The log start, an error, the end of the error, an explicit must.
	next = t.must(request{version: version, id: id, epoch: 4})
	t.same(t.answer(next, func(p *Partition) Result {
		r := Result{HighWatermark: 5 + p.Want.FetchOffset/7}
		switch show(p)[0] {
		case 'a':
			r.LogStart = 3
		case 'b':
			r = Result{Code: protocol.NotLeaderOrFollower, HighWatermark: -1, LogStart: -1}
		}
		return r
	}), "a-1@7", "b-0@0")
	next = t.must(request{version: version, id: id, epoch: 5})
	t.same(t.answer(next, func(p *Partition) Result {
		r := Result{HighWatermark: 5 + p.Want.FetchOffset/7}
		switch show(p)[0] {
		case 'a':
			r.LogStart = 3
		case 'c':
			r.Must = true
		}
		return r
	}), "b-0@0", "c-0@1")
}

func TestEveryPartitionHasItsTurn(t *testing.T) {
	x := newTester(t, options())
	full := x.must(request{want: []string{"a-0", "a-1", "a-2", "a-3"}})
	id := full.ID()
	x.answer(full, quiet)
	// The answer has room for two partitions with records: nobody starves.
	served := map[int32]int{}
	for epoch := int32(1); epoch <= 8; epoch++ {
		room := 2
		x.answer(x.must(request{id: id, epoch: epoch}), func(p *Partition) Result {
			r := Result{HighWatermark: 5}
			if room > 0 {
				room--
				r.Records = 100
				served[p.Want.Index]++
			}
			return r
		})
	}
	for partition, n := range served {
		if n != 4 {
			t.Errorf("partition %d was served %d times of 16/4", partition, n)
		}
	}
}

func TestEpochsAndIDs(t *testing.T) {
	x := newTester(t, options())
	x.refused(request{id: 0, epoch: 3}, protocol.FetchSessionIdNotFound)
	x.refused(request{id: 77, epoch: 1}, protocol.FetchSessionIdNotFound)
	x.refused(request{id: -5, epoch: 1}, protocol.FetchSessionIdNotFound)

	a := x.must(request{want: []string{"a-0"}})
	x.answer(a, quiet)
	x.refused(request{id: a.ID(), epoch: 2}, protocol.InvalidFetchSessionEpoch)
	x.refused(request{id: a.ID(), epoch: -2}, protocol.InvalidFetchSessionEpoch)
	x.refused(request{version: 13, id: a.ID(), epoch: 1}, protocol.FetchSessionTopicIdError)
	x.answer(x.must(request{id: a.ID(), epoch: 1}), quiet)
	x.refused(request{id: a.ID(), epoch: 1}, protocol.InvalidFetchSessionEpoch)

	// The epoch goes round to 1.
	x.c.sessions[a.ID()].epoch = math.MaxInt32
	x.answer(x.must(request{id: a.ID(), epoch: math.MaxInt32}), quiet)
	x.answer(x.must(request{id: a.ID(), epoch: 1}), quiet)

	b := x.must(request{version: 13, want: []string{"a-0"}})
	x.answer(b, quiet)
	x.refused(request{id: b.ID(), epoch: 1}, protocol.FetchSessionTopicIdError)

	// A full request closes the session it names, a final one makes none.
	c := x.must(request{id: a.ID(), epoch: Initial, want: []string{"a-0"}})
	x.refused(request{id: a.ID(), epoch: 3}, protocol.FetchSessionIdNotFound)
	x.answer(c, quiet)
	d := x.must(request{id: c.ID(), epoch: Final, want: []string{"a-0", "a-1"}})
	if d.ID() != 0 {
		t.Fatal("a final request has a session")
	}
	x.same(x.answer(d, quiet), "a-0@0", "a-1@0")
	x.refused(request{id: c.ID(), epoch: 1}, protocol.FetchSessionIdNotFound)

	// The session that forgets all its partitions ends.
	e := x.must(request{version: 13, id: b.ID(), epoch: 1, forget: []string{"a-0"}})
	if e.ID() != 0 || e.Len() != 0 {
		t.Fatal("an empty session lives")
	}
	x.c.End(e)
	x.refused(request{version: 13, id: b.ID(), epoch: 2}, protocol.FetchSessionIdNotFound)
	if s := x.c.Stats(); s.Sessions != 0 || s.Partitions != 0 {
		t.Fatalf("left over: %+v", s)
	}
}

func TestOvertaken(t *testing.T) {
	x := newTester(t, options())
	a := x.must(request{want: []string{"a-0", "a-1"}})
	x.answer(a, quiet)
	parked := x.must(request{id: a.ID(), epoch: 1})
	r := Result{Records: 10, HighWatermark: 6}
	parked.Respond(parked.First(), &r)
	later := x.must(request{id: a.ID(), epoch: 2, forget: []string{"a-0"}})
	if parked.Current() || !later.Current() || parked.ID() != a.ID() {
		t.Fatal("the later request must overtake")
	}
	x.c.End(parked)
	x.same(x.order(later), "a-1@0")
	x.answer(later, quiet)

	// Evicted while parked: it is answered all the same, and then unknown.
	parked = x.must(request{id: a.ID(), epoch: 3})
	x.c.remove(x.c.sessions[a.ID()])
	if !parked.Current() {
		t.Fatal("eviction must not spoil the request under way")
	}
	x.answer(parked, quiet)
	x.refused(request{id: a.ID(), epoch: 4}, protocol.FetchSessionIdNotFound)
}

func TestDuplicatePartitionsAreOne(t *testing.T) {
	x := newTester(t, options())
	a := x.must(request{want: []string{"a-0@1", "b-0@0", "a-0@2"}})
	x.same(x.order(a), "a-0@2", "b-0@0")
	x.c.End(a)
	b := x.must(request{epoch: Final, want: []string{"a-0@1", "a-0@2"}})
	x.same(x.order(b), "a-0@2")
	x.c.End(b)
}

func TestEviction(t *testing.T) {
	x := newTester(t, options())
	fill := func(replica int32, n int) Ticket {
		var want []string
		for i := range n {
			want = append(want, fmt.Sprintf("a-%d", i))
		}
		ticket := x.must(request{replica: replica, want: want})
		x.answer(ticket, quiet)
		return ticket
	}
	lives := func(ticket Ticket) bool { return x.c.sessions[ticket.ID()] != nil }
	var old []Ticket
	for i := range 4 {
		old = append(old, fill(0, i+1))
		x.now = x.now.Add(time.Millisecond)
	}
	// The cache is full of young sessions: a consumer gets none, however large.
	if fill(0, 50).ID() != 0 {
		t.Fatal("a young session was evicted")
	}
	// A follower's session drives out the smallest of a consumer.
	follower := fill(5, 1)
	if follower.ID() == 0 || lives(old[0]) || !lives(old[1]) {
		t.Fatal("a follower must evict the smallest consumer")
	}
	// Used sessions that are old may be driven out by larger ones only.
	x.now = x.now.Add(DefaultEvictAfter - time.Second)
	for _, s := range append(old[1:], follower) {
		x.answer(x.must(request{id: s.ID(), epoch: 1}), quiet)
	}
	x.now = x.now.Add(2 * time.Second)
	for _, s := range append(old[1:], follower) {
		x.answer(x.must(request{id: s.ID(), epoch: 2}), quiet)
	}
	if fill(0, 2).ID() != 0 {
		t.Fatal("an equal one was evicted")
	}
	if fill(0, 3).ID() == 0 || lives(old[1]) || !lives(follower) {
		t.Fatal("a larger session must evict the smallest old one")
	}
	// Stale ones go first, the longest unused before all, whoever it is.
	x.answer(x.must(request{id: old[2].ID(), epoch: 3}), quiet)
	x.answer(x.must(request{id: old[3].ID(), epoch: 3}), quiet)
	x.now = x.now.Add(DefaultEvictAfter + time.Millisecond)
	if fill(0, 1).ID() == 0 || lives(follower) {
		t.Fatal("the stale session must go")
	}
	if got := x.c.Stats(); got.Evictions != 3 || got.Sessions != 4 {
		t.Fatalf("stats %+v", got)
	}
}

func TestPartitionLimit(t *testing.T) {
	o := options()
	o.MaxPartitions = 4
	x := newTester(t, o)
	a := x.must(request{want: []string{"a-0", "a-1", "a-2"}})
	x.answer(a, quiet)
	b := x.must(request{want: []string{"b-0", "b-1"}})
	if b.ID() != 0 {
		t.Fatal("over the limit")
	}
	x.answer(b, quiet)
	x.answer(x.must(request{id: a.ID(), epoch: 1, want: []string{"a-3"}}), quiet)
	x.refused(request{id: a.ID(), epoch: 2, want: []string{"a-4"}},
		protocol.FetchSessionIdNotFound)
	if s := x.c.Stats(); s.Partitions != 0 {
		t.Fatalf("stats %+v", s)
	}
}

func TestIDsDifferBetweenCores(t *testing.T) {
	seen := map[int32]int{}
	for core := range 3 {
		o := options()
		o.Core, o.Slots = core, 1000
		o.MaxPartitions = 2000
		x := newTester(t, o)
		for range 200 {
			a := x.must(request{want: []string{"a-0"}})
			x.c.End(a)
			if other, ok := seen[a.ID()]; ok {
				t.Fatalf("session %d on cores %d and %d", a.ID(), other, core)
			}
			seen[a.ID()] = core
		}
	}
}

func TestNothingIsAllocated(t *testing.T) {
	for _, version := range []int16{12, 16} {
		x := newTester(t, options())
		want := []string{"a-0@1", "a-1@1", "bee-0@4"}
		a := x.must(request{version: version, want: want})
		x.answer(a, quiet)
		var idle, full, moved hot.FetchRequest
		parse := func(q *hot.FetchRequest, r request) []byte {
			b := r.bytes()
			if err := q.Parse(version, b); err != nil {
				t.Fatal(err)
			}
			return b
		}
		parse(&idle, request{version: version, id: a.ID(), epoch: 1})
		parse(&moved, request{version: version, id: a.ID(), epoch: 1, want: want[:2]})
		parse(&full, request{version: version, epoch: Final, want: want})
		epoch := int32(1)
		run := func(q *hot.FetchRequest) {
			if q.SessionEpoch > 0 {
				q.SessionEpoch = epoch
				epoch++
			}
			ticket, code := x.c.Open(x.now, version, q)
			if code != protocol.None {
				t.Fatal(code)
			}
			for p := ticket.First(); p != nil; p = p.Next() {
				r := Result{HighWatermark: int64(epoch), Records: 10}
				ticket.Respond(p, &r)
			}
			x.c.End(ticket)
		}
		for name, q := range map[string]*hot.FetchRequest{
			"idle": &idle, "moved": &moved, "sessionless": &full} {
			run(q)
			if n := testing.AllocsPerRun(100, func() { run(q) }); n != 0 {
				t.Errorf("version %d, %s: %v allocations", version, name, n)
			}
		}
	}
}

// TestAgainstModel runs random requests against a plain list as the model of a session.
func TestAgainstModel(t *testing.T) {
	type model struct {
		epoch int32
		order []string // "a-0"
		at    map[string]string
	}
	for seed := range uint64(30) {
		r := rand.New(rand.NewPCG(seed, 1))
		x := newTester(t, options())
		models := map[int32]*model{}
		pick := func() []string {
			var some []string
			for range r.IntN(5) {
				some = append(some, fmt.Sprintf("%c-%d", 'a'+r.IntN(3), r.IntN(4)))
			}
			return some
		}
		for range 300 {
			x.now = x.now.Add(time.Duration(r.IntN(20)) * time.Second)
			q := request{version: 13, epoch: Initial, want: pick()}
			var m *model
			for id, known := range models { // any one
				if x.c.sessions[id] == nil {
					delete(models, id)
				} else if r.IntN(3) > 0 {
					m, q.id, q.epoch, q.forget = known, id, known.epoch, pick()
					break
				}
			}
			for i, w := range q.want {
				q.want[i] = fmt.Sprintf("%s@%d", w, r.IntN(100))
			}
			ticket := x.must(q)
			if m == nil {
				m = &model{at: map[string]string{}}
				models[ticket.ID()] = m
			}
			for _, w := range q.want {
				name, _, _ := strings.Cut(w, "@")
				if m.at[name] == "" {
					m.order = append(m.order, name)
				}
				m.at[name] = w
			}
			for _, name := range q.forget {
				delete(m.at, name)
				m.order = slices.DeleteFunc(m.order, func(s string) bool { return s == name })
			}
			var want, turned []string
			for _, name := range m.order {
				want = append(want, m.at[name])
			}
			if got := x.order(ticket); !slices.Equal(got, want) {
				t.Fatalf("seed %d: got %v, want %v", seed, got, want)
			}
			x.answer(ticket, func(p *Partition) Result {
				if ticket.Full() || r.IntN(2) == 0 {
					return Result{}
				}
				name, _, _ := strings.Cut(show(p), "@")
				turned = append(turned, name)
				return Result{Records: 1}
			})
			for _, name := range turned {
				m.order = slices.DeleteFunc(m.order, func(s string) bool { return s == name })
				m.order = append(m.order, name)
			}
			m.epoch = nextEpoch(m.epoch)
			if ticket.ID() == 0 {
				delete(models, q.id)
				delete(models, 0)
			}
		}
	}
}
