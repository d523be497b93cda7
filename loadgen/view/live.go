package view

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"unicode/utf8"

	"millrace/loadgen/result"
)

// LiveOptions say what is under way.
type LiveOptions struct {
	Load, Client, Target string
	Rate                 float64 // messages a second asked for; 0: as many as go
	Warmup, Duration     float64 // seconds; Duration 0: until it is stopped
}

// Live shows a run while it is under way: a block that is written over on a terminal, a line per
// interval elsewhere. It is a result.Observer.
type Live struct {
	o      LiveOptions
	out    io.Writer
	screen screen

	mu      sync.Mutex // intervals come from the collector, notes from anywhere
	lines   int        // of the block on the screen
	rates   []float64
	tails   []float64 // the highest quantile known of each interval
	seconds float64   // measured so far
	errors  int64
	header  bool
}

// kept is how many intervals the small charts go back.
const kept = 60

// NewLive shows a run on f, usually stderr.
func NewLive(f *os.File, o LiveOptions) *Live {
	return &Live{o: o, out: f, screen: screenOf(f, os.Getenv)}
}

// Interval implements result.Observer.
func (l *Live) Interval(v result.Interval) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.errors += v.Errors
	if !v.Warmup {
		l.seconds += v.Seconds
	}
	moved, tail := rate(max(v.Acked, v.Received), v.Seconds), 0.0
	if _, w, ok := headline(&v); ok {
		tail = max(w.P99, w.P50)
	}
	l.rates, l.tails = push(l.rates, moved), push(l.tails, tail)
	if l.screen.block {
		l.draw(l.block(&v))
		return
	}
	if !l.header {
		l.header = true
		fmt.Fprintln(l.out, l.title())
	}
	fmt.Fprintln(l.out, l.line(&v))
}

func push(list []float64, v float64) []float64 {
	if len(list) == kept {
		copy(list, list[1:])
		list = list[:kept-1]
	}
	return append(list, v)
}

// Note prints a line that stays, above the block.
func (l *Live) Note(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.erase()
	fmt.Fprintln(l.out, plain(fmt.Sprintf(format, args...)))
}

// Done takes the block away: what follows is the summary.
func (l *Live) Done() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.erase()
}

// erase goes back to the begin of the block and clears the screen from there.
func (l *Live) erase() {
	if l.lines > 0 {
		fmt.Fprintf(l.out, "\x1b[%dA\r\x1b[J", l.lines)
		l.lines = 0
	}
}

// draw writes the block over the one before it, in one write, so that it does not flicker.
func (l *Live) draw(lines []string) {
	var out strings.Builder
	if l.lines > 0 {
		fmt.Fprintf(&out, "\x1b[%dA\r", l.lines)
	}
	width := l.screen.width() - 1
	for _, line := range lines {
		out.WriteString(cut(line, width))
		out.WriteString("\x1b[K\n")
	}
	out.WriteString("\x1b[J")
	l.lines = len(lines)
	_, _ = io.WriteString(l.out, out.String())
}

// headline is the kind of latency that matters most of those that an interval has.
func headline(v *result.Interval) (result.Kind, result.Window, bool) {
	for _, kind := range result.Kinds {
		if w, ok := v.Latencies[kind]; ok && w.Count > 0 {
			return kind, w, true
		}
	}
	return "", result.Window{}, false
}

func (l *Live) title() string {
	asked := "as many as go"
	if l.o.Rate > 0 {
		asked = round(scaled(l.o.Rate, "")) + " msg/s asked for"
	}
	return plain(fmt.Sprintf("%s · %s client → %s · %s", l.o.Load, l.o.Client, l.o.Target, asked))
}

// left says how far the run is.
func (l *Live) left(v *result.Interval) (text string, share float64) {
	switch {
	case v.Warmup:
		return fmt.Sprintf("warming up, %s left", span(max(-v.At-v.Seconds, 0))), 0
	case l.o.Duration <= 0:
		return clock(l.seconds), 0
	}
	rest := max(l.o.Duration-l.seconds, 0)
	return fmt.Sprintf("%s of %s, %s left", clock(l.seconds), clock(l.o.Duration), clock(rest)),
		min(l.seconds/l.o.Duration, 1)
}

