package group

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/internal/clock"
	"millrace/protocol"
)

var rewrite = flag.Bool("rewrite", false, "write the stories' answers anew")

// TestStories runs testdata/*.txt: blocks of a comment, commands, "----" and what came of
// them. Each file has one coordinator.
func TestStories(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no stories", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			old, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var told []string
			s := newStage(t, Defaults())
			for _, block := range strings.Split(strings.TrimSpace(string(old)), "\n\n") {
				script, _, _ := strings.Cut(block, "\n----")
				s.out.Reset()
				for _, line := range strings.Split(script, "\n") {
					if line != "" && line[0] != '#' {
						s.run(line)
					}
				}
				told = append(told, strings.Join(append([]string{script, "----"}, s.lines...), "\n"))
				s.lines = nil
			}
			got := strings.Join(told, "\n\n") + "\n"
			if *rewrite {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if got != string(old) {
				t.Errorf("the story went another way:\n%s", difference(string(old), got))
			}
		})
	}
}

func difference(old, got string) string {
	a, b := strings.Split(old, "\n"), strings.Split(got, "\n")
	for i := 0; i < len(a) && i < len(b); i++ {
		if a[i] != b[i] {
			from := max(i-8, 0)
			return strings.Join(b[from:i], "\n") + "\n- " + a[i] + "\n+ " + b[i]
		}
	}
	return fmt.Sprintf("%d lines, now %d", len(a), len(b))
}

// stage is a coordinator, its log and the people of a story.
type stage struct {
	t      *testing.T
	o      Options
	c      *Coordinator
	now    clock.Now
	out    Effects
	topics topicTable
	log    []Record // durable, of all partitions: replay in order
	onWay  []Append
	tok    Token
	names  map[Token]string  // token → what was asked
	ids    map[string]string // who → member id
	who    map[string]string // member id → alias
	gen    map[string]int32  // who → generation
	chosen map[string]string // who → type and protocol of the generation
	lines  []string
	hold   bool // batches stay on their way until "durable"
}

type topicTable map[string]topicRow

type topicRow struct {
	id         protocol.TopicID
	partitions int32
}

func (t topicTable) ByName(name string) (protocol.TopicID, int32, bool) {
	r, ok := t[name]
	return r.id, r.partitions, ok
}

func (t topicTable) ByID(id protocol.TopicID) (string, int32, bool) {
	for name, r := range t {
		if r.id == id {
			return name, r.partitions, true
		}
	}
	return "", 0, false
}

func newStage(t *testing.T, o Options) *stage {
	s := &stage{
		t: t, o: o,
		now:    clock.Now{Mono: clock.Instant(time.Hour), Wall: 1_000_000},
		topics: topicTable{"t": {protocol.TopicID{1}, 4}, "u": {protocol.TopicID{2}, 4}},
		names:  map[Token]string{}, ids: map[string]string{}, who: map[string]string{},
		gen: map[string]int32{}, chosen: map[string]string{},
	}
	s.o.Topics = s.topics
	s.start()
	return s
}

func (s *stage) start() {
	s.c = New(s.o)
	for p := range int32(s.o.Partitions) {
		s.c.Loading(p)
	}
	for _, r := range s.log {
		s.c.Load(PartitionFor(recordGroup(s.t, r), s.o.Partitions), r.Key, r.Value)
	}
	for p := range int32(s.o.Partitions) {
		s.c.LoadDone(s.now, p, &s.out)
	}
	s.settle()
}

func recordGroup(t *testing.T, r Record) string {
	var o kmsg.OffsetCommitKey
	var g kmsg.GroupMetadataKey
	if o.ReadFrom(r.Key) == nil && o.Version < groupKeyVersion {
		return o.Group
	}
	if err := g.ReadFrom(r.Key); err != nil || g.Version != groupKeyVersion {
		t.Fatalf("key %x: %v", r.Key, err)
	}
	return g.Group
}

func (s *stage) say(format string, args ...any) {
	s.lines = append(s.lines, fmt.Sprintf(format, args...))
}

// settle tells the replies and takes the batches on their way.
func (s *stage) settle() {
	for len(s.out.Replies)+len(s.out.Appends) > 0 {
		out := s.out
		s.out = Effects{}
		for _, r := range out.Replies {
			s.told(r)
		}
		s.onWay = append(s.onWay, out.Appends...)
		if !s.hold {
			s.finish(protocol.None)
		}
	}
}

func (s *stage) finish(code protocol.Code) {
	way := s.onWay
	s.onWay = nil
	for _, a := range way {
		if code == protocol.None {
			s.log = append(s.log, a.Records...)
			for _, r := range a.Records {
				s.say("stored %s", s.record(r))
			}
		}
		s.c.Appended(s.now, a.Ticket, code, &s.out)
	}
}

