package group

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/protocol"
)

// person is a consumer that follows the protocol, more or less.
type person struct {
	name     string
	instance *string
	version  int16
	id       string
	gen      int32
	leads    []string // the members to assign to, if it leads
	joined   bool     // has a generation, did not sync yet
	stable   bool
	waits    int // requests that are not answered
	gone     bool
}

type asked struct {
	p      *person
	kind   string
	id     string
	gen    int32
	offset int64
}

// world is a random schedule of five persons, a disk and a broker that is killed.
type world struct {
	*stage
	r       *rand.Rand
	people  []*person
	asked   map[Token]*asked
	leaders map[int32]string
	acked   int64 // the last commit that was acknowledged
	seen    int64 // the last offset that was read
	last    int64 // the last one sent
	life    int
	synced  int
}

// TestRandomSchedules lets time, loss, failing disks and kills happen to five members. What
// must hold: a token is answered once; in a generation there is one leader, and whoever is
// answered gets what it assigned; offsets do not go back; every promise holds after a kill.
func TestRandomSchedules(t *testing.T) {
	synced := 0
	for seed := range uint64(60) {
		synced += runWorld(t, seed)
	}
	if synced < 500 {
		t.Fatalf("only %d assignments were given: the test tests nothing", synced)
	}
}

func runWorld(t *testing.T, seed uint64) int {
	o := Defaults()
	o.Seed = seed
	o.InitialDelay = time.Duration(seed%2) * 3 * time.Second
	w := &world{
		stage: newStage(t, o), r: rand.New(rand.NewPCG(seed, 2)),
		asked: map[Token]*asked{}, leaders: map[int32]string{}, acked: -1, seen: -1,
	}
	defer func() {
		if t.Failed() {
			t.Logf("seed %d", seed)
		}
	}()
	for i := range 5 {
		p := &person{name: fmt.Sprintf("m%d", i), version: []int16{2, 5, 9}[w.r.IntN(3)]}
		if i < 2 && p.version >= 5 {
			p.instance = kmsg.StringPtr(fmt.Sprintf("i%d", i))
		}
		w.people = append(w.people, p)
	}
	for range 600 {
		w.turn()
		w.take()
		w.check()
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	w.disk(len(w.onWay), protocol.None)
	w.pass(20 * time.Minute) // everybody is silent: all requests come to an end
	w.disk(len(w.onWay), protocol.None)
	w.check()
	for tok, a := range w.asked {
		t.Fatalf("seed %d: token %d (%s of %s) was never answered", seed, tok, a.kind, a.p.name)
	}
	return w.synced
}

func (w *world) turn() {
	p := w.people[w.r.IntN(len(w.people))]
	switch n := w.r.IntN(100); {
	case n < 55:
		w.next(p)
	case n < 63:
		w.send(p, "commit")
	case n < 66:
		w.send(p, "leave")
	case n < 68:
		p.gone = !p.gone // a process that hangs, and comes back
	case n < 69:
		p.id, p.joined, p.stable = "", false, false // a process that starts anew
	case n < 71:
		w.join(p) // sent again, on another connection
	case n < 85:
		w.disk(w.r.IntN(len(w.onWay)+1), protocol.None)
	case n < 86:
		w.disk(len(w.onWay), protocol.KafkaStorageError)
	case n < 87:
		w.kill()
	case n < 98:
		w.pass(time.Duration(w.r.IntN(1500)) * time.Millisecond)
	default:
		w.pass(time.Duration(w.r.IntN(12)) * time.Second)
	}
	w.read()
}

// next is what a well-behaved client does.
func (w *world) next(p *person) {
	switch {
	case p.gone || p.waits > 0:
	case p.stable:
		w.send(p, "beat")
	case p.joined:
		w.sync(p)
	default:
		w.join(p)
	}
}

func (w *world) token(p *person, kind string) (Token, *asked) {
	w.tok++
	a := &asked{p: p, kind: kind, id: p.id, gen: p.gen}
	w.asked[w.tok] = a
	p.waits++
	return w.tok, a
}

func (w *world) join(p *person) {
	r := kmsg.NewPtrJoinGroupRequest()
	r.Version, r.Group, r.MemberID, r.InstanceID = p.version, "g", p.id, p.instance
	r.ProtocolType, r.SessionTimeoutMillis = "consumer", 10_000
	r.RebalanceTimeoutMillis = 20_000
	name := fmt.Sprintf("p%d", w.r.IntN(2))
	r.Protocols = []kmsg.JoinGroupRequestProtocol{
		{Name: name, Metadata: subscribe("t")}, {Name: "common", Metadata: subscribe("t")},
	}
	p.stable, p.joined = false, false
	tok, _ := w.token(p, "join")
	w.c.Join(w.now, tok, Client{p.name, "/127.0.0.1"}, r, &w.out)
}

func (w *world) sync(p *person) {
	r := kmsg.NewPtrSyncGroupRequest()
	r.Version, r.Group, r.MemberID, r.InstanceID = 3, "g", p.id, p.instance
	r.Generation = p.gen
	for _, id := range p.leads {
		r.GroupAssignment = append(r.GroupAssignment, kmsg.SyncGroupRequestGroupAssignment{
			MemberID: id, MemberAssignment: fmt.Appendf(nil, "%d/%s", p.gen, id),
		})
	}
	tok, _ := w.token(p, "sync")
	w.c.Sync(w.now, tok, r, &w.out)
}

func (w *world) send(p *person, kind string) {
	if p.gone || !p.stable {
		return
	}
	tok, a := w.token(p, kind)
	switch kind {
	case "beat":
		r := kmsg.NewPtrHeartbeatRequest()
		r.Version, r.Group, r.MemberID, r.InstanceID = 3, "g", p.id, p.instance
		r.Generation = p.gen
		w.c.Heartbeat(w.now, tok, r, &w.out)
	case "commit":
		w.last++
		a.offset = w.last
		r := kmsg.NewPtrOffsetCommitRequest()
		r.Version, r.Group, r.MemberID, r.InstanceID = 8, "g", p.id, p.instance
		r.Generation = p.gen
		part := kmsg.NewOffsetCommitRequestTopicPartition()
		part.Offset = w.last
		r.Topics = []kmsg.OffsetCommitRequestTopic{{Topic: "t",
			Partitions: []kmsg.OffsetCommitRequestTopicPartition{part}}}
		w.c.Commit(w.now, tok, r, &w.out)
	case "leave":
		p.stable = false
		r := kmsg.NewPtrLeaveGroupRequest()
		r.Version, r.Group = 3, "g"
		r.Members = []kmsg.LeaveGroupRequestMember{{MemberID: p.id, InstanceID: p.instance}}
		w.c.Leave(w.now, tok, r, &w.out)
	}
}

// take hands out the replies and takes the batches.
func (w *world) take() {
	out := w.out
	w.out = Effects{}
	w.onWay = append(w.onWay, out.Appends...)
	for _, r := range out.Replies {
		a := w.asked[r.Token]
		if a == nil {
			w.t.Fatalf("token %d was answered twice", r.Token)
		}
		delete(w.asked, r.Token)
		a.p.waits--
		w.answered(a, r.Response)
	}
}

func (w *world) answered(a *asked, resp kmsg.Response) {
	p := a.p
	var code protocol.Code
	switch x := resp.(type) {
	case *kmsg.JoinGroupResponse:
		code = protocol.Code(x.ErrorCode)
		switch code {
		case protocol.MemberIdRequired:
			p.id = x.MemberID
		case protocol.None:
			w.joined(p, x)
		}
	case *kmsg.SyncGroupResponse:
		code = protocol.Code(x.ErrorCode)
		if code == protocol.None {
			w.synced++
			// A static member may get what was meant for its old self.
			got := string(x.MemberAssignment)
			want := fmt.Sprintf("%d/%s", a.gen, a.id)
			if got != want && (p.instance == nil ||
				got != "" && !strings.HasPrefix(got, fmt.Sprintf("%d/%s-", a.gen, *p.instance))) {
				w.t.Fatalf("%s synced for %s and got %q", p.name, want, got)
			}
			p.stable = p.gen == a.gen
		}
	case *kmsg.HeartbeatResponse:
		code = protocol.Code(x.ErrorCode)
	case *kmsg.LeaveGroupResponse:
		code = protocol.UnknownMemberId
	case *kmsg.OffsetCommitResponse:
		code = protocol.Code(x.Topics[0].Partitions[0].ErrorCode)
		if code == protocol.None {
			w.acked = max(w.acked, a.offset)
			w.read()
		}
	}
	switch code {
	case protocol.UnknownMemberId, protocol.FencedInstanceId:
		p.id, p.stable, p.joined = "", false, false
	case protocol.IllegalGeneration, protocol.RebalanceInProgress, protocol.NotCoordinator:
		p.stable, p.joined = false, false
	}
}

func (w *world) joined(p *person, x *kmsg.JoinGroupResponse) {
	p.id, p.gen, p.joined, p.leads = x.MemberID, x.Generation, true, nil
	// One leader in a generation; its static self may have been renamed. A kill may undo a
	// generation that nobody was given anything in.
	for _, m := range x.Members {
		p.leads = append(p.leads, m.MemberID)
	}
	if x.LeaderID == x.MemberID && p.instance == nil {
		key := x.Generation<<8 | int32(w.life)
		if other := w.leaders[key]; other != "" && other != x.MemberID {
			w.t.Fatalf("generation %d has the leaders %s and %s", x.Generation, other, x.MemberID)
		}
		w.leaders[key] = x.MemberID
	}
}

// disk decides the first n batches on their way, in order.
func (w *world) disk(n int, code protocol.Code) {
	for range n {
		a := w.onWay[0]
		w.onWay = w.onWay[1:]
		if code == protocol.None {
			w.log = append(w.log, a.Records...)
		}
		w.c.Appended(w.now, a.Ticket, code, &w.out)
		w.take()
	}
}

// kill loses what is not durable, and the requests; some of the batches on their way are
// durable all the same.
func (w *world) kill() {
	for _, a := range w.onWay[:w.r.IntN(len(w.onWay)+1)] {
		w.log = append(w.log, a.Records...)
	}
	w.onWay = nil
	for _, a := range w.asked {
		a.p.waits--
	}
	w.asked = map[Token]*asked{}
	for _, p := range w.people {
		p.joined = false // its sync would wait for nothing
	}
	w.life++
	if w.r.IntN(2) == 0 {
		w.log = compacted(w.log)
	}
	w.o.Seed++
	w.start()
}

func (w *world) pass(d time.Duration) {
	end := w.now.Mono.Add(d)
	for w.c.Next() <= end {
		w.to(max(w.c.Next(), w.now.Mono))
		w.c.Expire(w.now, &w.out)
		w.take()
	}
	w.to(end)
}

// read looks at the offset as a consumer would: it does not go back, and what was
// acknowledged is there.
func (w *world) read() {
	ask := kmsg.NewOffsetFetchRequestGroup()
	ask.Group = "g"
	ask.Topics = []kmsg.OffsetFetchRequestGroupTopic{{Topic: "t", Partitions: []int32{0}}}
	got := w.c.FetchOffsets(9, &ask)
	at := got.Topics[0].Partitions[0].Offset
	if at < w.seen || at < w.acked {
		w.t.Fatalf("offset %d was read, after %d, with %d acknowledged", at, w.seen, w.acked)
	}
	w.seen = at
}
