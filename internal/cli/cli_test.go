package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func run(args ...string) (code int, out, errs string) {
	var o, e bytes.Buffer
	root := Noun("millrace", "test", Commands()...)
	code = Run(context.Background(), root, args, strings.NewReader(""), &o, &e)
	return code, o.String(), e.String()
}

// Every line is wrong use: exit code 2, the reason and the way to help on stderr,
// nothing on stdout but help.
func TestWrongUse(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"topicc", `did you mean topic?`},
		{"topic lst", `did you mean list?`},
		{"topic create", "requires at least 1 arg"},
		{"topic create a --bogus", "unknown flag: --bogus"},
		{"topic create a -c novalue", `"novalue": want name=value`},
		{"topic create a -p x", "invalid argument"},
		{"topic add-partitions a", "num total"},
		{"topic add-partitions a -n 1 --total 2", "num total"},
		{"topic trim-prefix a", "offset"},
		{"topic produce a --acks 7", "--acks 7"},
		{"topic produce a -z brotli", "brotli"},
		{"topic produce a -H nothing", "want name=value"},
		{"topic produce a -f %Q", "--format"},
		{"topic consume a -o yesterday", `offset "yesterday"`},
		{"topic consume a -o @yesterday", `time "yesterday"`},
		{"topic consume a -f %Q", "--format"},
		{"topic consume a -g g -p 1", "group partitions"},
		{"group seek g", "to"},
		{"config describe disk 1", "want topic, broker or group"},
		{"config set broker one a=b", "want a node id"},
		{"config set topic t", "requires at least 3"},
		{"topic list --brokers a:b:c", "want HOST:PORT"},
		{"topic list --timeout abc", "invalid argument"},
	} {
		code, out, errs := run(strings.Fields(c.args)...)
		if code != ExitUsage || !strings.Contains(errs, c.want) || !strings.Contains(errs, "--help'") || out != "" {
			t.Errorf("%s: code %d, stdout %q, stderr %q, want %q", c.args, code, out, errs, c.want)
		}
	}
}

func TestNounAloneShowsHelp(t *testing.T) {
	code, out, errs := run("topic")
	if code != ExitUsage || !strings.Contains(out, "add-partitions") || errs != "See 'millrace topic --help'\n" {
		t.Errorf("code %d, stdout %q, stderr %q", code, out, errs)
	}
	if code, out, _ := run("topic", "--help"); code != ExitOK || !strings.Contains(out, "Usage:") {
		t.Errorf("--help: code %d", code)
	}
	if code, out, _ := run("completion", "bash"); code != ExitOK || !strings.Contains(out, "complete") {
		t.Errorf("completion: code %d", code)
	}
}

func TestNoBroker(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	code, out, errs := run("topic", "list", "--brokers", addr)
	want := "no broker reached at " + addr + ": connection refused"
	if code != ExitUnreachable || out != "" || !strings.Contains(errs, want) {
		t.Errorf("code %d, stdout %q, stderr %q", code, out, errs)
	}
	t.Setenv(brokersEnv, addr)
	if code, _, errs = run("cluster", "info"); code != ExitUnreachable || !strings.Contains(errs, addr) {
		t.Errorf("%s is not used: code %d, %q", brokersEnv, code, errs)
	}
}

// A listener that accepts and says nothing: the time limit holds.
func TestSilentBroker(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	began := time.Now()
	code, _, errs := run("topic", "list", "--timeout", "300ms", "--brokers", l.Addr().String())
	if code != ExitUnreachable || !strings.Contains(errs, "no answer in time") {
		t.Errorf("code %d, stderr %q", code, errs)
	}
	if d := time.Since(began); d > 5*time.Second {
		t.Errorf("took %v", d)
	}
}

func TestTable(t *testing.T) {
	tb := newTable("TITLE", "NAME", "N")
	tb.row("a", 1)
	tb.row("long\x1b[31m", -20)
	var b bytes.Buffer
	tb.write(&b)
	want := "TITLE\n=====\nNAME        N\na           1\nlong?[31m  -20\n"
	want = strings.Replace(want, "NAME        N", "NAME         N", 1)
	want = strings.Replace(want, "a           1", "a            1", 1)
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}

func TestStatusesFailTogether(t *testing.T) {
	var b bytes.Buffer
	a := &app{out: &b, json: true}
	err := a.statuses("TOPIC", []status{{Name: "a", Status: ok}, coded("b", 3, nil), coded("c", 9999, nil)})
	if exitCode(err) != ExitFailed || err.Error() != "2 of 3 failed" {
		t.Errorf("%v", err)
	}
	var rows []status
	if json.Unmarshal(b.Bytes(), &rows) != nil || len(rows) != 3 || rows[1].Status != "UNKNOWN_TOPIC_OR_PARTITION" {
		t.Errorf("%s", b.String())
	}
	text := "because"
	if s := coded("x", 40, &text); s.Message != text {
		t.Errorf("%+v", s)
	}
}

