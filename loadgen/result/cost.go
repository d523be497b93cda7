package result

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Usage is what a process has used since it was started.
type Usage struct {
	At   time.Time
	Cost // cumulative, but for RSS, which is of now
}

// Since is what was used between two readings.
func (u Usage) Since(from Usage) *Cost {
	c := u.Cost
	c.Seconds = u.At.Sub(from.At).Seconds()
	c.CPUSeconds = max(0, u.CPUSeconds-from.CPUSeconds)
	c.User = max(0, u.User-from.User)
	c.System = max(0, u.System-from.System)
	// Threads that have ended take their switches with them.
	c.VoluntarySwitches = max(0, u.VoluntarySwitches-from.VoluntarySwitches)
	c.InvoluntarySwitches = max(0, u.InvoluntarySwitches-from.InvoluntarySwitches)
	c.DiskWritten = max(0, u.DiskWritten-from.DiskWritten)
	c.DiskRead = max(0, u.DiskRead-from.DiskRead)
	c.Source = ""
	return &c
}

// CostSource reads what a broker has used: its process on this machine, or what it tells of itself.
type CostSource struct {
	pid   int
	start string // of the process, as the kernel counts: a pid may be used again
	url   string
	web   *http.Client
}

// readTimeout is how long an admin address may take to answer.
const readTimeout = 3 * time.Second

// NewCostSource reads a process if pid is not 0, else http://admin/metrics; nil when neither is
// given.
func NewCostSource(pid int, admin string) (*CostSource, error) {
	switch {
	case pid != 0:
		stat, err := processStat(pid)
		if err != nil {
			return nil, err
		}
		return &CostSource{pid: pid, start: stat[startField]}, nil
	case admin != "":
		if !strings.Contains(admin, "://") {
			admin = "http://" + admin
		}
		if !strings.HasSuffix(admin, "/metrics") {
			admin = strings.TrimSuffix(admin, "/") + "/metrics"
		}
		return &CostSource{url: admin, web: &http.Client{Timeout: readTimeout}}, nil
	}
	return nil, nil
}

// Name says where figures come from.
func (s *CostSource) Name() string {
	if s.pid != 0 {
		return "pid " + strconv.Itoa(s.pid)
	}
	return s.url
}

// Read reads what was used until now. The admin address takes a broker some milliseconds of work;
// a process is read without it noticing.
func (s *CostSource) Read(ctx context.Context) (Usage, error) {
	if s.pid == 0 {
		return s.scrape(ctx)
	}
	stat, err := processStat(s.pid)
	if err != nil {
		return Usage{}, err
	}
	if stat[startField] != s.start {
		return Usage{}, fmt.Errorf("result: process %d is another one now", s.pid)
	}
	u := Usage{At: time.Now()}
	number := func(i int) float64 { v, _ := strconv.ParseFloat(stat[i], 64); return v }
	u.User, u.System = number(userField)/ticks, number(systemField)/ticks
	u.CPUSeconds = u.User + u.System
	// The clock of the process is exact where the ticks of /proc are hundredths; an unprivileged
	// reader may look at it, too.
	var ts unix.Timespec
	if unix.ClockGettime(processClock(s.pid), &ts) == nil {
		u.CPUSeconds = float64(ts.Nano()) / 1e9
	}
	u.RSS = int64(number(rssField)) * int64(os.Getpagesize())
	u.disk(s.pid)
	u.switches(s.pid)
	return u, nil
}

// Fields of /proc/PID/stat behind the name.
const (
	userField   = 11
	systemField = 12
	startField  = 19
	rssField    = 21
	ticks       = 100 // USER_HZ, the unit of /proc: the same on every Linux
)

// processClock is the kernel's id of the CPU clock of a process.
func processClock(pid int) int32 { return int32(^uint32(pid)<<3 | 2) }

func processStat(pid int) ([]string, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("result: no process %d: %w", pid, err)
	}
	if err != nil {
		return nil, fmt.Errorf("result: process %d: %w", pid, err)
	}
	text := string(data)
	words := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	if len(words) <= rssField {
		return nil, fmt.Errorf("result: /proc/%d/stat has %d fields", pid, len(words))
	}
	return words, nil
}

// disk reads what went to the storage layer; only the owner and root may.
func (u *Usage) disk(pid int) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", pid))
	if err != nil {
		u.Unknown = append(u.Unknown, "disk_written_bytes", "disk_read_bytes")
		return
	}
	for _, line := range strings.Split(string(data), "\n") {
		name, value, _ := strings.Cut(line, ": ")
		n, _ := strconv.ParseInt(value, 10, 64)
		switch name {
		case "write_bytes":
			u.DiskWritten = n
		case "read_bytes":
			u.DiskRead = n
		}
	}
}