func (s *stage) record(r Record) string {
	var ok kmsg.OffsetCommitKey
	if ok.ReadFrom(r.Key) == nil && ok.Version < groupKeyVersion {
		at := fmt.Sprintf("%s %s-%d", ok.Group, ok.Topic, ok.Partition)
		if r.Value == nil {
			return at + " deleted"
		}
		var v kmsg.OffsetCommitValue
		if err := v.ReadFrom(r.Value); err != nil {
			s.t.Fatal(err)
		}
		return fmt.Sprintf("%s @%d v%d", at, v.Offset, v.Version)
	}
	var k kmsg.GroupMetadataKey
	if err := k.ReadFrom(r.Key); err != nil {
		s.t.Fatal(err)
	}
	if r.Value == nil {
		return k.Group + " deleted"
	}
	var v kmsg.GroupMetadataValue
	if err := v.ReadFrom(r.Value); err != nil {
		s.t.Fatal(err)
	}
	var members []string
	for _, m := range v.Members {
		members = append(members, fmt.Sprintf("%s=%s", s.alias(m.MemberID), m.Assignment))
	}
	return fmt.Sprintf("%s generation=%d members=%v", k.Group, v.Generation, members)
}

// alias is how a story calls a member id: its client's name, and which of its ids it is.
func (s *stage) alias(id string) string {
	if id == "" || s.who[id] != "" {
		return s.who[id]
	}
	name := id[:max(len(id)-37, 0)]
	n := 1
	for _, a := range s.who {
		if strings.HasPrefix(a, name+"#") {
			n++
		}
	}
	s.who[id] = fmt.Sprintf("%s#%d", name, n)
	return s.who[id]
}

func name(code int16) string { return protocol.Code(code).String() }

// typeOf is the answer's protocol type; versions before 7 do not say it.
func typeOf(x *kmsg.JoinGroupResponse) string {
	if x.ProtocolType == nil {
		return "consumer"
	}
	return *x.ProtocolType
}

// str is what p points to; "-" is nil.
func str(p *string) string {
	if p == nil {
		return "-"
	}
	return *p
}

func (s *stage) told(r Reply) {
	what := s.names[r.Token]
	if what == "" {
		s.t.Fatalf("token %d answered twice, or never asked", r.Token)
	}
	delete(s.names, r.Token)
	who := strings.Fields(what)[0]
	switch x := r.Response.(type) {
	case *kmsg.JoinGroupResponse:
		line := fmt.Sprintf("%s: %v", what, name(x.ErrorCode))
		switch protocol.Code(x.ErrorCode) {
		case protocol.None, protocol.MemberIdRequired:
			s.ids[who] = x.MemberID
			line += " as " + s.alias(x.MemberID)
		case protocol.UnknownMemberId:
			delete(s.ids, who)
		}
		if x.ErrorCode == 0 {
			s.gen[who] = x.Generation
			s.chosen[who] = typeOf(x) + "/" + str(x.Protocol)
			line += fmt.Sprintf(" generation=%d leader=%s %s/%s", x.Generation,
				s.alias(x.LeaderID), str(x.ProtocolType), str(x.Protocol))
			if x.SkipAssignment {
				line += " skip"
			}
			for _, m := range x.Members {
				line += fmt.Sprintf(" %s(%s)", s.alias(m.MemberID), topicsOf(m.ProtocolMetadata))
			}
		}
		s.say("%s", line)
	case *kmsg.SyncGroupResponse:
		s.say("%s: %v %s", what, name(x.ErrorCode), x.MemberAssignment)
	case *kmsg.HeartbeatResponse:
		s.say("%s: %v", what, name(x.ErrorCode))
	case *kmsg.LeaveGroupResponse:
		line := fmt.Sprintf("%s: %v", what, name(x.ErrorCode))
		for _, m := range x.Members {
			line += fmt.Sprintf(" %s/%s=%v", s.alias(m.MemberID), str(m.InstanceID),
				name(m.ErrorCode))
		}
		s.say("%s", line)
	case *kmsg.OffsetCommitResponse:
		line := what + ":"
		for _, t := range x.Topics {
			for _, p := range t.Partitions {
				line += fmt.Sprintf(" %s-%d=%v", t.Topic, p.Partition, name(p.ErrorCode))
			}
		}
		s.say("%s", line)
	case *kmsg.DeleteGroupsResponse:
		s.say("%s: %v", what, name(x.Groups[0].ErrorCode))
	case *kmsg.OffsetDeleteResponse:
		line := fmt.Sprintf("%s: %v", what, name(x.ErrorCode))
		for _, t := range x.Topics {
			for _, p := range t.Partitions {
				line += fmt.Sprintf(" %s-%d=%v", t.Topic, p.Partition, name(p.ErrorCode))
			}
		}
		s.say("%s", line)
	default:
		s.t.Fatalf("reply %T", r.Response)
	}
	if size := len(r.Response.AppendTo(nil)); size == 0 && r.Response.GetVersion() > 0 {
		s.t.Fatal("a reply without bytes")
	}
}

// subscribe makes a consumer's subscription to topics, "+"-separated.
func subscribe(topics string) []byte {
	m := kmsg.NewConsumerMemberMetadata()
	m.Version = 1
	if topics != "" {
		m.Topics = strings.Split(topics, "+")
	}
	return m.AppendTo(nil)
}

func topicsOf(b []byte) string {
	topics := map[string]bool{}
	if !subscription(b, topics) {
		return string(b)
	}
	return strings.Join(sortedKeys(topics), "+")
}
