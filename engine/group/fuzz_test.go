package group

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// FuzzLoad: whatever lies in __consumer_offsets, loading neither panics nor leaves a
// coordinator that does.
func FuzzLoad(f *testing.F) {
	o := offsetRecord("g", "t", 1, &commit{offset: 5, deadline: -1, metadata: "m"})
	f.Add(o.Key, o.Value, true)
	f.Add(o.Key, []byte(nil), false)
	name := "range"
	v := kmsg.GroupMetadataValue{Version: 3, ProtocolType: "consumer", Generation: 2,
		Protocol: &name, Members: []kmsg.GroupMetadataValueMember{
			{MemberID: "a", InstanceID: &name, Subscription: subscribe("t")}, {MemberID: "b"}}}
	f.Add(groupKey("g"), v.AppendTo(nil), true)
	f.Add(groupKey("g"), []byte(nil), false)
	v.Members = nil // what nobody writes: a protocol without members
	f.Add(groupKey("g"), v.AppendTo(nil), false)
	f.Fuzz(func(t *testing.T, key, value []byte, twice bool) {
		if len(value) == 0 {
			value = nil
		}
		s := newStage(t, Defaults())
		p := PartitionFor("g", 50)
		s.c.Unload(s.now, p, &s.out)
		s.c.Loading(p)
		s.c.Load(p, key, value)
		if twice {
			s.c.Load(p, key, value)
			s.c.Load(p, o.Key, o.Value)
		}
		s.c.LoadDone(s.now, p, &s.out)
		s.settle()
		s.check()
		for _, line := range []string{
			"describe", "offsets", "list", "join x v=3", "commit at=t-0:1", "tick 3h",
		} {
			s.run(line)
		}
	})
}

// FuzzSubscription: metadata of members is what they like.
func FuzzSubscription(f *testing.F) {
	f.Add(subscribe("t+u"))
	f.Add([]byte{0, 0, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		topics := map[string]bool{}
		if subscription(b, topics) {
			var m kmsg.ConsumerMemberMetadata
			_ = m.ReadFrom(b)
		}
		for topic := range topics {
			if len(topic) > len(b) {
				t.Fatal("a topic that is not there")
			}
		}
	})
}
