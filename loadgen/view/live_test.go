package view

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"millrace/loadgen/result"

	"github.com/HdrHistogram/hdrhistogram-go"
)

type histogram = hdrhistogram.Histogram

func shown(t *testing.T, s screen) (string, *Live) {
	t.Helper()
	var out bytes.Buffer
	l := &Live{out: &out, screen: s, o: LiveOptions{Load: "produce", Client: "raw",
		Target: "127.0.0.1:9092", Rate: 640_000, Warmup: 2, Duration: 5}}
	r := made(shape{seconds: 3, perSecond: 2000, median: 180, broker: 0.3, endToEnd: true, seed: 1})
	l.Interval(result.Interval{At: -1, Seconds: 1, Warmup: true, Acked: 5})
	for _, v := range r.Intervals {
		l.Interval(v)
	}
	l.Note("a broker \x1b]0;went away")
	l.Interval(result.Interval{At: 3, Seconds: 1, Errors: 2})
	l.Done()
	return out.String(), l
}

func TestLiveInAPipe(t *testing.T) {
	got, _ := shown(t, screen{width: func() int { return 80 }})
	lines := strings.Split(strings.TrimSpace(got), "\n")
	if len(lines) != 7 { // title, warm-up, three, the note, one
		t.Fatalf("%d lines:\n%s", len(lines), got)
	}
	if strings.ContainsRune(got, '\x1b') {
		t.Error("commands for a terminal in a pipe")
	}
	for i, want := range map[int]string{0: "640 k msg/s asked for", 1: "warm-up", 2: "p99", 4: "3.0 s",
		5: "a broker ?]0;went away", 6: "errors 2"} {
		if !strings.Contains(lines[i], want) {
			t.Errorf("line %d lacks %q: %s", i, want, lines[i])
		}
	}
}

func TestLiveOnATerminal(t *testing.T) {
	for _, width := range []int{40, 80, 200} {
		got, l := shown(t, screen{block: true, colour: true, width: func() int { return width }})
		if l.lines != 0 {
			t.Error("a block is left")
		}
		for _, line := range strings.Split(got, "\n") {
			if n := len([]rune(bare(line))); n > width {
				t.Errorf("%d columns on a terminal of %d: %q", n, width, bare(line))
			}
		}
		for _, want := range []string{"response", "in flight", "warming up", "2 errors", "of 0:05"} {
			if width > 80 && !strings.Contains(got, want) {
				t.Errorf("lacks %q", want)
			}
		}
	}
	got, _ := shown(t, screen{block: true, width: func() int { return 100 }})
	if strings.Contains(got, "m") && strings.Contains(got, "\x1b[3") {
		t.Error("colour though it is not wanted")
	}
}

// bare is a line without what paints or moves.
func bare(line string) string {
	var out strings.Builder
	for i := 0; i < len(line); i++ {
		if line[i] == '\x1b' {
			for i++; i < len(line) && !(line[i] >= 'A' && line[i] <= 'Z' || line[i] >= 'a' && line[i] <= 'z'); i++ {
			}
			continue
		}
		if line[i] != '\r' {
			out.WriteByte(line[i])
		}
	}
	return out.String()
}

func TestScreenOfAFile(t *testing.T) {
	f, err := os.CreateTemp(t.TempDir(), "x")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s := screenOf(f, func(string) string { return "" })
	if s.block || s.colour || s.width() != defaultWidth {
		t.Errorf("%+v", s)
	}
	if cut("\x1b[31mabcdef\x1b[0m", 3) != "\x1b[31mabc\x1b[0m" || cut("µµµ", 2) != "µµ" {
		t.Error("cut")
	}
	if spark([]float64{0, 5, 10}, 2) != "▅█" || spark(nil, 3) != "" {
		t.Error(spark([]float64{0, 5, 10}, 2))
	}
}
