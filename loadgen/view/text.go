package view

import (
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"millrace/loadgen/result"
)

// Text prints what a run has shown, for a person.
func Text(f *os.File, r *result.Run) error {
	s := screenOf(f, os.Getenv)
	return text(f, s, r)
}

// sheet is a text under work.
type sheet struct {
	strings.Builder
	screen
}

func (s *sheet) say(format string, args ...any) { fmt.Fprintf(&s.Builder, format, args...) }

// row is a name and what it is; without content it is left out.
func (s *sheet) row(name, content string) {
	if content != "" {
		s.say("%s %s\n", s.paint(dim, pad(name, 12)), content)
	}
}

// pad fills up to a width in characters.
func pad(text string, width int) string {
	return text + strings.Repeat(" ", max(0, width-utf8.RuneCountInString(text)))
}

func padLeft(text string, width int) string {
	return strings.Repeat(" ", max(0, width-utf8.RuneCountInString(text))) + text
}

func text(w io.Writer, screen screen, r *result.Run) error {
	s := &sheet{screen: screen}
	s.banner(r)
	s.say("%s\n", s.paint(bold, plain(heading(r))))
	s.say("%s\n\n", s.paint(dim, plain(span(r.Seconds)+when(r)+asked(r))))
	s.flows(r)
	s.latencies(r)
	s.costs(r)
	if r.Limit != nil {
		l := r.Limit
		s.row("limit", fmt.Sprintf("%s of %s %s %s", s.paint(bold, percent(l.Fraction)),
			scaled(l.Limit, ""), l.Unit, s.paint(dim, "("+plain(l.Name)+")")))
	}
	s.readers(r)
	s.verified(r)
	s.errors(r)
	_, err := io.WriteString(w, s.String())
	return err
}

// banner is V2.
func (s *sheet) banner(r *result.Run) {
	if r.Void != "" {
		s.say("%s\n", s.paint(bold+";"+red, "VOID: "+plain(r.Void)))
		s.say("%s\n", s.paint(red, "The figures below are not to be relied on."))
	}
	if r.Partial != "" {
		s.say("%s\n", s.paint(bold+";"+yellow, "PARTIAL: "+plain(r.Partial)))
	}
}

func heading(r *result.Run) string {
	out := r.Load
	if r.Client != "" {
		out += " · " + r.Client + " client"
	}
	if r.Target.Addr != "" {
		out += " → " + r.Target.Addr
	}
	if r.Target.Software != "" {
		out += " (" + r.Target.Software + ")"
	}
	if n := len(r.Target.Topics); n > 0 {
		out += " · " + plural(int64(n), "topic")
		if r.Target.Partitions > 0 {
			out += ", " + plural(int64(r.Target.Partitions), "partition")
		}
	}
	return out
}

func when(r *result.Run) string {
	out := ""
	if r.WarmupSeconds > 0 {
		out = " after a warm-up of " + span(r.WarmupSeconds)
	}
	if !r.Started.IsZero() {
		out += ", from " + r.Started.UTC().Format("2006-01-02 15:04:05") + " UTC"
	}
	return out
}

func asked(r *result.Run) string {
	if r.Rate > 0 {
		return ", " + round(scaled(r.Rate, "")) + " msg/s asked for"
	}
	return ", as many as go"
}

func (s *sheet) flows(r *result.Run) {
	show := func(name string, n, bytes int64) {
		if n > 0 {
			line := s.paint(bold, pad(scaled(rate(n, r.Seconds), "")+" msg/s", 15))
			if bytes > 0 {
				line += pad(size(rate(bytes, r.Seconds))+"/s", 13)
			}
			s.row(name, line+s.paint(dim, grouped(n)+" messages"))
		}
	}
	show("acked", r.Acked, r.AckedBytes)
	show("received", r.Received, r.ReceivedBytes)
	show("catching up", r.CatchUp, 0)
	if r.Requests > 0 {
		s.row("requests", fmt.Sprintf("%s/s, %s", scaled(rate(r.Requests, r.Seconds), ""),
			plural(r.Requests, "answer")))
	}
	if r.Transactions+r.Aborted > 0 {
		s.row("transactions", fmt.Sprintf("%s/s, %s committed, %s aborted",
			scaled(rate(r.Transactions, r.Seconds), ""), grouped(r.Transactions), grouped(r.Aborted)))
	}
}

// shownQuantiles are the columns of a table of latencies.
var shownQuantiles = []float64{0.5, 0.9, 0.99, 0.999, 0.9999}

func (s *sheet) latencies(r *result.Run) {
	kinds := kindsOf(r)
	if len(kinds) == 0 {
		return
	}
	line := pad("latency", 12)
	for _, q := range shownQuantiles {
		line += padLeft(nines(q), 10)
	}
	s.say("\n%s\n", s.paint(dim, line+padLeft("max", 10)+padLeft("samples", 14)))
	for _, kind := range kinds {
		sum := r.Latencies[kind]
		line := pad(plain(string(kind)), 12)
		for _, q := range shownQuantiles {
			line += padLeft(known(sum.At(q)), 10)
		}
		line += padLeft(micros(sum.Max), 10) + padLeft(grouped(sum.Count), 14)
		if kind == r.Headline() {
			line = s.paint(bold, line)
		}
		s.say("%s\n", line)
	}
	s.say("\n")
}

