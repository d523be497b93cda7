package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"millrace/loadgen/result"
	"millrace/loadgen/view"
)

// measured writes the result of a short run into a directory.
func measured(t *testing.T, dir, name string, micros int64) string {
	t.Helper()
	h := result.NewHistogram()
	for i := range int64(2000) {
		_ = h.RecordValue((micros + i%50) * 1000)
	}
	r := &result.Run{Format: result.Format, ID: name, Name: name, Load: "produce", Client: "raw",
		Started: time.Date(2026, 9, 1, 0, 0, 0, 0, time.UTC), Seconds: 1, Sent: 2000, Acked: 2000,
		Host:      result.Host{Name: name},
		Latencies: map[result.Kind]result.Summary{result.Response: result.Summarize(h)},
		Intervals: []result.Interval{{Seconds: 1, Sent: 2000, Acked: 2000,
			Latencies: map[result.Kind]result.Window{result.Response: result.Observe(h)}}}}
	path := filepath.Join(dir, name+".json")
	if err := r.WriteFile(path); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestMergeAndReport(t *testing.T) {
	dir := t.TempDir()
	a, b := measured(t, dir, "east", 200), measured(t, dir, "west", 900)
	both, log, page := filepath.Join(dir, "both.json"), filepath.Join(dir, "both.hlog"), filepath.Join(dir, "x.html")
	merge := func(args ...string) error {
		cmd := mergeCommand()
		cmd.SilenceErrors, cmd.SilenceUsage = true, true
		cmd.SetArgs(args)
		return cmd.Execute()
	}
	report := func(args ...string) error {
		cmd := reportCommand()
		cmd.SilenceErrors, cmd.SilenceUsage = true, true
		cmd.SetArgs(args)
		return cmd.Execute()
	}
	if err := merge(a, b, "-o", both); err != nil {
		t.Fatal(err)
	}
	if err := merge(both, "-o", log); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{both, log} {
		r, err := result.Load(path)
		if err != nil || r.Acked != 4000 || r.Latencies[result.Response].Count != 4000 {
			t.Errorf("%s: %v %+v", path, err, r)
		}
	}
	if err := report(a, b, log, "-o", page, "--title", "East and west", "--pictures", filepath.Join(dir, "p")); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(page); err != nil || !bytes.Contains(text, []byte("<h1>East and west</h1>")) {
		t.Errorf("no report: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "p", "latency-by-percentile.svg")); err != nil {
		t.Error(err)
	}

	campaign := filepath.Join(dir, "campaign.json")
	c := &view.Campaign{Title: "Two", Contestants: []view.Contestant{{Name: "A"}, {Name: "B"}}, Rows: []view.Row{{
		Group: "Cost", Load: "one", Figure: "CPU", Ratios: []view.Ratio{view.NewRatio("B", []float64{1, 2}, []float64{3, 4})}}}}
	var out bytes.Buffer
	if err := c.Write(&out); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(campaign, out.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := report(campaign, "--pictures", dir, "--prefix", "two-"); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"campaign.html", "two-cost.svg"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
	for want, args := range map[string][]string{
		"is an input":          {a, "-o", a},
		"report of its own":    {campaign, a},
		"no such file":         {filepath.Join(dir, "none.json")},
		"is not \"loadgen/1\"": {campaignLike(t, dir)},
	} {
		if err := report(args...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %s", args, err, want)
		}
	}
	if err := merge(a, b); err == nil || !strings.Contains(err.Error(), "--output") {
		t.Errorf("merged to nowhere: %v", err)
	}
}

// campaignLike is a file of a format that nobody knows.
func campaignLike(t *testing.T, dir string) string {
	t.Helper()
	path := filepath.Join(dir, "other.json")
	if err := os.WriteFile(path, []byte(`{"format":"other/9"}`), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}
