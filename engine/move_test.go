package engine

import (
	"errors"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/protocol"
	"millrace/raftmeta"
	"millrace/segment"
)

// moveRig is a rig with a topic, a connection to every core, and a move that waits for an
// answer: the journal holds a produce request back that had begun before.
type moveRig struct {
	*rig
	fds   []int32
	topic string
	id    protocol.TopicID
	from  int
	over  bool
	err   error
}

func newMoveRig(t *testing.T, cores int) *moveRig {
	r, last := newAdminRig(t, cores)
	m := &moveRig{rig: r, topic: "t"}
	for i := range cores - 1 {
		m.fds = append(m.fds, r.connect(i))
	}
	m.fds = append(m.fds, last)
	m.id = r.create("t", 1)
	m.from = segment.CoreOf(protocol.TopicPartition{Topic: m.id}, cores)
	return m
}

// send writes a request whose answer is not there yet.
func (m *moveRig) send(core int, req kmsg.Request) {
	m.write(m.fds[core], formatter.AppendRequest(nil, req, 42))
}

func (m *moveRig) move(to int) {
	m.over, m.err = false, nil
	m.cores[0].inbox.Post(func(c *Core) {
		c.requestMove(m.topic, 0, to, func(err error) { m.over, m.err = true, err })
	})
	m.run()
}

func (m *moveRig) silent(core int, what string) {
	m.t.Helper()
	if n := len(m.ends[m.fds[core]].got); n > 0 {
		m.t.Fatalf("%s: %d bytes of an answer too early", what, n)
	}
}

func (m *moveRig) at() int {
	m.t.Helper()
	tp, found := protocol.TopicPartition{Topic: m.id}, -1
	for i, c := range m.cores {
		if c.topics.find(tp) != nil {
			if found >= 0 {
				m.t.Fatal("the partition is on two cores")
			}
			found = i
		}
		if c.moves.closed || len(c.moves.produces)+len(c.moves.waiting) > 0 || c.moves.out != nil {
			m.t.Fatalf("core %d: %+v", i, c.moves)
		}
	}
	for i, c := range m.cores {
		if pl := c.topics.byID[m.id].parts[0]; pl.core != found || pl.closed {
			m.t.Fatalf("core %d: %+v, the partition is on %d", i, pl, found)
		}
	}
	return found
}

func offsetsRequest(topic string, at int64) *kmsg.ListOffsetsRequest {
	req := kmsg.NewPtrListOffsetsRequest()
	req.Version = 7
	rt := kmsg.NewListOffsetsRequestTopic()
	rt.Topic = topic
	rp := kmsg.NewListOffsetsRequestTopicPartition()
	rp.Timestamp, rp.CurrentLeaderEpoch = at, -1
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	return req
}

func fetched(t testing.TB, resp kmsg.Response) kmsg.FetchResponseTopicPartition {
	t.Helper()
	f := resp.(*kmsg.FetchResponse)
	if f.ErrorCode != 0 || len(f.Topics) != 1 || len(f.Topics[0].Partitions) != 1 {
		t.Fatalf("want one partition: %+v", f)
	}
	return f.Topics[0].Partitions[0]
}

// Requests that come while a partition moves wait, are answered in order and without an
// error; so does a fetch that waited on its old core.
func TestMoveWhileServing(t *testing.T) {
	for cores := 2; cores <= 3; cores++ {
		for asker := range cores {
			m := newMoveRig(t, cores)
			to := (m.from + 1) % cores
			fetcher := (asker + 1) % cores
			first := produceRequest("t", 0, records(3, "one"))
			m.held = true
			m.send(asker, first)
			waits := fetchRequest("t", 0, 3, 10_000) // behind what is on its way
			m.send(fetcher, waits)
			m.move(to)
			if m.over || !m.cores[asker].moves.closed {
				t.Fatalf("the move does not wait: %v %v", m.over, m.err)
			}
			second := produceRequest("t", 0, records(2, "two"))
			m.send(asker, second)
			third := produceRequest("t", 0, records(2, "three"))
			m.send(asker, third)
			other := m.connect(m.from)
			last := offsetsRequest("t", tsLatest)
			m.write(other, formatter.AppendRequest(nil, last, 1))
			m.silent(asker, "produce")
			m.silent(fetcher, "fetch")
			m.release()
			if !m.over || m.err != nil || m.at() != to {
				t.Fatalf("cores %d, asker %d: over %v, %v, on %d", cores, asker, m.over, m.err, m.at())
			}
			for i, want := range []int64{0, 3, 5} {
				p := produced(t, m.answer(m.fds[asker], first))
				if p.ErrorCode != 0 || p.BaseOffset != want {
					t.Fatalf("cores %d, asker %d: produce %d: code %d at %d", cores, asker, i, p.ErrorCode, p.BaseOffset)
				}
			}
			if f := fetched(t, m.answer(m.fds[fetcher], waits)); f.ErrorCode != 0 || len(f.RecordBatches) == 0 {
				t.Fatalf("cores %d: the waiting fetch: %+v", cores, f)
			}
			lo := m.answer(other, last).(*kmsg.ListOffsetsResponse).Topics[0].Partitions[0]
			if lo.ErrorCode != 0 || lo.Offset < 3 {
				t.Fatalf("ListOffsets while moving: %+v", lo)
			}
			for core := range cores { // and from the front, the first from the disk
				f := fetched(t, m.ask(m.fds[core], fetchRequest("t", 0, 0, 0)))
				if f.ErrorCode != 0 || len(f.RecordBatches) == 0 || f.HighWatermark != 7 {
					t.Fatalf("core %d: fetch: %+v", core, f)
				}
			}
			m.move(m.from)
			if !m.over || m.err != nil || m.at() != m.from {
				t.Fatalf("back: %v", m.err)
			}
			if p := produced(t, m.ask(m.fds[asker], first)); p.ErrorCode != 0 || p.BaseOffset != 7 {
				t.Fatalf("produce after it: %+v", p)
			}
		}
	}
}

