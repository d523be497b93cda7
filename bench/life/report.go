package life

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Figure is one measured value and what is asked of it; 0: nothing is.
type Figure struct {
	Broker string
	What   string
	Value  float64
	Unit   string
	Most   float64 `json:",omitempty"` // it must not be above
	Least  float64 `json:",omitempty"` // it must not be below
	Note   string  `json:",omitempty"`
}

// Met says whether the figure is as asked.
func (f *Figure) Met() bool {
	return (f.Most == 0 || f.Value <= f.Most) && (f.Least == 0 || f.Value >= f.Least)
}

func (f *Figure) verdict() string {
	asked := ""
	switch {
	case f.Most != 0:
		asked = fmt.Sprintf("≤ %g", f.Most)
	case f.Least != 0:
		asked = fmt.Sprintf("≥ %g", f.Least)
	default:
		return ""
	}
	if f.Met() {
		return asked + "  met"
	}
	return asked + "  missed"
}

// Report collects figures and prints each as it comes.
type Report struct {
	Out     io.Writer
	Figures []Figure
}

// Add notes a figure.
func (r *Report) Add(f Figure) {
	r.Figures = append(r.Figures, f)
	fmt.Fprintf(r.Out, "  %-10s %-64s %12.4g %-6s %-18s %s\n", f.Broker, f.What, f.Value, f.Unit,
		f.verdict(), f.Note)
}

// Time notes a duration in seconds.
func (r *Report) Time(broker, what string, d time.Duration, most float64, note string) {
	r.Add(Figure{Broker: broker, What: what, Value: d.Seconds(), Unit: "s", Most: most, Note: note})
}

// Say prints what is going on.
func (r *Report) Say(format string, args ...any) { fmt.Fprintf(r.Out, format+"\n", args...) }

// Save writes the figures to dir/name.json, and says where.
func (r *Report) Save(dir, name string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	data, err := json.MarshalIndent(map[string]any{
		"command": name, "time": time.Now().UTC().Format(time.RFC3339),
		"kernel": strings.TrimSpace(string(kernel)), "figures": r.Figures,
	}, "", " ")
	if err != nil {
		return err
	}
	path := filepath.Join(dir, name+".json")
	r.Say("\nfigures in %s", path)
	return os.WriteFile(path, append(data, '\n'), 0o644)
}
