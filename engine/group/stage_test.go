package group

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/internal/clock"
	"millrace/protocol"
)

// args are the key=value words of a command.
type args map[string]string

func (a args) number(name string, or int) int {
	if n, err := strconv.Atoi(a[name]); err == nil {
		return n
	}
	return or
}

func (a args) or(name, or string) string {
	if v, ok := a[name]; ok {
		return v
	}
	return or
}

func (s *stage) ask(what string) Token {
	s.tok++
	s.names[s.tok] = what
	return s.tok
}

// id is the member id that a command means: of the story's person, or "-" for none.
func (s *stage) id(a args, who string) string {
	if v, ok := a["id"]; ok {
		if v == "-" {
			return ""
		}
		for id, alias := range s.who {
			if alias == v {
				return id
			}
		}
		return v
	}
	return s.ids[who]
}

func (s *stage) run(line string) {
	words := strings.Fields(line)
	a := args{}
	var plain []string
	for _, w := range words {
		if k, v, ok := strings.Cut(w, "="); ok && !strings.Contains(k, ":") {
			a[k] = v
		} else {
			plain = append(plain, w)
		}
	}
	plain = append(plain, "", "", "")
	who := plain[1]
	switch plain[0] {
	case "set":
		s.set(a)
	case "join":
		s.join(who, a)
	case "sync":
		s.sync(who, a)
	case "beat":
		r := kmsg.NewPtrHeartbeatRequest()
		r.Version = 4
		r.Group, r.MemberID = a.or("group", "g"), s.id(a, who)
		r.Generation = int32(a.number("generation", int(s.gen[who])))
		r.InstanceID = instance(a)
		s.c.Heartbeat(s.now, s.ask(who+" beat"), r, &s.out)
	case "leave":
		s.leave(who, a)
	case "commit":
		s.commit(who, a)
	case "tick":
		d, err := time.ParseDuration(who)
		if err != nil {
			s.t.Fatal(err)
		}
		s.tick(d)
	case "live": // beats for a long time
		d, _ := time.ParseDuration(plain[2])
		step := min(d/10, 10*time.Minute)
		for range int(d / step) {
			s.run("tick " + step.String())
			n := len(s.lines)
			s.run("beat " + who)
			if len(s.lines) != n+1 || strings.HasSuffix(s.lines[n], "UNKNOWN_MEMBER_ID") {
				s.t.Fatal("it does not live:", s.lines[n:])
			}
			s.lines = s.lines[:n]
		}
	case "hold":
		s.hold = true
	case "durable":
		s.hold = false
		s.finish(protocol.None)
	case "fail":
		s.hold = false
		s.finish(protocol.KafkaStorageError)
	case "restart":
		s.restart()
	default:
		s.look(plain[0], who, a)
	}
	s.settle()
	s.check()
}

func (s *stage) set(a args) {
	for name, v := range a {
		switch name {
		case "max":
			s.c.o.MaxSize = a.number(name, 0)
		case "initial":
			s.c.o.InitialDelay, _ = time.ParseDuration(v)
		case "topic":
			s.topics[v] = topicRow{protocol.TopicID{byte(a.number("new", 9))}, 4}
		case "notopic":
			delete(s.topics, v)
			s.c.TopicsDeleted(s.now, []string{v}, &s.out)
		}
	}
	s.o = s.c.o
}

// tick lets time go by, timer by timer.
func (s *stage) tick(d time.Duration) {
	end := s.now.Mono.Add(d)
	for s.c.Next() <= end {
		s.to(max(s.c.Next(), s.now.Mono))
		s.c.Expire(s.now, &s.out)
		s.settle()
	}
	s.to(end)
}

func (s *stage) to(at clock.Instant) {
	s.now.Wall += int64(at/1e6) - int64(s.now.Mono/1e6)
	s.now.Mono = at
}

func (s *stage) restart() {
	for _, tok := range sortedTokens(s.names) {
		s.say("%s: lost", s.names[tok])
	}
	s.names, s.onWay, s.hold = map[Token]string{}, nil, false
	s.start()
}

func sortedTokens(m map[Token]string) []Token {
	return slices.Sorted(maps.Keys(m))
}

func instance(a args) *string {
	if v, ok := a["instance"]; ok {
		return &v
	}
	return nil
}

func (s *stage) join(who string, a args) {
	r := kmsg.NewPtrJoinGroupRequest()
	r.Version = int16(a.number("v", 9))
	r.Group = a.or("group", "g")
	r.MemberID, r.InstanceID = s.id(a, who), instance(a)
	r.SessionTimeoutMillis = int32(a.number("session", 10_000))
	r.RebalanceTimeoutMillis = int32(a.number("rebalance", 60_000))
	r.ProtocolType = a.or("type", "consumer")
	for _, name := range strings.Split(a.or("protocols", "range"), ",") {
		p := kmsg.NewJoinGroupRequestProtocol()
		p.Name, p.Metadata = name, subscribe(a.or("topics", "t"))
		if raw, ok := a["raw"]; ok {
			p.Metadata = []byte(raw)
		}
		r.Protocols = append(r.Protocols, p)
	}
	s.c.Join(s.now, s.ask(who+" join"), Client{who, "/127.0.0.1"}, r, &s.out)
}