// switches adds up those of all threads: the kernel keeps no sum.
func (u *Usage) switches(pid int) {
	dir := fmt.Sprintf("/proc/%d/task", pid)
	threads, err := os.ReadDir(dir)
	if err != nil {
		u.Unknown = append(u.Unknown, "voluntary_switches", "involuntary_switches")
		return
	}
	for _, t := range threads {
		data, err := os.ReadFile(dir + "/" + t.Name() + "/status")
		if err != nil {
			continue // it has ended
		}
		text := string(data)
		for name, to := range map[string]*int64{
			"\nvoluntary_ctxt_switches:":    &u.VoluntarySwitches,
			"\nnonvoluntary_ctxt_switches:": &u.InvoluntarySwitches,
		} {
			if _, behind, found := strings.Cut(text, name); found {
				value, _, _ := strings.Cut(behind, "\n")
				n, _ := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
				*to += n
			}
		}
	}
}

// exported are the metrics that tell what a broker has used, and where they go. The first group is
// what every Prometheus client exports; Kafka's JMX exporter, too.
var exported = map[string]func(*Usage, float64){
	"process_cpu_seconds_total":     func(u *Usage, v float64) { u.CPUSeconds = v },
	"process_resident_memory_bytes": func(u *Usage, v float64) { u.RSS = int64(v) },

	"millrace_process_user_seconds_total":         func(u *Usage, v float64) { u.User = v },
	"millrace_process_system_seconds_total":       func(u *Usage, v float64) { u.System = v },
	"millrace_process_voluntary_switches_total":   func(u *Usage, v float64) { u.VoluntarySwitches = int64(v) },
	"millrace_process_involuntary_switches_total": func(u *Usage, v float64) { u.InvoluntarySwitches = int64(v) },
	"millrace_process_disk_written_bytes_total":   func(u *Usage, v float64) { u.DiskWritten = int64(v) },
	"millrace_process_disk_read_bytes_total":      func(u *Usage, v float64) { u.DiskRead = int64(v) },
}

// fields of Cost that the metrics fill, by their names in JSON.
var fields = map[string]string{
	"millrace_process_user_seconds_total":         "user_seconds",
	"millrace_process_system_seconds_total":       "system_seconds",
	"millrace_process_voluntary_switches_total":   "voluntary_switches",
	"millrace_process_involuntary_switches_total": "involuntary_switches",
	"millrace_process_disk_written_bytes_total":   "disk_written_bytes",
	"millrace_process_disk_read_bytes_total":      "disk_read_bytes",
	"process_resident_memory_bytes":               "rss_bytes",
}

// maxScrape is the most that is read of an answer.
const maxScrape = 64 << 20

func (s *CostSource) scrape(ctx context.Context) (Usage, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, nil)
	if err != nil {
		return Usage{}, fmt.Errorf("result: admin address: %w", err)
	}
	answer, err := s.web.Do(req)
	if err != nil {
		return Usage{}, fmt.Errorf("result: admin address: %w", err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return Usage{}, fmt.Errorf("result: admin address: %s: %s", s.url, answer.Status)
	}
	return parseMetrics(io.LimitReader(answer.Body, maxScrape), s.url)
}

// parseMetrics picks what is wanted of Prometheus' text format.
func parseMetrics(r io.Reader, name string) (Usage, error) {
	u, seen := Usage{At: time.Now()}, map[string]bool{}
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 64<<10), 1<<20)
	for lines.Scan() {
		metric, value, _ := strings.Cut(lines.Text(), " ")
		set := exported[metric]
		if set == nil {
			continue
		}
		word, _, _ := strings.Cut(strings.TrimSpace(value), " ")
		v, err := strconv.ParseFloat(word, 64)
		if err != nil || !(v >= 0 && v < 1e18) {
			return Usage{}, fmt.Errorf("result: %s: %s is %.40q", name, metric, value)
		}
		set(&u, v)
		seen[metric] = true
	}
	if err := lines.Err(); err != nil {
		return Usage{}, fmt.Errorf("result: %s: %w", name, err)
	}
	if !seen["process_cpu_seconds_total"] {
		return Usage{}, fmt.Errorf("result: %s does not tell process_cpu_seconds_total", name)
	}
	for metric, field := range fields {
		if !seen[metric] {
			u.Unknown = append(u.Unknown, field)
		}
	}
	slices.Sort(u.Unknown)
	return u, nil
}

// SelfUsage is what this process has used.
func SelfUsage() Usage {
	u := Usage{At: time.Now()}
	var ru unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &ru) != nil {
		return u
	}
	u.User, u.System = float64(ru.Utime.Nano())/1e9, float64(ru.Stime.Nano())/1e9
	u.CPUSeconds = u.User + u.System
	u.VoluntarySwitches, u.InvoluntarySwitches = ru.Nvcsw, ru.Nivcsw
	if stat, err := processStat(os.Getpid()); err == nil {
		pages, _ := strconv.ParseInt(stat[rssField], 10, 64)
		u.RSS = pages * int64(os.Getpagesize())
	}
	u.disk(os.Getpid())
	return u
}
