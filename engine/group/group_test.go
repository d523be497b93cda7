package group

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/internal/clock"
	"millrace/protocol"
)

// The hashes are those of java.lang.String.
func TestPartitionFor(t *testing.T) {
	for group, hash := range map[string]int32{
		"":                   0,
		"hello":              99162322,
		"polygenelubricants": 0, // hashes to Integer.MIN_VALUE, whose abs is 0 in Kafka
		"my-group":           1906497762,
		"ünï":                245821,
		"\U0001F600":         1772899, // two UTF-16 code units
	} {
		if got := PartitionFor(group, 1<<31-1); got != hash {
			t.Errorf("%q: %d, want %d", group, got, hash)
		}
		if got := PartitionFor(group, 50); got != hash%50 {
			t.Errorf("%q: partition %d, want %d", group, got, hash%50)
		}
	}
}

// A coordinator answers for the partitions that it owns and has loaded.
func TestOwnership(t *testing.T) {
	s := newStage(t, Defaults())
	mine := PartitionFor("g", 50)
	s.run("commit at=t-0:1")
	s.run("join a v=3")
	s.c.Unload(s.now, mine, &s.out)
	s.settle()
	s.run("join b")
	s.run("sync a v=4")
	s.run("beat a")
	s.run("leave a")
	s.run("commit at=t-0:1")
	s.run("offsets")
	s.run("describe")
	s.run("delete")
	s.run("forget at=t-0")
	s.run("list")
	s.c.Loading(mine)
	s.run("join b")
	s.run("beat a")
	s.run("commit at=t-0:1")
	s.run("offsets")
	s.run("list")
	want := strings.TrimSpace(`
stored g t-0 @1 v4
commit: t-0=NONE
a join: NOT_COORDINATOR
b join: NOT_COORDINATOR
a sync: NOT_COORDINATOR
a beat: NOT_COORDINATOR
a leave: NOT_COORDINATOR
commit: t-0=NOT_COORDINATOR
offsets of g: NOT_COORDINATOR
g: NOT_COORDINATOR  /
delete: NOT_COORDINATOR
forget: NOT_COORDINATOR
list: NONE
b join: COORDINATOR_LOAD_IN_PROGRESS
a beat: NONE
commit: t-0=COORDINATOR_LOAD_IN_PROGRESS
offsets of g: COORDINATOR_LOAD_IN_PROGRESS
list: COORDINATOR_LOAD_IN_PROGRESS`)
	for i, l := range s.lines {
		s.lines[i] = strings.TrimSpace(l)
	}
	if got := strings.Join(s.lines, "\n"); got != want {
		t.Errorf("got\n%s", got)
	}
	if st := s.c.Stats(); st.Offsets != 0 || st.Pending != 0 {
		t.Errorf("stats %+v", st)
	}
}

// On a full disk every commit is refused: that is told now and then, with how many.
func TestRefusalsAreToldSeldom(t *testing.T) {
	s := newStage(t, Defaults())
	var said bytes.Buffer
	s.c.o.Log = slog.New(slog.NewTextHandler(&said, nil))
	refuse := func() {
		s.run("hold")
		s.run("commit at=t-0:1")
		s.run("fail")
	}
	for range 50 {
		refuse()
	}
	s.tick(tellEvery)
	refuse()
	if n := strings.Count(said.String(), "\n"); n != 2 || !strings.Contains(said.String(), "times=1\n") ||
		!strings.Contains(said.String(), "times=50\n") {
		t.Errorf("51 refused commits are told so:\n%s", said.String())
	}
}