// sync takes the leader's assignment as assign=a:x,b:y for people.
func (s *stage) sync(who string, a args) {
	r := kmsg.NewPtrSyncGroupRequest()
	r.Version = int16(a.number("v", 5))
	r.Group, r.MemberID, r.InstanceID = a.or("group", "g"), s.id(a, who), instance(a)
	r.Generation = int32(a.number("generation", int(s.gen[who])))
	if v, ok := a["protocol"]; ok || s.chosen[who] != "" {
		kind, name, _ := strings.Cut(s.chosen[who], "/")
		if ok {
			name = v
		}
		r.ProtocolType, r.Protocol = &kind, &name
	}
	if given := a["assign"]; given != "" {
		for _, one := range strings.Split(given, ",") {
			whom, what, _ := strings.Cut(one, ":")
			g := kmsg.NewSyncGroupRequestGroupAssignment()
			g.MemberID, g.MemberAssignment = s.ids[whom], []byte(what)
			r.GroupAssignment = append(r.GroupAssignment, g)
		}
	}
	s.c.Sync(s.now, s.ask(who+" sync"), r, &s.out)
}

func (s *stage) leave(who string, a args) {
	r := kmsg.NewPtrLeaveGroupRequest()
	r.Version = int16(a.number("v", 5))
	r.Group, r.MemberID = a.or("group", "g"), s.id(a, who)
	for _, one := range strings.Split(a.or("who", who), ",") {
		m := kmsg.NewLeaveGroupRequestMember()
		m.MemberID = s.id(a, one)
		m.InstanceID = instance(a)
		r.Members = append(r.Members, m)
	}
	s.c.Leave(s.now, s.ask(who+" leave"), r, &s.out)
}

// commit takes at=t-0:7,u-1:3.
func (s *stage) commit(who string, a args) {
	r := kmsg.NewPtrOffsetCommitRequest()
	r.Version = int16(a.number("v", 9))
	r.Group, r.MemberID, r.InstanceID = a.or("group", "g"), s.id(a, who), instance(a)
	r.Generation = -1
	if r.MemberID != "" {
		r.Generation = s.gen[who]
	}
	r.Generation = int32(a.number("generation", int(r.Generation)))
	r.RetentionTimeMillis = int64(a.number("retention", -1))
	for _, one := range strings.Split(a["at"], ",") {
		var n int32
		var offset int64
		topic, rest, _ := strings.Cut(one, "-")
		fmt.Sscanf(rest, "%d:%d", &n, &offset)
		t := kmsg.NewOffsetCommitRequestTopic()
		t.Topic, t.TopicID = topic, s.topics[topic].id
		p := kmsg.NewOffsetCommitRequestTopicPartition()
		p.Partition, p.Offset = n, offset
		if size := a.number("metadata", -1); size >= 0 {
			p.Metadata = kmsg.StringPtr(strings.Repeat("é", size))
		}
		t.Partitions = append(t.Partitions, p)
		r.Topics = append(r.Topics, t)
	}
	s.c.Commit(s.now, s.ask(strings.TrimSpace(who+" commit")), r, &s.out)
}

func (s *stage) look(what, who string, a args) {
	switch what {
	case "offsets":
		s.say("offsets of %s: %s", a.or("group", "g"), s.offsets(a.or("group", "g")))
	case "describe":
		d := s.c.Describe(6, a.or("group", "g"))
		line := fmt.Sprintf("%s: %v %s %s/%s", d.Group, name(d.ErrorCode), d.State,
			d.ProtocolType, d.Protocol)
		for _, m := range d.Members {
			line += fmt.Sprintf(" %s/%s(%s %s)=%s", s.alias(m.MemberID), str(m.InstanceID),
				m.ClientHost, topicsOf(m.ProtocolMetadata), m.MemberAssignment)
		}
		s.say("%s", line)
	case "list":
		var states, types []string
		if a["states"] != "" {
			states = strings.Split(a["states"], ",")
		}
		if a["types"] != "" {
			types = strings.Split(a["types"], ",")
		}
		list, code := s.c.List(states, types, nil)
		line := "list: " + code.String()
		for _, l := range list {
			line += fmt.Sprintf(" %s(%s %s %s)", l.Group, l.ProtocolType, l.GroupState, l.GroupType)
		}
		s.say("%s", line)
	case "delete":
		s.c.Delete(s.now, s.ask("delete"), a.or("group", "g"), 2, &s.out)
	case "forget": // OffsetDelete of the named partitions
		r := kmsg.NewPtrOffsetDeleteRequest()
		r.Group = a.or("group", "g")
		for _, one := range strings.Split(a["at"], ",") {
			topic, n, _ := strings.Cut(one, "-")
			number, _ := strconv.Atoi(n)
			r.Topics = append(r.Topics, kmsg.OffsetDeleteRequestTopic{Topic: topic,
				Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{Partition: int32(number)}}})
		}
		s.c.DeleteOffsets(s.now, s.ask("forget"), r, &s.out)
	default:
		s.t.Fatalf("what is %q?", what)
	}
}
