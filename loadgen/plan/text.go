package plan

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"unicode/utf8"
)

// units writes a figure with three digits and a prefix of thousands.
func units(v float64, unit string) string {
	if math.IsInf(v, 0) || math.IsNaN(v) || v >= math.MaxFloat64/2 {
		return "?"
	}
	prefix := ""
	for _, p := range []string{"k", "M", "G", "T", "P", "E"} {
		if math.Abs(v) < 1000 {
			break
		}
		v, prefix = v/1000, p
	}
	digits := 2
	switch a := math.Abs(v); {
	case a >= 100 || v == math.Trunc(v):
		digits = 0
	case a >= 10:
		digits = 1
	}
	if prefix != "" && len(unit) > 1 && unit[0] != '/' && !strings.HasPrefix(unit, "B/") &&
		!strings.HasPrefix(unit, "bit") {
		prefix += " " // 3 k msg/s, but 3 kB/s
	}
	return strings.TrimSpace(fmt.Sprintf("%.*f %s%s", digits, v, prefix, unit))
}

func span(i Interval, unit string) string {
	return fmt.Sprintf("%s (%s … %s)", units(i.Value, unit), units(i.Low, unit), units(i.High, unit))
}

// Text writes an answer for a person.
func (a *Answer) Text(w io.Writer) error {
	d, b := a.Demand, &strings.Builder{}
	fmt.Fprintf(b, "%s of %d B, %d to a batch, kept %s with %d copies, read by %d groups, within %s\n\n",
		units(d.Rate, "messages/s"), d.Size, a.Config.Records, days(d.Retention.Hours()), d.Replication,
		d.FanOut, d.Objectives)
	row := func(name, format string, args ...any) {
		fmt.Fprintf(b, "  %-22s %s\n", name, fmt.Sprintf(format, args...))
	}
	row("hosts", "%.0f (%.0f … %.0f), decided by %s", a.Hosts.Value, a.Hosts.Low, a.Hosts.High, a.DecidedBy)
	row("cores", "%.0f, %d on each host", a.Cores.Value, a.HostCores)
	if a.CPU.Value > 0 {
		row("  busy with it", "%s cores", span(a.CPU, ""))
	}
	row("a host's capacity", "%s as a leader, its share of copies and readers in it", span(a.PerHost, "messages/s"))
	row("load", "%.0f %% (%.0f … %.0f); with %d down %.0f %% (%.0f … %.0f)", a.Load.Value*100, a.Load.Low*100,
		a.Load.High*100, d.Failures, a.LoadFailed.Value*100, a.LoadFailed.Low*100, a.LoadFailed.High*100)
	row("partitions", "%d", a.Partitions)
	row("disk", "%s in all, %s on each host, %.0f %% of it free", units(a.Disk, "B"), units(a.DiskHost, "B"),
		d.DiskFree*100)
	row("  writes, each host", "%s", span(a.Write, "B/s"))
	if a.Flushes.Value > 0 {
		row("  flushes, each host", "%s", span(a.Flushes, "/s"))
	} else {
		row("  flushes, each host", "not measured")
	}
	row("network, each host", "in %s, out %s", units(a.NetIn, "bit/s"), units(a.NetOut, "bit/s"))
	row("  with hosts down", "in %s, out %s", units(a.FailedIn, "bit/s"), units(a.FailedOut, "bit/s"))
	list := func(title string, lines []string) {
		if len(lines) == 0 {
			return
		}
		fmt.Fprintf(b, "\n%s\n", title)
		for _, l := range lines {
			fmt.Fprintf(b, "  - %s\n", l)
		}
	}
	list("extrapolated beyond what was measured", a.Extrapolates)
	list("to be doubted", a.Warns)
	list("assumed", a.Assumes)
	_, err := io.WriteString(w, b.String())
	return err
}

func days(hours float64) string {
	if hours >= 24 {
		return fmt.Sprintf("%.3g d", hours/24)
	}
	return fmt.Sprintf("%.3g h", hours)
}

