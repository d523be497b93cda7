package main

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"millrace/loadgen/plan"
	"millrace/loadgen/stub"
)

// command runs a command line in the process and gives what it printed.
func command(t *testing.T, args ...string) (out, errs string, err error) {
	t.Helper()
	var o, e strings.Builder
	root := rootCommand()
	root.SetOut(&o)
	root.SetErr(&e)
	root.SetArgs(args)
	err = root.ExecuteContext(context.Background())
	return o.String(), e.String(), err
}

func code(err error) int {
	var f *failure
	if errors.As(err, &f) {
		return f.code
	}
	return exitUsage
}

// A sweep of real, very short steps against a broker that does nothing; then everything that can
// be done with its model.
func TestSweepAndPlan(t *testing.T) {
	s, err := stub.Start(stub.Options{Listen: []string{"127.0.0.1:0"}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	model := filepath.Join(t.TempDir(), "model.json")
	sweep := []string{"sweep", "--brokers", s.Addrs()[0], "--slo", "p99=500ms", "--sizes", "100,400,1600",
		"--batch", "4,64", "--connections", "2", "--duration", "100ms", "--warmup", "20ms", "--settle", "0s",
		"--turns", "1", "--max-steps", "3", "--rung", "50", "--out", model}
	out, _, err := command(t, append(sweep, "--list")...)
	if err != nil || !strings.Contains(out, "6 configurations") {
		t.Fatalf("%v\n%s", err, out)
	}
	if _, err := os.Stat(model); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("--list has measured: %v", err)
	}
	out, errs, err := command(t, append(sweep, "--label", "durability=none")...)
	if err != nil {
		t.Fatalf("%v\n%s", err, errs)
	}
	if !strings.Contains(out, "1600 B × 64") || !strings.Contains(errs, "as fast as it goes") {
		t.Errorf("%s\n%s", out, errs)
	}
	// Once more there is nothing left to do; other steps would be another model.
	if _, errs, err = command(t, append(sweep, "--label", "durability=none")...); err != nil || errs != "" {
		t.Errorf("again: %v\n%s", err, errs)
	}
	if _, _, err = command(t, append(sweep, "--turns", "2")...); err == nil || !strings.Contains(err.Error(), "--fresh") {
		t.Errorf("other steps in one model: %v", err)
	}
	// With steps of 100 ms beside other tests predictions may be anything, but told.
	out, _, err = command(t, "sweep", "--check", "--out", model)
	if err != nil && code(err) != exitFailed || !strings.Contains(out, "left out and predicted") {
		t.Errorf("%v\n%s", err, out)
	}
	out, _, err = command(t, "plan", "--model", model, "--rate", "2M", "--size", "200", "--batch", "16KiB",
		"--retention", "7d", "--host-network", "10G", "--host-disk", "4TB", "--json")
	if err != nil {
		t.Fatal(err)
	}
	var a plan.Answer
	if err := json.Unmarshal([]byte(out), &a); err != nil {
		t.Fatal(err)
	}
	if a.Demand.Rate != 2e6 || a.Hosts.Value < 3 || a.Demand.HostNetwork != 1e10 || a.Demand.HostDisk != 4e12 ||
		len(a.Assumes) == 0 {
		t.Errorf("%+v", a)
	}
}

func TestPlanOptions(t *testing.T) {
	model := filepath.Join(t.TempDir(), "model.json")
	for name, x := range map[string]struct {
		code int
		args []string
	}{
		"no model":       {exitFailed, []string{"plan", "--model", model, "--rate", "1"}},
		"no model check": {exitFailed, []string{"sweep", "--check", "--out", model}},
		"objective":      {exitUsage, []string{"sweep", "--slo", "p99", "--out", model}},
		"sizes":          {exitUsage, []string{"sweep", "--sizes", "1x", "--out", model}},
		"batch":          {exitUsage, []string{"sweep", "--batch", "0", "--out", model}},
		"connections":    {exitUsage, []string{"sweep", "--connections", "-1", "--out", model}},
		"acks":           {exitUsage, []string{"sweep", "--acks", "2", "--out", model}},
		"nobody reads":   {exitUsage, []string{"sweep", "--slo", "e2e-p99=5ms", "--out", model}},
		"scale":          {exitUsage, []string{"sweep", "--scale", "cores=1,2,3,4", "--out", model}},
		"scale few":      {exitUsage, []string{"sweep", "--scale", "connections=1,2", "--out", model}},
		"rung":           {exitUsage, []string{"sweep", "--rung", "0", "--out", model}},
		"argument":       {exitUsage, []string{"sweep", "fast"}},
		"budget":         {exitUsage, []string{"limits", "--budget", "1ms"}},
		"no limits":      {exitFailed, []string{"limits", "--from", model}},
		"no directory":   {exitFailed, []string{"limits", "--dir", filepath.Join(model, "none")}},
	} {
		if _, _, err := command(t, x.args...); err == nil || code(err) != x.code {
			t.Errorf("%s: %v, code %d", name, err, code(err))
		}
	}
	if _, err := os.Stat(model); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a refused command has written: %v", err)
	}
}

func TestLimitsCommand(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "limits.json")
	out, _, err := command(t, "limits", "--dir", dir, "--budget", "2s", "--rounds", "1", "--save", file)
	if err != nil || !strings.Contains(out, "composite") {
		t.Fatalf("%v\n%s", err, out)
	}
	out, _, err = command(t, "limits", "--from", file, "--json")
	var got struct {
		Figures    []struct{ Key string }
		Skipped    []struct{ Why string }
		Composites []struct{ Name string }
	}
	// Beside other tests two seconds may not be enough for all.
	if err != nil || json.Unmarshal([]byte(out), &got) != nil || len(got.Figures) == 0 ||
		len(got.Figures)+len(got.Skipped) < 40 || len(got.Skipped) == 0 && len(got.Composites) < 4 {
		t.Errorf("%v\n%s", err, out)
	}
}
