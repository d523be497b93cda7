package load

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"

	"millrace/loadgen/result"
	"millrace/loadgen/workload"
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

	Latency Latency  `json:"latency_us"`         // from the intended send; of reading from the request
	Delay   *Latency `json:"delay_us,omitempty"` // paced: how late requests left
	Void    string   `json:"void,omitempty"`     // the generator was itself late: why latencies mean little

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

// exitVoid is what loadgen leaves with when it was itself late. The figures are kept: what a
// broker used is right, and latencies that count from the schedule are too long, never too short.
const exitVoid = 3

// Run puts one load on a broker.
func Run(ctx context.Context, binary, addr string, pid int, args ...string) (*Report, error) {
	argv := append(args, "--brokers", addr, "--broker-pid", strconv.Itoa(pid), "--json", "--quiet")
	cmd := exec.CommandContext(ctx, binary, argv...)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == exitVoid {
		err = nil
	}
	if err != nil {
		return nil, fmt.Errorf("load: loadgen %s: %w: %s", strings.Join(args, " "), err,
			strings.TrimSpace(errs.String()))
	}
	var r result.Run
	if err := json.Unmarshal(out, &r); err != nil {
		return nil, fmt.Errorf("load: loadgen's result: %w", err)
	}
	return reportOf(&r)
}

// reportOf picks what experiments compare.
func reportOf(run *result.Run) (*Report, error) {
	if err := run.Check(); err != nil {
		return nil, fmt.Errorf("load: loadgen's result: %w", err)
	}
	r := &Report{Load: run.Load, Seconds: run.Seconds, Requests: run.Requests, Void: run.Void,
		Messages: run.Acked, Bytes: run.AckedBytes}
	kind := result.Response
	switch run.Load {
	case string(workload.Consume):
		kind = result.Service
		r.Messages, r.Bytes = run.Received, run.ReceivedBytes
	case string(workload.EndToEnd):
		kind = result.EndToEnd
		r.Messages, r.Bytes = run.Received, run.ReceivedBytes
		r.Requests = run.Received // one message is one request
	}
	var err error
	if r.Latency, err = latencyOf(run, kind); err != nil {
		return nil, err
	}
	if run.Rate > 0 {
		d, err := latencyOf(run, result.Delay)
		if err != nil {
			return nil, err
		}
		r.Delay = &d
	}
	if g := run.Generator; g != nil {
		r.Client = g.CPUSeconds
	}
	if m := run.Machine; m != nil {
		r.Machine, r.Steal, r.Foreign = m.Busy, m.Steal, m.Foreign
	}
	if b := run.Broker; b != nil {
		r.Broker = &Process{CPU: b.CPUSeconds, User: b.User, System: b.System, RSS: b.RSS,
			Written: b.DiskWritten}
	}
	return r, nil
}

// latencyOf reads quantiles from the histogram, those of few samples, too: experiments are
// repeated, and compare medians of runs.
func latencyOf(run *result.Run, kind result.Kind) (Latency, error) {
	s, there := run.Latencies[kind]
	if !there || s.Count == 0 {
		return Latency{}, nil
	}
	h, err := result.Decode(s.Histogram)
	if err != nil {
		return Latency{}, fmt.Errorf("load: %s latencies: %w", kind, err)
	}
	us := func(q float64) float64 { return float64(h.ValueAtQuantile(q)) / 1000 }
	return Latency{P50: us(50), P90: us(90), P99: us(99), P999: us(99.9), Max: s.Max, N: s.Count}, nil
}