// Records of Kafka's own, of all versions, are read; others are counted.
func TestLoadVersions(t *testing.T) {
	s := newStage(t, Defaults())
	p := PartitionFor("g", 50)
	s.c.Unload(s.now, p, &s.out)
	s.c.Loading(p)
	for v := range int16(5) {
		k := kmsg.OffsetCommitKey{Version: v % 2, Group: "g", Topic: "t", Partition: int32(v)}
		o := kmsg.OffsetCommitValue{Version: v, Offset: 100 + int64(v), LeaderEpoch: 7,
			Metadata: "m", CommitTimestamp: 5, ExpireTimestamp: 6, TopicID: [16]byte{1}}
		s.c.Load(p, k.AppendTo(nil), o.AppendTo(nil))
		gk := kmsg.GroupMetadataKey{Version: 2, Group: "g"}
		protocolName, leader := "range", "a-1"
		gv := kmsg.GroupMetadataValue{Version: v, ProtocolType: "consumer", Generation: int32(v),
			Protocol: &protocolName, Leader: &leader, CurrentStateTimestamp: 9,
			Members: []kmsg.GroupMetadataValueMember{{MemberID: "a-1", ClientID: "a",
				ClientHost: "/h", RebalanceTimeoutMillis: 5000, SessionTimeoutMillis: 10000,
				Subscription: subscribe("t"), Assignment: []byte("x")}}}
		s.c.Load(p, gk.AppendTo(nil), gv.AppendTo(nil))
		g := s.c.partitions[p].groups["g"]
		slot := g.offsets["t"][int32(v)]
		m := g.members["a-1"]
		if slot.offset != 100+int64(v) || slot.at != 5 || slot.metadata != "m" ||
			(slot.epoch == 7) != (v >= 3) || (slot.deadline == 6) != (v == 1) ||
			g.generation != int32(v) || (g.since == 9) != (v >= 2) ||
			(m.rebalance == 5*time.Second) != (v >= 1) || !g.subscribes("t") {
			t.Fatalf("version %d: %+v %+v", v, slot, g)
		}
	}
	s.c.Load(p, []byte{0, 3, 0, 1, 'g'}, []byte("a ConsumerGroupMetadataValue"))
	s.c.Load(p, []byte{0}, nil)
	s.c.Load(p, []byte{0, 1, 0, 9}, nil)
	s.c.Load(p, offsetKey("g", "t", 0), []byte{0, 99, 1, 2, 3})
	s.c.LoadDone(s.now, p, &s.out)
	if st := s.c.Stats(); st.Skipped != 1 || st.Bad != 3 || st.Offsets != 5 || st.Groups[Stable] != 1 {
		t.Errorf("stats %+v", st)
	}
	seen := 0
	s.c.Each(func(group, topic string, n int32, offset, at int64) {
		seen++
		if group != "g" || topic != "t" || offset != 100+int64(n) || at != 5 {
			t.Errorf("%s %s-%d@%d at %d", group, topic, n, offset, at)
		}
	})
	if seen != 5 {
		t.Errorf("%d offsets were visited", seen)
	}
}

// Every version of OffsetFetch gets the same offsets in its own form.
func TestFetchVersions(t *testing.T) {
	s := newStage(t, Defaults())
	s.run("commit at=t-0:5,t-2:6")
	for v := int16(1); v <= 10; v++ {
		for _, all := range []bool{false, v >= 2} {
			req := kmsg.NewPtrOffsetFetchRequest()
			req.Version, req.Group = v, "g"
			if !all {
				req.Topics = []kmsg.OffsetFetchRequestTopic{{Topic: "t", Partitions: []int32{0, 1}}}
			}
			if v >= 8 {
				g := kmsg.NewOffsetFetchRequestGroup()
				g.Group = "g"
				if !all {
					g.Topics = []kmsg.OffsetFetchRequestGroupTopic{{Topic: "t",
						TopicID: s.topics["t"].id, Partitions: []int32{0, 1}}}
				}
				req.Groups, req.Topics, req.Group = append(req.Groups, g), nil, ""
			}
			again := kmsg.NewPtrOffsetFetchRequest()
			again.Version = v
			if err := again.ReadFrom(req.AppendTo(nil)); err != nil {
				t.Fatal(err)
			}
			var groups []kmsg.OffsetFetchResponseGroup
			for _, g := range FetchGroups(again) {
				groups = append(groups, s.c.FetchOffsets(v, &g))
			}
			resp := FetchAnswer(again, groups)
			got := ""
			for _, t := range resp.Topics {
				for _, p := range t.Partitions {
					got += fmt.Sprint(" ", p.Partition, "@", p.Offset, *p.Metadata)
				}
			}
			for _, g := range resp.Groups {
				for _, t := range g.Topics {
					for _, p := range t.Partitions {
						got += fmt.Sprint(" ", p.Partition, "@", p.Offset, *p.Metadata)
					}
				}
			}
			want := " 0@5 1@-1"
			if all {
				want = " 0@5 2@6"
			}
			if got != want {
				t.Errorf("version %d, all=%v: got %q", v, all, got)
			}
		}
	}
	// An error is where the version has it.
	s.c.Unload(s.now, PartitionFor("g", 50), &s.out)
	for v, where := range map[int16]string{1: "partition", 5: "top", 9: "group"} {
		req := kmsg.NewPtrOffsetFetchRequest()
		req.Version, req.Group = v, "g"
		req.Topics = []kmsg.OffsetFetchRequestTopic{{Topic: "t", Partitions: []int32{0}}}
		g := kmsg.NewOffsetFetchRequestGroup()
		g.Group = "g"
		req.Groups = append(req.Groups, g)
		got := s.c.FetchOffsets(v, &FetchGroups(req)[0])
		resp := FetchAnswer(req, []kmsg.OffsetFetchResponseGroup{got})
		code := resp.ErrorCode
		switch where {
		case "partition":
			code = resp.Topics[0].Partitions[0].ErrorCode
		case "group":
			code = resp.Groups[0].ErrorCode
		}
		if protocol.Code(code) != protocol.NotCoordinator {
			t.Errorf("version %d: %+v", v, resp)
		}
	}
}