// kindsOf are the kinds that have samples: the known ones in their order.
func kindsOf(r *result.Run) []result.Kind {
	var out []result.Kind
	for _, kind := range r.KindsMeasured() {
		if r.Latencies[kind].Count > 0 {
			out = append(out, kind)
		}
	}
	return out
}

func (s *sheet) costs(r *result.Run) {
	if b := r.Broker; b != nil && b.Seconds > 0 {
		line := s.paint(bold, three(b.CPUSeconds/b.Seconds)+" cores")
		n, bytes := moved(r)
		if n > 0 {
			line += fmt.Sprintf(" · %s CPU-s per million messages", three(b.PerMillion(n)))
		}
		if bytes > 0 {
			line += fmt.Sprintf(" · %s per GB", three(b.PerGB(bytes)))
		}
		s.row("broker", line)
		var rest []string
		tell := func(field, content string) {
			for _, name := range b.Unknown {
				if name == field {
					return
				}
			}
			rest = append(rest, content)
		}
		tell("rss_bytes", size(float64(b.RSS))+" resident")
		tell("disk_written_bytes", size(rate(b.DiskWritten, b.Seconds))+"/s to disk")
		tell("disk_read_bytes", size(rate(b.DiskRead, b.Seconds))+"/s from disk")
		tell("voluntary_switches",
			scaled(rate(b.VoluntarySwitches+b.InvoluntarySwitches, b.Seconds), "")+" switches/s")
		s.row("", strings.Join(rest, " · "))
	}
	if g := r.Generator; g != nil && g.Seconds > 0 {
		s.row("generator", fmt.Sprintf("%s cores · %s resident", three(g.CPUSeconds/g.Seconds),
			size(float64(g.RSS))))
	}
	if m := r.Machine; m != nil && r.Seconds > 0 {
		s.row("machine", fmt.Sprintf("%s of %s busy · steal %s · others %s cores",
			three(m.Busy/r.Seconds), plural(int64(m.Cores), "core"),
			percent(m.Steal/r.Seconds/float64(max(m.Cores, 1))), three(m.Foreign/r.Seconds)))
	}
}

// moved is what the cost of a broker is divided by: what was written, or where nothing was, what was
// read. In a load that does both, a message that is written and read counts once.
func moved(r *result.Run) (messages, bytes int64) {
	if r.Acked > 0 {
		return r.Acked, r.AckedBytes
	}
	return r.Received + r.CatchUp, r.ReceivedBytes
}

func (s *sheet) readers(r *result.Run) {
	for _, g := range r.Readers {
		line := fmt.Sprintf("%s msg/s · %s", scaled(rate(g.Received, r.Seconds), ""),
			plural(int64(g.Consumers), "consumer"))
		if g.EndToEnd != nil {
			line += " · p50 " + known(g.EndToEnd.At(0.5)) + " · p99 " + known(g.EndToEnd.At(0.99))
		}
		switch {
		case g.Behind > 0:
			line += " · caught up after " + span(g.Behind)
		case g.Lag > 0:
			line += " · " + grouped(g.Lag) + " behind"
		}
		s.row(plain(g.Name), line)
	}
}

func (s *sheet) verified(r *result.Run) {
	v := r.Verified
	if v == nil {
		return
	}
	if v.Right() {
		s.row("verified", s.paint(green, "right: ")+grouped(v.Received)+
			" messages arrived once, in order and whole")
		return
	}
	s.row("verified", s.paint(bold+";"+red, "WRONG: ")+faults(v))
	for i, e := range v.Examples {
		if i == 5 {
			s.row("", fmt.Sprintf("… and %d more", len(v.Examples)-i))
			break
		}
		s.row("", plain(e))
	}
}

// faults lists what a verification has found.
func faults(v *result.Verified) string {
	var out []string
	for _, x := range []struct {
		n    int64
		what string
	}{
		{v.Missing, "missing"}, {v.Duplicates, "twice"}, {v.Disordered, "out of order"},
		{v.Damaged, "damaged"}, {v.Unknown, "never sent"},
	} {
		if x.n > 0 {
			out = append(out, grouped(x.n)+" "+x.what)
		}
	}
	return fmt.Sprintf("%s of %s messages", strings.Join(out, ", "), grouped(v.Expected))
}

func (s *sheet) errors(r *result.Run) {
	if len(r.Errors) == 0 {
		s.row("errors", s.paint(green, "none"))
		return
	}
	for i, e := range r.Errors {
		name := "errors"
		if i > 0 {
			name = ""
		}
		line := fmt.Sprintf("%s × %s, first after %s", s.paint(red, grouped(e.Count)), plain(e.Name),
			span(max(e.FirstAt, 0)))
		if e.Example != "" {
			line += s.paint(dim, ": "+plain(e.Example))
		}
		s.row(name, line)
	}
}
