package limits

import (
	"fmt"
	"io"
	"math"
	"strings"
)

// Text writes the limits for a person.
func (l *Limits) Text(w io.Writer) error {
	b := &strings.Builder{}
	h := l.Host
	fmt.Fprintf(b, "%s, %d cores, Linux %s", orUnknown(h.CPU), h.Cores, orUnknown(h.Kernel))
	if h.Disk != nil {
		fmt.Fprintf(b, "; %s on %s below %s", orUnknown(h.Disk.Filesystem), orUnknown(h.Disk.Device), h.Disk.Directory)
	}
	fmt.Fprintf(b, "\nmedian of %d rounds (least … greatest), %.1f s\n", l.Rounds, l.Seconds)
	group := ""
	for _, f := range l.Figures {
		if f.Group != group {
			group = f.Group
			fmt.Fprintf(b, "\n%s\n", group)
		}
		fmt.Fprintf(b, "  %-58s %9s %-9s (%s … %s)\n", f.Name, figure(f.Value), f.Unit, figure(f.Low), figure(f.High))
	}
	b.WriteString("\ncomposite, MB/s of one core\n")
	for _, c := range l.Composites() {
		var parts []string
		for _, p := range c.Parts {
			parts = append(parts, p.Name+" "+figure(p.Value))
		}
		fmt.Fprintf(b, "  %-58s %9s MB/s      (%s)\n", c.Name, figure(c.Rate), strings.Join(parts, ", "))
	}
	for i, s := range l.Skipped {
		if i == 0 {
			b.WriteString("\nnot measured\n")
		}
		fmt.Fprintf(b, "  %s: %s\n", s.Name, s.Why)
	}
	if l.Busy > 0.1 || l.Steal > 0.05 {
		fmt.Fprintf(b, "\nnot quiet: other processes took %.2f cores, the hypervisor %.2f\n", l.Busy, l.Steal)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func orUnknown(s string) string {
	if s == "" {
		return "unknown"
	}
	return s
}

// figure writes three digits, and thousands whole.
func figure(v float64) string {
	switch {
	case v == 0:
		return "0"
	case math.Abs(v) >= 100:
		return fmt.Sprintf("%.0f", v)
	case math.Abs(v) >= 10:
		return fmt.Sprintf("%.1f", v)
	case math.Abs(v) >= 1:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.3f", v)
}
