package protocol

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/protocol/internal/randmsg"
)

func goldenLines(t *testing.T, path string) []string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(string(b)) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			lines = append(lines, line)
		}
	}
	return lines
}

func TestCodesAreKafkas(t *testing.T) {
	lines := goldenLines(t, "testdata/errors-4.3.1.txt")
	if len(lines) != 135 {
		t.Fatalf("%d lines", len(lines))
	}
	for _, line := range lines {
		f := strings.SplitN(line, "|", 4)
		n, _ := strconv.Atoi(f[0])
		c := Code(n)
		if c.String() != f[1] || strconv.FormatBool(c.Retriable()) != f[2] || c.Message() != f[3] {
			t.Errorf("%d: %v %v %q, Kafka has %s", n, c, c.Retriable(), c.Message(), line)
		}
	}
	if UnknownTopicOrPartition != 3 || UnknownServerError != -1 || !None.Ok() {
		t.Error("constants")
	}
	for _, c := range []Code{-2, 200, 32767, -32768} {
		if c.Retriable() || c.Message() == "" || !strings.HasPrefix(c.String(), "CODE_") {
			t.Errorf("unknown code %d: %v", int16(c), c)
		}
	}
}

func TestKeysAreKafkas(t *testing.T) {
	served := 0
	for _, line := range goldenLines(t, "testdata/apikeys-4.3.1.txt") {
		var n, low, high int
		var name, headers string
		if _, err := fmt.Sscan(line, &n, &name, &low, &high, &headers); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		k := Key(n)
		served++
		v := VersionsOf(k)
		if k.String() != name || int(v.Min) != low || int(v.Max) != high || !v.Served {
			t.Errorf("%v %+v, Kafka has %s", k, v, line)
		}
		for i, pair := range strings.Split(headers, ",") {
			version := int16(low + i)
			have := fmt.Sprintf("%d/%d", k.RequestHeader(version), k.ResponseHeader(version))
			if have != pair {
				t.Errorf("%v v%d: headers %s, Kafka has %s", k, version, have, pair)
			}
		}
	}
	for k := Key(-1); k <= KeyCount; k++ {
		if VersionsOf(k).Served {
			served--
		}
	}
	if served != 0 {
		t.Errorf("%d keys more in Kafka than here", served)
	}
	if Key(200).String() != "Key200" || Vote.String() != "Vote" || VersionsOf(Vote).Served {
		t.Error("keys beyond the table")
	}
}

// Every request that kmsg can write has the shape that Kafka's definitions say: the
// walk must take exactly all of it, and of every part of it nothing.
func TestShapesTakeWhatKmsgWrites(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for k := range Key(KeyCount) {
		v := VersionsOf(k)
		for version := v.Min; v.Served && version <= v.Max; version++ {
			for range 20 {
				req := kmsg.RequestForKey(int16(k))
				req.SetVersion(version)
				randmsg.Fill(r, req)
				body := req.AppendTo(nil)
				w := walker{b: body, version: version, flexible: k.IsFlexible(version)}
				w.structure(shapes[k].fields)
				if w.err != nil || len(w.b) != 0 {
					t.Fatalf("%v v%d: %v, %d of %d bytes left", k, version, w.err, len(w.b), len(body))
				}
				for range 5 {
					if cut := r.IntN(len(body) + 1); cut < len(body) {
						if _, err := Elements(k, version, body[:cut]); err == nil {
							t.Fatalf("%v v%d: %d of %d bytes pass", k, version, cut, len(body))
						}
					}
				}
				got, err := Decode(k, version, body)
				if err != nil {
					t.Fatalf("%v v%d: %v", k, version, err)
				}
				if again := got.AppendTo(nil); len(again) != len(body) {
					t.Fatalf("%v v%d: %d bytes, again %d", k, version, len(body), len(again))
				}
			}
		}
	}
}

// kmsg bounds a count by the bytes that remain, one per element; a count near that
// bound makes it allocate structs of a hundred bytes each. The walk is what stops it.
func TestLyingCountsAllocateNothing(t *testing.T) {
	const size = 8 << 20
	body := binary.BigEndian.AppendUint32(nil, size-1000)
	body = append(body, make([]byte, size)...)
	allocated := testing.AllocsPerRun(1, func() {
		if _, err := Decode(CreateTopics, 2, body); !errors.Is(err, ErrTooMany) {
			t.Errorf("count of %d: %v", size-1000, err)
		}
	})
	if allocated > 2 {
		t.Errorf("%v allocations for a lying count", allocated)
	}
	flexible := binary.AppendUvarint(nil, 1<<31)
	if _, err := Decode(CreateTopics, 5, append(flexible, body...)); !errors.Is(err, ErrMalformed) {
		t.Errorf("count beyond the bytes: %v", err)
	}
}

