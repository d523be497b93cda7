package result

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Headline is the kind of latency that a run is judged by: response, or else the next one that it
// has, in the order of Kinds.
func (r *Run) Headline() Kind {
	for _, k := range Kinds {
		if s, ok := r.Latencies[k]; ok && s.Count > 0 {
			return k
		}
	}
	return Response
}

const untagged = "#[Untagged: "

// WriteLog writes the intervals' histograms as an interval log: the headline kind without a tag,
// which is what tools show when they are not asked for a tag, the others with theirs.
func (r *Run) WriteLog(w io.Writer) error {
	out := bufio.NewWriter(w)
	start := r.Started.UTC()
	seconds := float64(start.UnixMilli()) / 1000
	headline := r.Headline()
	fmt.Fprintf(out, "#[Logged by loadgen, %s of %s, nanoseconds]\n", oneLine(r.Load),
		oneLine(r.Target.Addr))
	fmt.Fprintf(out, "#[Histogram log format version %s]\n",
		hdrhistogram.HISTOGRAM_LOG_FORMAT_VERSION)
	fmt.Fprintf(out, "#[StartTime: %.3f (seconds since epoch), %s]\n", seconds,
		start.Format(time.RFC3339))
	fmt.Fprintf(out, "#[BaseTime: %.3f (seconds since epoch)]\n", seconds)
	fmt.Fprintf(out, "%s%s]\n", untagged, headline)
	fmt.Fprintln(out, `"StartTimestamp","Interval_Length","Interval_Max",`+
		`"Interval_Compressed_Histogram"`)
	for i := range r.Intervals {
		v := &r.Intervals[i]
		for _, kind := range sortedKinds(v.Latencies) {
			win := v.Latencies[kind]
			if win.Count == 0 || win.Histogram == "" {
				continue
			}
			if kind != headline {
				fmt.Fprintf(out, "Tag=%s,", kind)
			}
			fmt.Fprintf(out, "%.3f,%.3f,%.3f,%s\n", max(v.At, 0), v.Seconds, win.Max/1000,
				win.Histogram)
		}
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("result: interval log: %w", err)
	}
	return nil
}

// WriteLogFile writes an interval log to a file.
func (r *Run) WriteLogFile(path string) error { return replaceFile(path, r.WriteLog) }

func oneLine(s string) string {
	return strings.Map(func(c rune) rune {
		if c == '\n' || c == '\r' || c == ']' {
			return ' '
		}
		return c
	}, s)
}

// ReadLogFile reads an interval log as far as it tells of a run: latencies and their counts.
func ReadLogFile(path string) (*Run, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("result: %w", err)
	}
	defer f.Close()
	return ReadLog(f, filepath.Base(path))
}

// logReader is the state of reading an interval log.
type logReader struct {
	name        string
	line        int
	start, base float64 // seconds since epoch; NaN: not told
	headline    Kind
	run         *Run
	begin       []float64 // of each interval, in seconds since epoch
	totals      map[Kind]*hdrhistogram.Histogram
}

// ReadLog reads an interval log; name is for errors. Lines of one stretch of time become one
// interval. A log of other software may have any tags: each is a kind of its own.
func ReadLog(r io.Reader, name string) (*Run, error) {
	l := &logReader{name: name, start: math.NaN(), base: math.NaN(), headline: Response,
		totals: map[Kind]*hdrhistogram.Histogram{},
		run: &Run{Format: Format, ID: name, Name: name, Load: "interval log",
			Latencies: map[Kind]Summary{}}}
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 64<<10), maxEncoded+4096)
	for lines.Scan() {
		l.line++
		if err := l.read(strings.TrimSpace(lines.Text())); err != nil {
			return nil, err
		}
	}
	if err := lines.Err(); err != nil {
		return nil, l.wrong(err.Error())
	}
	if len(l.begin) == 0 {
		return nil, l.wrong("no interval")
	}
	return l.finish()
}

func (l *logReader) wrong(rule string) error {
	return &FormatError{l.name, fmt.Sprintf("line %d", l.line), rule}
}