// A batch that would not fit __consumer_offsets is refused; a large deletion is split.
func TestBatchMax(t *testing.T) {
	o := Defaults()
	o.BatchMax = 400
	s := newStage(t, o)
	s.topics["t"] = topicRow{protocol.TopicID{1}, 100}
	var many []string
	for i := range 30 {
		many = append(many, fmt.Sprintf("t-%d:1", i))
	}
	s.run("commit at=" + strings.Join(many, ","))
	if got := s.lines[0]; !strings.Contains(got, "t-0=UNKNOWN_SERVER_ERROR") || len(s.log) != 0 {
		t.Fatal(got)
	}
	for _, one := range many {
		s.run("commit at=" + one)
	}
	s.run("hold")
	s.run("delete")
	if len(s.onWay) < 3 {
		t.Fatalf("%d batches", len(s.onWay))
	}
	for i, a := range s.onWay {
		group := a.Records[len(a.Records)-1].Key[1] == groupKeyVersion
		if group != (i == len(s.onWay)-1) {
			t.Error("the group's tombstone must be the last")
		}
	}
	s.lines = nil
	s.run("durable")
	if got := s.lines[len(s.lines)-1]; got != "delete: NONE" {
		t.Error(got)
	}
	s.run("commit at=t-99:1")
	s.run("list")
}

// Timers fire at their time, in order, however often they were moved.
func TestTimers(t *testing.T) {
	var h timers
	var fired []string
	now := clock.Instant(0)
	all := map[string]*timer{}
	for _, n := range []string{"a", "b", "c", "d"} {
		all[n] = &timer{fire: func() { fired = append(fired, fmt.Sprint(n, now)) }}
	}
	h.arm(all["a"], 10)
	h.arm(all["b"], 20)
	h.arm(all["c"], 5)
	h.arm(all["d"], 7)
	h.arm(all["c"], 30) // later
	h.arm(all["b"], 8)  // sooner
	h.cancel(all["d"])
	h.cancel(all["d"])
	for ; now < 40; now++ {
		for x := h.pop(now); x != nil; x = h.pop(now) {
			x.fire()
		}
	}
	if got := fmt.Sprint(fired); got != "[b8 a10 c30]" || h.next() != clock.Never {
		t.Error(got)
	}
}

// Ids that are given out are bounded, so that strangers cannot fill the memory.
func TestPendingIsBounded(t *testing.T) {
	s := newStage(t, Defaults())
	for range pendingMax {
		s.join("a", args{"id": "-"})
	}
	s.out.Reset()
	s.run("join a id=-")
	if got := s.lines[0]; got != "a join: COORDINATOR_NOT_AVAILABLE" {
		t.Error(got)
	}
}

// What Kafka 4.3.1 wrote is read, and written again byte for byte.
func TestKafkasRecords(t *testing.T) {
	s := newStage(t, Defaults())
	p := PartitionFor("g", 50)
	s.c.Unload(s.now, p, &s.out)
	s.c.Loading(p)
	member := "00030008636f6e73756d657200000001000572616e6765002769322d66396662343435362d64386531" +
		"2d343261362d616634342d323137396437356163636264000001a1fb9db54700000001002769322d66396662" +
		"343435362d643865312d343261362d616634342d32313739643735616363626400026932000162000a2f3132" +
		"372e302e302e310000ea600000271000000011000100000001000174ffffffff0000000000000003616c6c"
	for _, kafka := range []string{
		"0003000000000000ffffffff000001a1fb9e96f100000000",
		"00030008636f6e73756d657200000002ffffffff000001a1fb9e231700000000",
		member,
	} {
		value, err := hex.DecodeString(kafka)
		if err != nil {
			t.Fatal(err)
		}
		s.c.Load(p, groupKey("g"), value)
		g := s.c.partitions[p].groups["g"]
		got := g.record(nil)
		if g.protocolType == "" {
			got = g.emptyRecord()
		}
		if hex.EncodeToString(got.Value) != kafka {
			t.Errorf("group: got  %x\nwant %s", got.Value, kafka)
		}
	}
	for _, kafka := range []string{
		"00040000000000000001ffffffff01000001a1fb9ec3e80100108ce9cfd5a41f448b8bf86a9f502862c3",
		"000100000000000000030000000001a1fb9ed2a4000001a1fba05944",
	} {
		value, _ := hex.DecodeString(kafka)
		s.c.Load(p, offsetKey("g", "t", 1), value)
		slot := s.c.partitions[p].groups["g"].offsets["t"][1]
		if got := offsetRecord("g", "t", 1, &slot.commit); hex.EncodeToString(got.Value) != kafka {
			t.Errorf("offset: got  %x\nwant %s", got.Value, kafka)
		}
	}
	if st := s.c.Stats(); st.Bad != 0 {
		t.Errorf("stats %+v", st)
	}
}
