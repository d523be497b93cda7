package loadgen

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sys/unix"
)

// Latency in microseconds.
type Latency struct {
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
	Max  float64 `json:"max"`
	N    int64   `json:"n"`
}

// Report is what one run has measured, after its warm-up.
type Report struct {
	Load     string  `json:"load"`
	Seconds  float64 `json:"seconds"`
	Requests int64   `json:"requests"`
	Messages int64   `json:"messages"`
	Bytes    int64   `json:"bytes"` // of record batches

	Latency Latency  `json:"latency_us"`         // closed loop: from the send; paced: from the intended send
	Delay   *Latency `json:"delay_us,omitempty"` // paced: how late requests left

	Broker  *Process `json:"broker,omitempty"`
	Client  float64  `json:"client_cpu_seconds"`
	Machine float64  `json:"machine_cpu_seconds"` // all of it, user, system and interrupts
	Steal   float64  `json:"steal_seconds"`
	Foreign float64  `json:"foreign_user_seconds"` // user time of neither broker nor client
}

// Process is what the broker's process has used.
type Process struct {
	CPU     float64 `json:"cpu_seconds"`
	User    float64 `json:"user_seconds"`
	System  float64 `json:"system_seconds"`
	RSS     int64   `json:"rss_bytes"`
	Written int64   `json:"written_bytes"` // to the storage layer
}

// PerMillion is the broker's CPU seconds per million messages.
func (r *Report) PerMillion() float64 {
	if r.Broker == nil || r.Messages == 0 {
		return 0
	}
	return r.Broker.CPU / float64(r.Messages) * 1e6
}

// PerGB is the broker's CPU seconds per 10⁹ bytes.
func (r *Report) PerGB() float64 {
	if r.Broker == nil || r.Bytes == 0 {
		return 0
	}
	return r.Broker.CPU / float64(r.Bytes) * 1e9
}

// histogram of nanoseconds, 1 µs to 60 s, three digits.
func newHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(1000, 60_000_000_000, 3) }

func latencyOf(h *hdrhistogram.Histogram) Latency {
	us := func(q float64) float64 { return float64(h.ValueAtQuantile(q)) / 1000 }
	return Latency{P50: us(50), P90: us(90), P99: us(99), P999: us(99.9),
		Max: float64(h.Max()) / 1000, N: h.TotalCount()}
}

func record(h *hdrhistogram.Histogram, d time.Duration) {
	_ = h.RecordValue(min(max(int64(d), 1000), 60_000_000_000))
}

// meter reads what processes and the machine have used between two moments.
type meter struct {
	pid            int
	user, system   float64
	written        int64
	client         float64
	clientUser     float64
	machine, steal float64
	machineUser    float64
	at             time.Time
}

const ticks = 100 // USER_HZ, the unit of /proc: the same on every Linux

func readMeter(pid int) (meter, error) {
	m := meter{pid: pid, at: time.Now()}
	if pid != 0 {
		f, err := statFields(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return m, err
		}
		m.user, m.system = f[11]/ticks, f[12]/ticks
		m.written = writtenBytes(pid)
	}
	var ru unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &ru); err != nil {
		return m, err
	}
	m.clientUser = float64(ru.Utime.Nano()) / 1e9
	m.client = float64(ru.Utime.Nano()+ru.Stime.Nano()) / 1e9
	data, err := os.ReadFile("/proc/stat")
	if err != nil {
		return m, err
	}
	line, _, _ := strings.Cut(string(data), "\n")
	for i, text := range strings.Fields(line)[1:] {
		v, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return m, fmt.Errorf("loadgen: /proc/stat: %w", err)
		}
		switch i {
		case 3, 4, 8, 9: // idle, iowait; guest time is in user
		case 7:
			m.steal = v / ticks
		default:
			m.machine += v / ticks
			if i < 2 { // user and nice
				m.machineUser += v / ticks
			}
		}
	}
	return m, nil
}

// statFields are the numbers of a stat file behind the name: [11] and [12] are user and system.
func statFields(path string) ([]float64, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("loadgen: broker's process: %w", err)
	}
	text := string(data)
	text = text[strings.LastIndexByte(text, ')')+2:]
	words := strings.Fields(text)
	out := make([]float64, len(words))
	for i, w := range words {
		out[i], _ = strconv.ParseFloat(w, 64) // the first one is a letter
	}
	if len(out) < 22 {
		return nil, fmt.Errorf("loadgen: %s has %d fields", path, len(out))
	}
	return out, nil
}

func writtenBytes(pid int) int64 {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", pid))
	if err != nil {
		return 0
	}
	for _, line := range strings.Split(string(data), "\n") {
		if v, ok := strings.CutPrefix(line, "write_bytes: "); ok {
			n, _ := strconv.ParseInt(v, 10, 64)
			return n
		}
	}
	return 0
}

func residentBytes(pid int) int64 {
	f, err := statFields(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	return int64(f[21]) * int64(os.Getpagesize())
}

// since fills the report's figures of what was used from the earlier meter on.
func (r *Report) since(from meter) error {
	to, err := readMeter(from.pid)
	if err != nil {
		return err
	}
	r.Seconds = to.at.Sub(from.at).Seconds()
	r.Client = to.client - from.client
	r.Machine = to.machine - from.machine
	r.Steal = to.steal - from.steal
	if from.pid != 0 {
		r.Broker = &Process{User: to.user - from.user, System: to.system - from.system,
			Written: to.written - from.written, RSS: residentBytes(from.pid)}
		r.Broker.CPU = r.Broker.User + r.Broker.System
		r.Foreign = max(0, to.machineUser-from.machineUser-r.Broker.User-
			(to.clientUser-from.clientUser))
	}
	return nil
}
