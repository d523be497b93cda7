package plan

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"millrace/loadgen/result"
	"millrace/loadgen/workload"
)

// Load is the Driver that makes real load: every step on a topic of its own, which goes with it,
// so that no step pays for what another has stored.
type Load struct {
	// Base has everything that is the same in all steps: brokers, security, duration, warm-up,
	// topic configuration, whose cost is measured.
	Base workload.Workload
	Run  func(context.Context, *workload.Workload, ...result.Observer) (*result.Run, error)

	steps int
}

// Step is one run.
func (l *Load) Step(ctx context.Context, c Config, rate float64) (*result.Run, error) {
	w := l.Base.Clone()
	w.Mode = workload.Produce
	if c.FanOut > 0 {
		w.Mode = workload.Mixed
		w.Groups, w.Consumers, w.CatchUp, w.Stamp, w.From = c.FanOut, 1, 0, true, workload.FromEnd
	}
	l.steps++
	w.Topic = fmt.Sprintf("%s-%d-%d", l.Base.Topic, time.Now().UnixMilli(), l.steps)
	w.Topics, w.Create, w.Delete = 1, true, true
	w.Partitions, w.Connections, w.InFlight = c.Partitions, c.Connections, c.InFlight
	w.Size, w.Batch = workload.FixedSize(c.Size), workload.Batch{Records: c.Records}
	w.Acks = workload.AcksLeader
	if c.Acks == "all" {
		w.Acks = workload.AcksAll
	}
	w.Rate = workload.Rate{PerSecond: rate}
	if w.BrokerPid != 0 {
		w.Admin = "" // one source of the cost is enough; flushes are read apart
	}
	return l.Run(ctx, &w)
}

// flushCounter is the metric of millrace that counts group commits, each of which made the disk
// flush once.
const flushCounter = "millrace_commit_duration_seconds_count"

const maxMetrics = 64 << 20

// Flushes reads them from the admin address, where there is one.
func (l *Load) Flushes(ctx context.Context) float64 {
	if l.Base.Admin == "" {
		return 0
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+l.Base.Admin+"/metrics", nil)
	if err != nil {
		return 0
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0 // the broker does not tell, which is no reason to end a sweep
	}
	defer resp.Body.Close()
	return sumOf(io.LimitReader(resp.Body, maxMetrics), flushCounter)
}

// sumOf adds up a metric over its labels.
func sumOf(r io.Reader, name string) (sum float64) {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		key, value, ok := strings.Cut(lines.Text(), " ")
		if base, _, _ := strings.Cut(key, "{"); !ok || base != name {
			continue
		}
		if v, err := strconv.ParseFloat(strings.TrimSpace(value), 64); err == nil {
			sum += v
		}
	}
	return sum
}