func (l *Live) block(v *result.Interval) []string {
	s := l.screen
	text, share := l.left(v)
	width := min(l.screen.width()-1, 100)
	title := l.title()
	gap := max(2, width-utf8.RuneCountInString(title)-utf8.RuneCountInString(text))
	done := int(share * float64(width))
	lines := []string{
		s.paint(bold, title) + strings.Repeat(" ", gap) + s.paint(dim, text),
		s.paint(cyan, strings.Repeat("━", done)) + s.paint(dim, strings.Repeat("─", width-done)),
	}
	name := func(n string) string { return fmt.Sprintf("%-11s", n) }
	if v.Acked > 0 || v.Received == 0 && v.CatchUp == 0 {
		lines = append(lines, name("acked")+flow(v.Acked, v.AckedBytes, v.Seconds)+"  "+
			s.paint(cyan, spark(l.rates, 30)))
	}
	if v.Received > 0 || v.CatchUp > 0 {
		lines = append(lines, name("received")+flow(v.Received, v.ReceivedBytes, v.Seconds)+
			catchUp(v))
	}
	first := true
	for _, kind := range result.Kinds {
		w, ok := v.Latencies[kind]
		if !ok || w.Count == 0 || kind == result.Service {
			continue
		}
		line := name(string(kind)) + latencies(&w)
		if first {
			first = false
			line += "  " + s.paint(cyan, spark(l.tails, 30))
		}
		lines = append(lines, line)
	}
	state := fmt.Sprintf("%s%-14s%-18s", name("state"), fmt.Sprintf("in flight %d", v.InFlight),
		"lag "+scaled(float64(v.Lag), ""))
	errors := s.paint(green, "no errors")
	if l.errors > 0 {
		errors = s.paint(red, plural(l.errors, "error"))
	}
	lines = append(lines, state+errors)
	if v.Broker != nil || v.Generator != nil {
		lines = append(lines, name("cost")+costs(v))
	}
	return lines
}

func flow(n, bytes int64, seconds float64) string {
	return fmt.Sprintf("%-18s%-14s", scaled(rate(n, seconds), "")+" msg/s",
		size(rate(bytes, seconds))+"/s")
}

func catchUp(v *result.Interval) string {
	if v.CatchUp == 0 {
		return ""
	}
	return "  catching up " + scaled(rate(v.CatchUp, v.Seconds), "") + " msg/s"
}

func latencies(w *result.Window) string {
	return fmt.Sprintf("p50 %-10s p99 %-10s max %-10s", known(w.P50, true), known(w.P99, true),
		known(w.Max, true))
}

func costs(v *result.Interval) string {
	var out []string
	if b := v.Broker; b != nil && b.Seconds > 0 {
		out = append(out, fmt.Sprintf("broker %s cores, %s", three(b.CPUSeconds/b.Seconds),
			size(float64(b.RSS))))
		if b.DiskWritten > 0 {
			out = append(out, size(rate(b.DiskWritten, b.Seconds))+"/s to disk")
		}
	}
	if g := v.Generator; g != nil && g.Seconds > 0 {
		out = append(out, "generator "+three(g.CPUSeconds/g.Seconds)+" cores")
	}
	return strings.Join(out, " · ")
}

// line is an interval where there is no terminal.
func (l *Live) line(v *result.Interval) string {
	at := fmt.Sprintf("%7.1f s", l.seconds)
	if v.Warmup {
		at = "  warm-up"
	}
	parts := []string{at}
	if v.Acked > 0 || v.Received == 0 {
		parts = append(parts, fmt.Sprintf("acked %s msg/s %s/s", scaled(rate(v.Acked, v.Seconds), ""),
			size(rate(v.AckedBytes, v.Seconds))))
	}
	if v.Received > 0 || v.CatchUp > 0 {
		parts = append(parts, fmt.Sprintf("received %s msg/s %s/s",
			scaled(rate(v.Received, v.Seconds), ""), size(rate(v.ReceivedBytes, v.Seconds)))+catchUp(v))
	}
	if kind, w, ok := headline(v); ok {
		parts = append(parts, fmt.Sprintf("%s p50 %s p99 %s max %s", kind, known(w.P50, true),
			known(w.P99, true), known(w.Max, true)))
	}
	parts = append(parts, fmt.Sprintf("errors %d", v.Errors), fmt.Sprintf("in flight %d", v.InFlight))
	if v.Lag > 0 {
		parts = append(parts, "lag "+scaled(float64(v.Lag), ""))
	}
	if c := costs(v); c != "" {
		parts = append(parts, c)
	}
	return strings.Join(parts, "  ")
}