// A consumer that waits at the end of a partition which moves is woken by the next record.
func TestMoveUnderParkedFetch(t *testing.T) {
	for cores := 2; cores <= 3; cores++ {
		m := newMoveRig(t, cores)
		asker := cores - 1
		waits := fetchRequest("t", 0, 0, 10_000)
		m.send(asker, waits)
		for i := range 4 {
			m.move((m.from + 1 + i) % cores)
			if !m.over || m.err != nil {
				t.Fatalf("move %d: %v %v", i, m.over, m.err)
			}
			m.silent(asker, "fetch")
		}
		if p := produced(t, m.ask(m.fds[0], produceRequest("t", 0, records(1, "x")))); p.ErrorCode != 0 {
			t.Fatalf("%+v", p)
		}
		if f := fetched(t, m.answer(m.fds[asker], waits)); f.ErrorCode != 0 || len(f.RecordBatches) == 0 {
			t.Fatalf("%+v", f)
		}
		m.send(asker, fetchRequest("t", 0, 1, 10)) // and one whose time runs out
		m.move((m.at() + 1) % cores)
		m.now.Mono += 20_000_000
		m.run()
		if f := fetched(t, m.answer(m.fds[asker], waits)); f.ErrorCode != 0 || f.HighWatermark != 1 {
			t.Fatalf("%+v", f)
		}
	}
}

// A move that takes too long leaves the partition where it was, and what waited goes on.
func TestMoveCalledOff(t *testing.T) {
	m := newMoveRig(t, 2)
	asker := 1 - m.from
	req := produceRequest("t", 0, records(1, "x"))
	m.held = true
	m.send(asker, req)
	m.move(1 - m.from)
	m.send(asker, req)
	if m.over {
		t.Fatal("the move does not wait")
	}
	m.now.Mono += closedPatience
	m.run()
	if !m.over || !errors.Is(m.err, ErrMoveFailed) || m.at() != m.from {
		t.Fatalf("%v %v", m.over, m.err)
	}
	m.release()
	for want := range int64(2) {
		if p := produced(t, m.answer(m.fds[asker], req)); p.ErrorCode != 0 || p.BaseOffset != want {
			t.Fatalf("%+v, want %d", p, want)
		}
	}
	m.move(1 - m.from)
	if !m.over || m.err != nil || m.at() != 1-m.from {
		t.Fatalf("once more: %v", m.err)
	}
}

// A topic is deleted while its partition moves: who waits is told so.
func TestMoveOfDeletedTopic(t *testing.T) {
	m := newMoveRig(t, 2)
	asker := 1 - m.from
	req := produceRequest("t", 0, records(1, "x"))
	m.held = true
	m.send(asker, req)
	m.move(1 - m.from)
	m.send(asker, req)
	m.quorum.Propose(raftmeta.DeleteTopics{IDs: []protocol.TopicID{m.id}},
		func(_ raftmeta.Outcome, err error) {
			if err != nil {
				t.Fatal(err)
			}
		})
	m.run()
	m.release()
	if !m.over || !errors.Is(m.err, ErrNoPartition) {
		t.Fatalf("%v %v", m.over, m.err)
	}
	m.answer(m.fds[asker], req)
	if p := produced(t, m.answer(m.fds[asker], req)); protocol.Code(p.ErrorCode) != protocol.UnknownTopicOrPartition {
		t.Fatalf("%+v", p)
	}
	for i, c := range m.cores {
		if c.moves.closed || c.moves.out != nil || c.moves.busy {
			t.Fatalf("core %d: %+v", i, c.moves)
		}
	}
}

func TestMoveRefused(t *testing.T) {
	r, fd := newAdminRig(t, 3, 2)
	r.create("t", 2)
	r.create(offsetsTopic, 2)
	r.ask(fd, produceRequest("t", 0, records(1, "x")))
	for _, c := range []struct {
		topic string
		part  int32
		to    int
		want  error
	}{
		{"none", 0, 0, ErrNoPartition}, {"t", 2, 0, ErrNoPartition}, {"t", -1, 0, ErrNoPartition},
		{"t", 0, -1, ErrNoCore}, {"t", 0, 2, ErrNoCore}, {"t", 0, 3, ErrNoCore},
		{offsetsTopic, 0, 1, ErrStaysPut},
	} {
		told := false
		r.cores[0].inbox.Post(func(core *Core) {
			core.requestMove(c.topic, c.part, c.to, func(err error) {
				told = true
				if !errors.Is(err, c.want) {
					t.Errorf("%+v: %v", c, err)
				}
			})
		})
		r.run()
		if !told {
			t.Errorf("%+v: no answer", c)
		}
	}
	tp, _, _ := r.cores[0].partitionAt(r.cores[0].topics.byName["t"], 0)
	to := 1 - segment.CoreOf(tp, 2)
	answers := []error{}
	r.cores[0].inbox.Post(func(core *Core) { // two at once
		for range 2 {
			core.requestMove("t", 0, to, func(err error) { answers = append(answers, err) })
		}
	})
	r.run()
	if len(answers) != 2 || !errors.Is(answers[0], ErrMoving) || answers[1] != nil {
		t.Errorf("two at once: %v", answers)
	}
}