func TestParseOffset(t *testing.T) {
	now := time.UnixMilli(1_700_000_000_000)
	at := kgo.NewOffset()
	for s, want := range map[string]struct {
		kgo      kgo.Offset
		position int64 // in a log from 10 to 20, where 15 is the first young enough
	}{
		"start": {at.AtStart(), 10}, "end": {at.AtEnd(), 20}, "7": {at.At(7), 7}, "+7": {at.AtStart().Relative(7), 17},
		"+99": {at.AtStart().Relative(99), 20}, "-7": {at.AtEnd().Relative(-7), 13}, "-99": {at.AtEnd().Relative(-99), 10},
		"@1000": {at.AfterMilli(1000), 15}, "@-1s": {at.AfterMilli(1_699_999_999_000), 15},
		"@1970-01-02": {at.AfterMilli(86_400_000), 15}, "@1970-01-01T00:00:01Z": {at.AfterMilli(1000), 15},
	} {
		got, err := parseOffset(s, now)
		if err != nil || got.kgo() != want.kgo || got.position(10, 20, 15) != want.position {
			t.Errorf("%s: %v, %v, position %d, want %v", s, got, err, got.position(10, 20, 15), want)
		}
	}
	if p := (origin{'t', 5}).position(10, 20, -1); p != 20 {
		t.Errorf("nothing young enough: position %d", p)
	}
	for _, s := range []string{"", "x", "@", "@x", "1.5", "+", "-"} {
		if _, err := parseOffset(s, now); exitCode(err) != ExitUsage {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func TestTargetStaysInsideTheLog(t *testing.T) {
	for _, c := range []struct {
		to                              string
		prior, start, end, byTime, want int64
	}{
		{"earliest", 5, 2, 9, -1, 2}, {"latest", 5, 2, 9, -1, 9}, {"4", 5, 2, 9, -1, 4}, {"0", 5, 2, 9, -1, 2},
		{"99", 5, 2, 9, -1, 9}, {"-1", 5, 2, 9, -1, 4}, {"-9", 5, 2, 9, -1, 2}, {"+3", 5, 2, 9, -1, 8},
		{"@1000", 5, 2, 9, 6, 6}, {"@1000", 5, 2, 9, -1, 9}, {"2026-01-01", 5, 2, 9, 3, 3},
	} {
		to, err := parseTarget(c.to, time.Now())
		if err != nil {
			t.Errorf("%s: %v", c.to, err)
		}
		if got := to.offset(c.prior, c.start, c.end, c.byTime); got != c.want {
			t.Errorf("%s: %d, want %d", c.to, got, c.want)
		}
	}
	if _, err := parseTarget("soon", time.Now()); exitCode(err) != ExitUsage {
		t.Errorf("%v", err)
	}
}

func TestParsePlaces(t *testing.T) {
	got, err := parsePlaces([]string{"a", "b:1,2", "b:4"})
	if err != nil || len(got) != 2 || len(got["a"]) != 0 || len(got["b"]) != 3 || got["b"][2] != 4 {
		t.Errorf("%v %v", got, err)
	}
	for _, s := range []string{"", ":1", "a:", "a:x", "a:-1", "a:1,"} {
		if _, err := parsePlaces([]string{s}); exitCode(err) != ExitUsage {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func TestLag(t *testing.T) {
	at := place{"t", 0}
	r := lagOf(at, map[place]int64{at: 4}, found{offset: 2}, found{offset: 10}, owner{})
	if *r.Current != 4 || *r.Lag != 6 {
		t.Errorf("%+v", r)
	}
	r = lagOf(at, map[place]int64{at: 0}, found{offset: 2}, found{offset: 10}, owner{})
	if *r.Lag != 8 { // what retention took cannot be read any more
		t.Errorf("lag %d", *r.Lag)
	}
	r = lagOf(at, nil, found{offset: 2}, found{offset: 10}, owner{member: "m"})
	if r.Current != nil || *r.Lag != 8 || r.Member != "m" {
		t.Errorf("%+v", r)
	}
	r = lagOf(at, map[place]int64{at: 4}, found{}, found{code: 6}, owner{})
	if r.Lag != nil || r.Error != "NOT_LEADER_FOR_PARTITION" {
		t.Errorf("%+v", r)
	}
}

// Assignments are bytes from other clients.
func TestAssignedSurvivesGarbage(t *testing.T) {
	as := kmsg.NewConsumerMemberAssignment()
	topic := kmsg.NewConsumerMemberAssignmentTopic()
	topic.Topic, topic.Partitions = "t", []int32{1, 2}
	as.Topics = append(as.Topics, topic)
	g := kmsg.NewDescribeGroupsResponseGroup()
	g.ProtocolType = "consumer"
	for i, b := range [][]byte{as.AppendTo(nil), nil, {1}, {0, 0, 0x7f, 0xff, 0xff, 0xff}} {
		m := kmsg.NewDescribeGroupsResponseGroupMember()
		m.MemberID, m.MemberAssignment = string(rune('a'+i)), b
		g.Members = append(g.Members, m)
	}
	got := assigned(&g)
	if len(got) != 2 || got[place{"t", 2}].member != "a" {
		t.Errorf("%v", got)
	}
	g.ProtocolType = "connect"
	if len(assigned(&g)) != 0 {
		t.Error("bytes of another protocol were read")
	}
}

func TestRecordJSON(t *testing.T) {
	r := &kgo.Record{Topic: "t", Value: []byte{0xff}, Headers: []kgo.RecordHeader{{Key: "h", Value: []byte("<v>")}}}
	b, err := json.Marshal(recordJSON(r))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"key":null`, `"value":{"base64":"/w=="}`, `"key":"h"`} {
		if !strings.Contains(string(b), want) {
			t.Errorf("%s lacks %s", b, want)
		}
	}
}

// Every command and every flag has words, and no two flags of a command clash.
func TestEveryCommandIsDescribed(t *testing.T) {
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		if c.Short == "" || strings.HasSuffix(c.Short, ".") {
			t.Errorf("%s: short text %q", c.CommandPath(), c.Short)
		}
		c.InitDefaultHelpFlag()
		if c.UsageString() == "" {
			t.Errorf("%s: no usage", c.CommandPath())
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(Noun("millrace", "test", Commands()...))
}
