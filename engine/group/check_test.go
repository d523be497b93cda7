package group

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// offsets is all that OffsetFetch tells of a group; by name and by id must agree.
func (s *stage) offsets(group string) string {
	ask := kmsg.NewOffsetFetchRequestGroup()
	ask.Group = group
	got := s.c.FetchOffsets(9, &ask)
	if got.ErrorCode != 0 {
		return name(got.ErrorCode)
	}
	var all []string
	for _, t := range got.Topics {
		for _, p := range t.Partitions {
			all = append(all, fmt.Sprintf("%s-%d@%d", t.Topic, p.Partition, p.Offset))
			one := kmsg.NewOffsetFetchRequestGroup()
			one.Group = group
			one.Topics = []kmsg.OffsetFetchRequestGroupTopic{{TopicID: s.topics[t.Topic].id,
				Partitions: []int32{p.Partition}}}
			byID := s.c.FetchOffsets(10, &one)
			if q := byID.Topics[0].Partitions[0]; s.topics[t.Topic].partitions > 0 &&
				(q.Offset != p.Offset || q.ErrorCode != 0) {
				s.t.Errorf("by id: %+v, by name: %+v", q, p)
			}
		}
	}
	return strings.Join(all, " ")
}

// check asserts the invariants over everything the coordinator holds.
func (s *stage) check() {
	stored := 0
	for i, t := range s.c.timers.heap {
		if t.slot != i+1 || t.at > t.due || i > 0 && s.c.timers.heap[(i+1)/2-1].at > t.at {
			s.t.Fatal("the timers are in disorder")
		}
	}
	for _, p := range s.c.order {
		if len(p.groups) != len(p.list) {
			s.t.Fatal("groups are lost")
		}
		for i, g := range p.list {
			if g.index != i || p.groups[g.name] != g || g.dead {
				s.t.Fatal("a group is not where it belongs")
			}
			stored += g.check1(s.t)
		}
	}
	if stored != s.c.offsets && len(s.c.batches) == 0 { // deleted groups count to the end
		s.t.Fatalf("%d offsets counted, %d there", s.c.offsets, stored)
	}
}

func (g *group) check1(t *testing.T) (stored int) {
	n, awaiting, owing, static := 0, 0, 0, 0
	supported := map[string]int{}
	for m := g.first; m != nil; m = m.next {
		n++
		if g.members[m.id] != m || m.next == nil && g.last != m {
			t.Fatal("a member is not where it belongs")
		}
		if m.join.on {
			awaiting++
		}
		if m.owesSync {
			owing++
		}
		if m.instance != nil {
			static++
			if g.static[*m.instance] != m {
				t.Fatal("a static member is not where it belongs")
			}
		}
		for _, p := range m.protocols {
			supported[p.name]++
		}
		if m.timer.slot == 0 && !m.join.on && !m.sync.on {
			t.Fatalf("member %s lives for ever", m.id)
		}
		if m.sync.on && g.state != CompletingRebalance {
			t.Fatalf("a sync waits in %v", g.state)
		}
	}
	if n != len(g.members) || awaiting != g.awaiting || owing != g.owing ||
		static != len(g.static) || fmt.Sprint(supported) != fmt.Sprint(g.supported) {
		t.Fatalf("counts: %d/%d %d/%d %d/%d %v/%v", n, len(g.members), awaiting, g.awaiting,
			owing, g.owing, supported, g.supported)
	}
	if (g.state == CompletingRebalance || g.state == Stable) != (g.protocol != nil) &&
		g.state != PreparingRebalance || g.state == Empty && n > 0 ||
		n > 0 && g.members[g.leader] == nil {
		t.Fatalf("%v with %d members, leader %q", g.state, n, g.leader)
	}
	for _, slots := range g.offsets {
		for _, s := range slots {
			if s.stored {
				stored++
			} else if s.inFlight == 0 {
				t.Fatal("an empty slot is kept")
			}
		}
	}
	return stored
}

// compacted keeps the last record of each key.
func compacted(log []Record) []Record {
	var kept []Record
	for i, r := range log {
		later := slices.ContainsFunc(log[i+1:], func(o Record) bool { return bytes.Equal(o.Key, r.Key) })
		if !later {
			kept = append(kept, r)
		}
	}
	return kept
}