func (l *logReader) read(text string) error {
	switch {
	case text == "" || text[0] == '"':
		return nil
	case strings.HasPrefix(text, untagged):
		l.headline = Kind(strings.TrimSuffix(text[len(untagged):], "]"))
		return nil
	case strings.HasPrefix(text, "#[StartTime: "):
		return l.stamp(text[len("#[StartTime: "):], &l.start)
	case strings.HasPrefix(text, "#[BaseTime: "):
		return l.stamp(text[len("#[BaseTime: "):], &l.base)
	case text[0] == '#':
		return nil
	}
	kind := l.headline
	if rest, tagged := strings.CutPrefix(text, "Tag="); tagged {
		tag, behind, found := strings.Cut(rest, ",")
		if !found || tag == "" {
			return l.wrong("a tag without a line")
		}
		kind, text = Kind(tag), behind
	}
	words := strings.Split(text, ",")
	if len(words) != 4 {
		return l.wrong(fmt.Sprintf("%d fields, not 4", len(words)))
	}
	var figures [3]float64
	for i := range figures {
		v, err := strconv.ParseFloat(strings.TrimSpace(words[i]), 64)
		if err != nil || !(v >= 0 && v < 1e12) {
			return l.wrong(fmt.Sprintf("%.40q is no number of seconds", words[i]))
		}
		figures[i] = v
	}
	if figures[1] <= 0 || figures[1] > maxSeconds {
		return l.wrong("an interval without a length")
	}
	h, err := Decode(strings.TrimSpace(words[3]))
	if err != nil {
		return l.wrong(err.Error())
	}
	return l.add(kind, figures[0], figures[1], h)
}

func (l *logReader) stamp(text string, to *float64) error {
	word, _, _ := strings.Cut(text, " ")
	v, err := strconv.ParseFloat(strings.TrimSuffix(word, "]"), 64)
	if err != nil || !(v >= 0 && v < 1e12) {
		return l.wrong("no time stamp")
	}
	*to = v
	return nil
}

const year = 365 * 24 * 3600

// add takes one line. Times are relative to the base time if there is one; else they are relative
// to the start if they are more than a year before it, and absolute if they are not.
func (l *logReader) add(kind Kind, at, seconds float64, h *hdrhistogram.Histogram) error {
	if math.IsNaN(l.start) {
		l.start = at
	}
	if math.IsNaN(l.base) {
		l.base = 0
		if at < l.start-year {
			l.base = l.start
		}
	}
	at += l.base
	last := len(l.begin) - 1
	switch {
	case last >= 0 && math.Abs(at-l.begin[last]) < l.run.Intervals[last].Seconds/2 && !l.has(last, kind):
	case last >= 0 && at < l.begin[last]+l.run.Intervals[last].Seconds-slack:
		return l.wrong("intervals out of order")
	case last+1 >= maxIntervals:
		return l.wrong("too many intervals")
	default:
		l.begin = append(l.begin, at)
		l.run.Intervals = append(l.run.Intervals,
			Interval{Seconds: seconds, Latencies: map[Kind]Window{}})
		last++
	}
	v := &l.run.Intervals[last]
	if len(v.Latencies) >= maxKinds {
		return l.wrong("too many tags")
	}
	own := NewHistogram() // of the same shape everywhere, so that logs can be merged
	if dropped := own.Merge(h); dropped > 0 {
		return l.wrong(fmt.Sprintf("%d samples beyond a minute", dropped))
	}
	v.Latencies[kind] = Observe(own)
	if l.totals[kind] == nil {
		if len(l.totals) >= maxKinds {
			return l.wrong("too many tags")
		}
		l.totals[kind] = NewHistogram()
	}
	l.totals[kind].Merge(own)
	return nil
}

func (l *logReader) has(i int, kind Kind) bool {
	_, ok := l.run.Intervals[i].Latencies[kind]
	return ok
}

// finish makes a run of the lines. A count of messages is that of the headline's samples.
func (l *logReader) finish() (*Run, error) {
	r := l.run
	r.Started = time.UnixMilli(int64(math.Round(l.begin[0] * 1000))).UTC()
	for i := range r.Intervals {
		v := &r.Intervals[i]
		v.At = l.begin[i] - l.begin[0]
		v.Acked = v.Latencies[Response].Count
		v.Received = v.Latencies[EndToEnd].Count
		r.Acked += v.Acked
		r.Received += v.Received
		r.Seconds = v.At + v.Seconds
	}
	for kind, h := range l.totals {
		r.Latencies[kind] = Summarize(h)
	}
	if err := r.Check(); err != nil {
		return nil, err
	}
	return r, nil
}

// KindsMeasured are the kinds of latency that a run has, the known ones first, in their order.
func (r *Run) KindsMeasured() []Kind { return sortedKinds(r.Latencies) }

// Load reads a result, or an interval log where the name ends in .hlog.
func Load(path string) (*Run, error) {
	if strings.HasSuffix(path, ".hlog") {
		return ReadLogFile(path)
	}
	return ReadFile(path)
}
