package view

import (
	"fmt"
	"math"
	"slices"

	"millrace/loadgen/result"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// window is some intervals together: wide enough for what is shown of them.
type window struct {
	at, seconds    float64
	acked          int64
	received       int64
	catchUp        int64
	requests       int64
	ackedBytes     int64
	receivedBytes  int64
	errors         int64
	inFlight, lag  int64
	broker         *result.Cost
	generator      *result.Cost
	count          int64
	p50, p99, high float64 // µs; not a number: too few samples
	rows           map[int]int64
}

// Bounds of how many points a curve over time has.
const (
	maxPoints = 240
	minPoints = 12
)

// rowsPerDecade are the heat map's rows.
const rowsPerDecade = 12

func rowOf(nanos int64) int {
	return int(math.Floor(math.Log10(float64(max(nanos, 1))/1000) * rowsPerDecade))
}

// rowFrom is a row's lower border in µs.
func rowFrom(row int) float64 { return math.Pow(10, float64(row)/rowsPerDecade) }

// widths of windows, in intervals.
var widths = []int{1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400, 43200}

// widthOf is how many intervals go together: not more than maxPoints windows, and as many samples
// in most of them as a p99 needs, if that leaves minPoints.
func widthOf(r *result.Run, kind result.Kind) int {
	n := len(r.Intervals)
	counts := make([]int64, 0, n)
	for i := range r.Intervals {
		counts = append(counts, r.Intervals[i].Latencies[kind].Count)
	}
	slices.Sort(counts)
	typical := int64(0)
	if n > 0 {
		typical = counts[n/2]
	}
	width := 1
	for _, w := range widths {
		if n/w <= maxPoints {
			width = w
			break
		}
	}
	for _, w := range widths {
		if w < width || n/w < minPoints {
			continue
		}
		if result.Supported(0.99, typical*int64(w)) {
			return w
		}
	}
	return width
}

// windows puts a run's intervals together. Histograms of the kind are merged, so that quantiles of
// a window are those of its samples.
func windows(r *result.Run, kind result.Kind) ([]window, error) {
	width := widthOf(r, kind)
	var out []window
	sum := result.NewHistogram()
	for from := 0; from < len(r.Intervals); from += width {
		part := r.Intervals[from:min(from+width, len(r.Intervals))]
		w, bare := window{at: part[0].At}, []result.Window{}
		sum.Reset()
		for i := range part {
			v := &part[i]
			w.seconds = v.At + v.Seconds - w.at
			w.add(v)
			l := v.Latencies[kind]
			if l.Histogram == "" {
				bare = append(bare, l)
				continue
			}
			h, err := result.Decode(l.Histogram)
			if err != nil {
				return nil, fmt.Errorf("view: %s: %w", r.ID, err)
			}
			sum.Merge(h)
		}
		w.latencies(sum)
		w.told(bare)
		out = append(out, w)
	}
	return out, nil
}

func (w *window) add(v *result.Interval) {
	w.acked += v.Acked
	w.received += v.Received
	w.catchUp += v.CatchUp
	w.requests += v.Requests
	w.ackedBytes += v.AckedBytes
	w.receivedBytes += v.ReceivedBytes
	w.errors += v.Errors
	w.inFlight, w.lag = v.InFlight, v.Lag
	w.broker, w.generator = sumCost(w.broker, v.Broker), sumCost(w.generator, v.Generator)
}

// sumCost adds the cost of the next interval.
func sumCost(to, c *result.Cost) *result.Cost {
	if c == nil {
		return to
	}
	out := *c
	if to != nil {
		out.Seconds += to.Seconds
		out.CPUSeconds += to.CPUSeconds
		out.User += to.User
		out.System += to.System
		out.VoluntarySwitches += to.VoluntarySwitches
		out.InvoluntarySwitches += to.InvoluntarySwitches
		out.DiskWritten += to.DiskWritten
		out.DiskRead += to.DiskRead
	}
	return &out
}

func (w *window) latencies(h *hdrhistogram.Histogram) {
	w.p50, w.p99, w.high = math.NaN(), math.NaN(), math.NaN()
	if w.count = h.TotalCount(); w.count == 0 {
		return
	}
	w.high = float64(h.Max()) / 1000
	if result.Supported(0.5, w.count) {
		w.p50 = min(float64(h.ValueAtQuantile(50))/1000, w.high)
	}
	if result.Supported(0.99, w.count) {
		w.p99 = min(float64(h.ValueAtQuantile(99))/1000, w.high)
	}
	w.rows = map[int]int64{}
	for _, bar := range h.Distribution() {
		if bar.Count > 0 {
			w.rows[rowOf((bar.From+bar.To)/2)] += bar.Count
		}
	}
}

// told takes what intervals say that are kept without their histograms: the slowest, and where an
// interval is a window of its own, its quantiles, too.
func (w *window) told(bare []result.Window) {
	for _, l := range bare {
		if l.Count == 0 {
			continue
		}
		if w.count == 0 {
			w.high = l.Max
			if len(bare) == 1 {
				w.p50, w.p99 = orNone(l.P50), orNone(l.P99)
			}
		}
		w.high = max(w.high, l.Max)
		w.count += l.Count
	}
}

// orNone makes no number of a figure that is not told.
func orNone(v float64) float64 {
	if v == 0 {
		return math.NaN()
	}
	return v
}

// middle is where a window is drawn.
func (w *window) middle() float64 { return w.at + w.seconds/2 }

// heatOf makes the map of a run's windows.
func heatOf(ws []window) *heat {
	low, high := math.MaxInt, math.MinInt
	for i := range ws {
		for row := range ws[i].rows {
			low, high = min(low, row), max(high, row)
		}
	}
	if low > high {
		return nil
	}
	h := &heat{}
	for row := low; row <= high+1; row++ {
		h.rows = append(h.rows, rowFrom(row))
	}
	for i := range ws {
		w := &ws[i]
		column := make([]uint8, high-low+1)
		for row, n := range w.rows {
			column[row-low] = level(float64(n) / float64(max(w.count, 1)))
		}
		switch last := len(h.columns) - 1; {
		case last < 0:
			h.columns = append(h.columns, w.at)
		case w.at > h.columns[last]+w.seconds/2: // what no interval covers stays empty
			h.columns = append(h.columns, w.at)
			h.cells = append(h.cells, nil)
		}
		h.columns = append(h.columns, w.at+w.seconds)
		h.cells = append(h.cells, column)
	}
	return h
}

// level of a share of a moment's samples, by half decades from 1/3000 up: what is rare must still
// be seen.
func level(share float64) uint8 {
	v := heatLevels + 2*math.Log10(share) + 0.5
	return uint8(min(max(math.Round(v), 1), heatLevels))
}
