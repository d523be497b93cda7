package result

import (
	"context"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// tree writes files below a directory.
func tree(t *testing.T, content map[string]string) files {
	t.Helper()
	root := t.TempDir()
	for name, text := range content {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return files{root}
}

func TestHostOfFiles(t *testing.T) {
	f := tree(t, map[string]string{
		"proc/cpuinfo": "processor\t: 0\nmodel name\t: Fast CPU 3000\nflags\t\t: fpu hypervisor sse\n\n" +
			"processor\t: 1\nmodel name\t: Fast CPU 3000\n",
		"proc/meminfo":                 "MemTotal:       16318480 kB\nMemFree: 1 kB\n",
		"proc/sys/kernel/osrelease":    "6.12.1\n",
		"etc/os-release":               "NAME=x\nPRETTY_NAME=\"Some Linux 12\"\n",
		"sys/class/dmi/id/sys_vendor":  "QEMU\n",
		"proc/self/cgroup":             "0::/a/b\n",
		"sys/fs/cgroup/a/cpu.max":      "150000 100000\n",
		"sys/fs/cgroup/a/b/cpu.max":    "max 100000\n",
		"sys/fs/cgroup/a/b/memory.max": "1073741824\n",
		"sys/fs/cgroup/a/memory.max":   "max\n",
		"proc/self/mountinfo": "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n" +
			"2 1 8:17 / /data rw,noatime shared:1 - xfs /dev/sdb1 rw\n",
		"devices/sdb/queue/rotational":  "1\n",
		"devices/sdb/queue/scheduler":   "none [mq-deadline] kyber\n",
		"devices/sdb/queue/write_cache": "write back\n",
		"devices/sdb/device/model":      "Old Disk\n",
		"devices/sdb/sdb1/partition":    "1\n",
	})
	if err := os.MkdirAll(filepath.Join(f.root, "sys/dev/block"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../../../devices/sdb/sdb1", filepath.Join(f.root, "sys/dev/block/8:17")); err != nil {
		t.Fatal(err)
	}
	want := Host{CPU: "Fast CPU 3000", Cores: 2, Kernel: "6.12.1", System: "Some Linux 12",
		Hypervisor: "QEMU", Memory: 16318480 << 10, CPULimit: 1.5, MemLimit: 1 << 30}
	if got := f.host(); got != want {
		t.Errorf("%+v", got)
	}
	d := Disk{Directory: "/data/log", Filesystem: "xfs", Options: "rw,noatime", Device: "/dev/sdb1",
		Model: "Old Disk", Scheduler: "mq-deadline", Rotational: true, Cache: "write back"}
	if got := f.disk("/data/log", 8, 17); *got != d {
		t.Errorf("%+v", got)
	}
	if got := f.disk("/database", 0, 55); got.Filesystem != "ext4" { // not below /data
		t.Errorf("%+v", got)
	}
	old := tree(t, map[string]string{
		"proc/self/cgroup": "4:memory:/m\n3:cpu,cpuacct:/c\n",
		"sys/fs/cgroup/cpu,cpuacct/c/cpu.cfs_quota_us": "50000", "sys/fs/cgroup/cpu,cpuacct/c/cpu.cfs_period_us": "100000",
		"sys/fs/cgroup/memory/m/memory.limit_in_bytes": "4096", "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712",
	})
	if c, m := old.cgroup(); c != 0.5 || m != 4096 {
		t.Errorf("limits of the first version: %v %v", c, m)
	}
}

func TestThisHost(t *testing.T) {
	h := ReadHost(".")
	if h.Cores < 1 || h.Kernel == "" || h.Memory == 0 || h.OpenFiles == 0 {
		t.Errorf("%+v", h)
	}
	if h.Disk == nil || h.Disk.Filesystem == "" || h.Disk.Size == 0 {
		t.Errorf("%+v", h.Disk)
	}
	if ReadHost("/no/such/place").Disk != nil {
		t.Error("a disk below nothing")
	}
}

func TestCostOfAProcess(t *testing.T) {
	s, err := NewCostSource(os.Getpid(), "ignored:1")
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	machine, err := ReadMachine()
	if err != nil {
		t.Fatal(err)
	}
	self := SelfUsage()
	from, err := s.Read(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for sum := 0; SelfUsage().CPUSeconds < self.CPUSeconds+0.25; {
		sum += len(strings.Repeat("work", 1000+sum%7))
	}
	to, err := s.Read(ctx)
	if err != nil {
		t.Fatal(err)
	}
	own := SelfUsage().Since(self)
	c := to.Since(from)
	if c.CPUSeconds < 0.2 || c.CPUSeconds > own.CPUSeconds+0.01 || c.RSS == 0 || c.Seconds <= 0 {
		t.Errorf("%+v, the process itself says %+v", c, own)
	}
	if own.User+own.System != own.CPUSeconds && own.User == 0 {
		t.Errorf("%+v", own)
	}
	later, err := ReadMachine()
	if err != nil {
		t.Fatal(err)
	}
	if m := later.Since(machine, c, nil); m.Busy < 0.15 || m.Cores < 1 || m.Foreign < 0 {
		t.Errorf("%+v", m)
	}
	if math.Abs(c.PerMillion(500_000)-c.CPUSeconds*2) > 1e-9 || math.Abs(c.PerGB(2e9)-c.CPUSeconds/2) > 1e-9 || c.PerGB(0) != 0 {
		t.Error("per million or per GB")
	}
	if _, err := NewCostSource(1<<22+5, ""); err == nil {
		t.Error("a process that is not there")
	}
	s.start = "7"
	if _, err := s.Read(ctx); err == nil || !strings.Contains(err.Error(), "another") {
		t.Errorf("a process with the number of an older one: %v", err)
	}
}

func TestCostByAdminAddress(t *testing.T) {
	body := "# TYPE process_cpu_seconds_total counter\nprocess_cpu_seconds_total 12.5\n" +
		"process_resident_memory_bytes 5.2428e+07\nother{a=\"b\"} 1\n" +
		"millrace_process_voluntary_switches_total 100 1790000000000\n"
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/metrics" {
			http.NotFound(w, r)
		}
		_, _ = w.Write([]byte(body))
	}))
	defer server.Close()
	s, err := NewCostSource(0, strings.TrimPrefix(server.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	from, err := s.Read(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	body = strings.Replace(strings.Replace(body, "12.5", "13.0", 1), " 100 ", " 160 ", 1)
	to, err := s.Read(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	c := to.Since(from)
	if c.CPUSeconds != 0.5 || c.RSS != 52428000 || c.VoluntarySwitches != 60 {
		t.Errorf("%+v", c)
	}
	if !slices.Contains(c.Unknown, "disk_written_bytes") || slices.Contains(c.Unknown, "rss_bytes") {
		t.Errorf("unknown: %v", c.Unknown)
	}
	body = "nothing 1\n"
	if _, err := s.Read(context.Background()); err == nil || !strings.Contains(err.Error(), "process_cpu") {
		t.Errorf("an answer without what is wanted: %v", err)
	}
	server.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if _, err := s.Read(ctx); err == nil {
		t.Error("a closed address")
	}
	if s, err := NewCostSource(0, ""); s != nil || err != nil {
		t.Error("nothing to read from")
	}
}