// Text writes what was measured and how well the laws predict what they did not see.
func (m *Model) Text(w io.Writer) error {
	b, software := &strings.Builder{}, m.Software
	if software == "" {
		software = "a broker"
	}
	fmt.Fprintf(b, "%s on %s, %d cores, within %s\n\n", software, orUnknown(m.Host.CPU), m.Host.Cores,
		m.Objectives)
	wide := 13
	for _, x := range m.Measured {
		wide = max(wide, utf8.RuneCountInString(x.Config.String()))
	}
	fmt.Fprintf(b, "  %-*s  %-44s %6s %10s\n", wide, "configuration", "capacity", "steps", "CPU-s/M")
	for i := range m.Measured {
		x := &m.Measured[i]
		text := "not done"
		switch {
		case x.Done && x.Capacity != nil:
			text = span(*x.Capacity, "msg/s")
			if x.Bound != "" {
				text = "≥ " + text
			}
		case x.Done:
			text = x.Bound
		}
		fmt.Fprintf(b, "  %-*s  %-44s %6d %10s\n", wide, x.Config, text, len(x.Steps), m.cpuText(x))
	}
	for _, s := range append(slices.Clone(m.Scaling), m.OverLabel("cores")...) {
		fmt.Fprintf(b, "\nover %s (%s)\n", s.Over, s.Config)
		s.USL.text(b)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (m *Model) cpuText(x *Measured) string {
	cpu, messages := 0.0, 0.0
	for _, s := range x.near(m.Objectives) {
		cpu, messages = cpu+s.BrokerCPU, messages+float64(s.Messages)
	}
	if cpu == 0 || messages == 0 {
		return "—"
	}
	return fmt.Sprintf("%.3g", cpu/messages*1e6)
}

func orUnknown(s string) string {
	if s == "" {
		return "unknown"
	}
	return s
}

func (u *USL) text(b *strings.Builder) {
	if u == nil {
		return
	}
	fmt.Fprintf(b, "  X(N) = γN / (1 + α(N−1) + βN(N−1)), R² %.4f\n", u.R2)
	for _, p := range []struct {
		name string
		v    Interval
	}{{"γ", u.Gamma}, {"α", u.Alpha}, {"β", u.Beta}} {
		fmt.Fprintf(b, "  %s = %.4g (%.3g … %.3g)\n", p.name, p.v.Value, p.v.Low, p.v.High)
	}
	if u.PeakN != nil {
		fmt.Fprintf(b, "  peak %s at N=%.1f\n", units(*u.PeakX, "msg/s"), *u.PeakN)
	}
	for _, r := range u.Remarks {
		fmt.Fprintf(b, "  - %s\n", r)
	}
}

// Text writes the laws and their predictions of what was left out.
func (l *Laws) Text(w io.Writer) error {
	b := &strings.Builder{}
	for _, f := range []*Fit{l.Capacity, l.CPU, l.Written, l.Flushes} {
		if f != nil {
			f.text(b)
		}
	}
	leftText(b, "capacity, msg/s: each configuration left out and predicted from the others", l.LeftOut)
	leftText(b, "broker CPU, s per million messages, likewise", l.LeftOutCPU)
	_, err := io.WriteString(w, b.String())
	return err
}

func (f *Fit) text(b *strings.Builder) {
	fmt.Fprintf(b, "%s of a request = (%.4g + %.4g·bytes + %.4g·messages + %.4g·bytes read) %s\n", f.Target,
		f.PerRequest, f.PerByte, f.PerMessage, f.PerRead, f.Unit)
	fmt.Fprintf(b, "  × (connections/%.3g)^%.3f × (partitions/%.3g)^%.3f", f.N0, f.Connections, f.P0, f.Partitions)
	for _, name := range sortedKeys(f.Levels) {
		fmt.Fprintf(b, " × %.3f if %s", f.Levels[name], name)
	}
	fmt.Fprintf(b, "\n  %d configurations; error of the fit %.1f %%, of predictions left out %.1f %%\n",
		f.Observed, f.Error*100, f.LeftOut*100)
}

func leftText(b *strings.Builder, title string, list []Left) {
	if len(list) == 0 {
		return
	}
	fmt.Fprintf(b, "\n%s\n", title)
	wide := 0
	for _, l := range list {
		wide = max(wide, utf8.RuneCountInString(l.Config.String()))
	}
	for _, l := range list {
		if l.Unknown {
			fmt.Fprintf(b, "  %-*s %10s   nothing to be said: %s\n", wide, l.Config, units(l.Measured.Value, ""),
				strings.Join(l.Beyond, "; "))
			continue
		}
		mark := "  "
		if l.Off() > asked {
			mark = "✗ "
		}
		fmt.Fprintf(b, "%s%-*s %10s %10s %+6.1f %%", mark, wide, l.Config, units(l.Measured.Value, ""),
			units(l.Predicted, ""),
			(l.Ratio-1)*100)
		if len(l.Beyond) > 0 {
			fmt.Fprintf(b, "   extrapolated: %s", strings.Join(l.Beyond, "; "))
		}
		b.WriteString("\n")
	}
	s := ScoreOf(list)
	fmt.Fprintf(b, "  within 20 %%: %d of %d; of the %d that the others cover %d; median error %.1f %%, "+
		"worst %.1f %%\n",
		s.Within, s.All, s.Inside, s.InsideOK, s.Median*100, s.Worst*100)
}