func TestTooManyIsRefused(t *testing.T) {
	// DescribeGroups v0: an array of strings, all empty.
	many := binary.BigEndian.AppendUint32(nil, MaxElements+1)
	many = append(many, make([]byte, 2*(MaxElements+1))...)
	if _, err := Elements(DescribeGroups, 0, many); !errors.Is(err, ErrTooMany) {
		t.Errorf("%d elements: %v", MaxElements+1, err)
	}
	binary.BigEndian.PutUint32(many, MaxElements)
	if n, err := Elements(DescribeGroups, 0, many); n != MaxElements || err != nil {
		t.Errorf("%d elements: %d, %v", MaxElements, n, err)
	}
	// DeleteGroups v2: no groups, then tags.
	tags := binary.AppendUvarint([]byte{1}, MaxTags+1)
	for i := range MaxTags + 1 {
		tags = append(binary.AppendUvarint(tags, uint64(100+i)), 0)
	}
	if _, err := Elements(DeleteGroups, 2, tags); !errors.Is(err, ErrTooMany) {
		t.Errorf("%d tags: %v", MaxTags+1, err)
	}
	if _, err := Decode(DeleteGroups, 9, []byte{1, 0}); !errors.Is(err, ErrUnserved) {
		t.Errorf("version 9: %v", err)
	}
	if _, err := Decode(Vote, 0, []byte{1, 0}); !errors.Is(err, ErrUnserved) {
		t.Errorf("Vote: %v", err)
	}
}

func TestEncodeIsAFrame(t *testing.T) {
	for _, c := range []struct {
		key     Key
		version int16
		header  int // bytes of size and header
	}{{ApiVersions, 4, 8}, {Metadata, 8, 8}, {Metadata, 12, 9}} {
		resp := kmsg.RequestForKey(int16(c.key)).ResponseKind()
		resp.SetVersion(c.version)
		randmsg.Fill(rand.New(rand.NewPCG(3, 4)), resp)
		frame := Encode([]byte("before"), 77, resp)[len("before"):]
		if n := binary.BigEndian.Uint32(frame); int(n) != len(frame)-4 {
			t.Errorf("%v: size %d of %d", c.key, n, len(frame))
		}
		if id := binary.BigEndian.Uint32(frame[4:]); id != 77 {
			t.Errorf("%v: correlation %d", c.key, id)
		}
		back := kmsg.RequestForKey(int16(c.key)).ResponseKind()
		back.SetVersion(c.version)
		if err := back.ReadFrom(frame[c.header:]); err != nil {
			t.Errorf("%v: %v", c.key, err)
		}
	}
}

func TestTopicID(t *testing.T) {
	id := TopicID{0xff, 0xfe, 1, 2, 3}
	back, err := ParseTopicID(id.String())
	if err != nil || back != id || len(id.String()) != 22 {
		t.Errorf("%v: %v %v", id, back, err)
	}
	for _, s := range []string{"", "x", strings.Repeat("A", 23), strings.Repeat("=", 22)} {
		if _, err := ParseTopicID(s); err == nil {
			t.Errorf("%q parses", s)
		}
	}
}

func FuzzDecode(f *testing.F) {
	r := rand.New(rand.NewPCG(5, 6))
	for k := range Key(KeyCount) {
		if v := VersionsOf(k); v.Served {
			req := kmsg.RequestForKey(int16(k))
			req.SetVersion(v.Max)
			randmsg.Fill(r, req)
			f.Add(int16(k), v.Max, req.AppendTo(nil))
		}
	}
	f.Fuzz(func(t *testing.T, key, version int16, body []byte) {
		n, err := Elements(Key(key), version, body)
		if n > len(body) {
			t.Fatalf("%d elements in %d bytes", n, len(body))
		}
		req, decodeErr := Decode(Key(key), version, body)
		if err == nil && decodeErr != nil {
			t.Fatalf("the walk took what kmsg did not: %v", decodeErr)
		}
		if decodeErr == nil {
			req.AppendTo(nil)
		}
	})
}
