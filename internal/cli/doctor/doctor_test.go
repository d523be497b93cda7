package doctor

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"millrace/internal/cli"

	"golang.org/x/sys/unix"
)

// madeUp is a machine out of a few files.
func madeUp(t *testing.T, files map[string]string) host {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		full := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(text+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return host{
		root:    root,
		release: func() string { return "6.18.44-generic" },
		uring:   func() (bool, string) { return true, "" },
		limit:   func(int) (uint64, error) { return unix.RLIM_INFINITY, nil },
		cpus:    8,
	}
}

var good = map[string]string{
	"proc/meminfo":                               "MemTotal: 8388608 kB\nMemAvailable:    4194304 kB\nSwapTotal:             0 kB",
	"proc/sys/net/core/somaxconn":                "4096",
	"sys/fs/cgroup/cpu.max":                      "max 100000",
	"sys/fs/cgroup/memory.max":                   "max",
	"sys/kernel/mm/transparent_hugepage/enabled": "always [madvise] never",
	"sys/devices/system/clocksource/clocksource0/current_clocksource": "tsc",
}

func TestAGoodMachine(t *testing.T) {
	for _, c := range madeUp(t, good).checks() {
		if c.Verdict != OK || c.Advice != "" || c.Found == "" {
			t.Errorf("%+v", c)
		}
	}
}

func TestABadMachine(t *testing.T) {
	h := madeUp(t, map[string]string{
		"proc/meminfo":                               "MemAvailable: 102400 kB\nSwapTotal: 1048576 kB",
		"proc/sys/vm/swappiness":                     "60",
		"proc/sys/net/core/somaxconn":                "128",
		"proc/sys/kernel/io_uring_disabled":          "0",
		"proc/self/status":                           "Name:\tx\nSeccomp:\t2",
		"sys/fs/cgroup/cpu.max":                      "50000 100000",
		"sys/fs/cgroup/memory.max":                   "536870912",
		"sys/fs/cgroup/memory.current":               "1048576",
		"sys/kernel/mm/transparent_hugepage/enabled": "[always] madvise never",
		"sys/devices/system/clocksource/clocksource0/current_clocksource": "hpet",
	})
	h.release = func() string { return "5.10.0-8-amd64" }
	h.uring = func() (bool, string) { return false, "operation not permitted" }
	h.limit = func(int) (uint64, error) { return 512, nil }
	want := map[string]struct {
		verdict Verdict
		advice  string
	}{
		"kernel": {Warn, "6.1"}, "io_uring": {Warn, "seccomp"}, "open files": {Fail, "LimitNOFILE"},
		"locked memory": {Warn, "LimitMEMLOCK"}, "processors": {Warn, "two"}, "memory": {Fail, "1 GiB"},
		"swap": {Warn, "swappiness"}, "transparent huge pages": {Warn, "madvise"}, "somaxconn": {Warn, "4096"},
		"clock source": {Warn, "tsc"},
	}
	checks := h.checks()
	if len(checks) != len(want) {
		t.Errorf("%d checks, want %d", len(checks), len(want))
	}
	for _, c := range checks {
		w := want[c.Name]
		if c.Verdict != w.verdict || !strings.Contains(c.Advice, w.advice) {
			t.Errorf("%+v, want %v with %q", c, w.verdict, w.advice)
		}
	}
	h.root = madeUp(t, map[string]string{"proc/sys/kernel/io_uring_disabled": "2"}).root
	if c := h.ioUring(); !strings.Contains(c.Advice, "kernel.io_uring_disabled=0") {
		t.Errorf("%+v", c)
	}
}

func TestDirectoryIsLeftAsItWas(t *testing.T) {
	dir := t.TempDir()
	checks := directory(filepath.Join(dir, "not", "there"), true)
	for _, c := range checks {
		if c.Verdict == Fail && c.Name != "disk space" {
			t.Errorf("%+v", c)
		}
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if c := directory(file, true)[0]; c.Verdict != Fail || !strings.Contains(c.Found, "not a directory") {
		t.Errorf("%+v", c)
	}
}

func TestJudgement(t *testing.T) {
	times := make([]time.Duration, 100)
	for i := range times {
		times[i] = time.Millisecond
	}
	if c := judgeFlushes(times); c.Verdict != OK || !strings.Contains(c.Found, "p50 1ms") {
		t.Errorf("%+v", c)
	}
	times[99] = time.Second
	if c := judgeFlushes(times); c.Verdict != Warn || !strings.Contains(c.Advice, "--durability write") {
		t.Errorf("%+v", c)
	}
	if c := judgeSpeed(1 << 20); c.Verdict != Warn || !strings.Contains(c.Found, "1 MiB/s") {
		t.Errorf("%+v", c)
	}
	if c := failedWrite(unix.ENOSPC); c.Verdict != Fail || !strings.Contains(c.Advice, "space") {
		t.Errorf("%+v", c)
	}
}

func TestCommand(t *testing.T) {
	var out, errs bytes.Buffer
	run := func(args ...string) int {
		out.Reset()
		errs.Reset()
		return cli.Run(context.Background(), Command(), args, nil, &out, &errs)
	}
	code := run("--json", "--no-disk", "--data", t.TempDir())
	var checks []Check
	if err := json.Unmarshal(out.Bytes(), &checks); err != nil || len(checks) < 10 {
		t.Fatalf("code %d, %v: %s", code, err, out.String())
	}
	failed := false
	for _, c := range checks {
		failed = failed || c.Verdict == Fail
	}
	if failed != (code == cli.ExitFailed) {
		t.Errorf("code %d with %+v", code, checks)
	}
	if code := run("--data", "/proc/version"); code != cli.ExitFailed || !strings.Contains(out.String(), "FAIL  data dir") {
		t.Errorf("code %d: %s", code, out.String())
	}
	if code := run("extra"); code != cli.ExitUsage {
		t.Errorf("code %d", code)
	}
}
