package record

import (
	"fmt"
	"strings"

	"millrace/loadgen/result"
)

// Sample is one run of one load on one side.
type Sample struct {
	Load    string             `json:"load"`
	Side    string             `json:"side"`
	Round   int                `json:"round"`
	Command string             `json:"command,omitempty"` // as it can be typed
	Run     *result.Run        `json:"run,omitempty"`
	Figures map[string]float64 `json:"figures,omitempty"` // what is no figure of a Run

	Disturbed string `json:"disturbed,omitempty"` // by what
	Failed    string `json:"failed,omitempty"`    // why there are no figures
}

// Void says why its latencies mean nothing; "" when they do.
func (s *Sample) Void() string {
	if s.Run == nil {
		return ""
	}
	return s.Run.Void
}

// heldRate is the share of the rate that must be acknowledged, as in a sweep's steps.
const heldRate = 0.98

// Behind says that the broker did not answer what was due in the time, or not at the rate.
func (s *Sample) Behind() bool {
	r := s.Run
	return r != nil && (r.Partial != "" || r.Acked > 0 && float64(r.Acked) < heldRate*r.Rate*r.Seconds)
}

// counts says whether the sample may be half of a pair (C4).
func (s *Sample) counts(latency bool) bool {
	return s.Failed == "" && s.Disturbed == "" && !(latency && s.Void() != "")
}

const (
	mostForeign = 0.05 // of a core
	mostSteal   = 0.01 // of all cores
)

// Disturbance says what else the machine did while something was measured; "" is little enough.
func Disturbance(m *result.Machine, seconds float64) string {
	if m == nil || seconds <= 0 {
		return ""
	}
	var why []string
	if share := m.Foreign / seconds; share > mostForeign {
		why = append(why, fmt.Sprintf("other processes took %.2f cores", share))
	}
	if share := m.Steal / seconds / float64(max(1, m.Cores)); share > mostSteal {
		why = append(why, fmt.Sprintf("the hypervisor took %.1f %%", share*100))
	}
	return strings.Join(why, ", ")
}

// slim takes out of a run what is large and not needed here: the intervals' histograms.
func slim(r *result.Run) {
	for i := range r.Intervals {
		for kind, w := range r.Intervals[i].Latencies {
			w.Histogram = ""
			r.Intervals[i].Latencies[kind] = w
		}
	}
}

// Figure is something that is measured, in a group of figures that share a picture.
type Figure struct {
	Name, Group, Unit string
	More              bool // more is better
	Latency           bool
	of                func(*Sample) float64
}

// Of is the figure of a sample; 0: it has none.
func (f *Figure) Of(s *Sample) float64 {
	if v, given := s.Figures[f.Name]; given || s.Run == nil || f.of == nil {
		return v
	}
	return f.of(s)
}

// Groups of figures.
const (
	Cost       = "Cost"
	Throughput = "Throughput"
	Latency    = "Latency"
	Footprint  = "Memory, idle cost, starts"
)

// Names of figures.
const (
	CPUPerMillion = "broker's CPU per million messages"
	CPUPerGB      = "broker's CPU per GB"
	MachinePerGB  = "machine's CPU per GB, client left out"
	Cores         = "broker's CPU"
	Messages      = "messages"
	Bytes         = "bytes"
	P50           = "p50 of acknowledgements"
	P99           = "p99 of acknowledgements"
	P999          = "p99.9 of acknowledgements"
	EndToEnd50    = "p50 end to end"
	EndToEnd99    = "p99 end to end"
	EndToEnd999   = "p99.9 end to end"
	Resident      = "resident memory"
	IdleCPU       = "CPU when idle"
	StartClean    = "start to first message"
	StartKilled   = "start after kill -9"
	Creation      = "creation of the partitions"
	ManyShare     = "throughput over many ÷ over six"
)

// Figures are all that are known.
var Figures = []Figure{
	{CPUPerMillion, Cost, "CPU-s", false, false, func(s *Sample) float64 {
		return s.Run.Broker.PerMillion(messages(s.Run))
	}},
	{CPUPerGB, Cost, "CPU-s", false, false, func(s *Sample) float64 {
		return s.Run.Broker.PerGB(moved(s.Run))
	}},
	{MachinePerGB, Cost, "CPU-s", false, false, func(s *Sample) float64 {
		if s.Run.Machine == nil || s.Run.Generator == nil || moved(s.Run) == 0 {
			return 0
		}
		return (s.Run.Machine.Busy - s.Run.Generator.CPUSeconds) / float64(moved(s.Run)) * 1e9
	}},
	{Cores, Cost, "cores", false, false, func(s *Sample) float64 {
		if s.Run.Broker == nil || s.Run.Broker.Seconds <= 0 {
			return 0
		}
		return s.Run.Broker.CPUSeconds / s.Run.Broker.Seconds
	}},
	{Messages, Throughput, "rate", true, false, func(s *Sample) float64 {
		return float64(messages(s.Run)) / s.Run.Seconds
	}},
	{Bytes, Throughput, "byterate", true, false, func(s *Sample) float64 {
		return float64(moved(s.Run)) / s.Run.Seconds
	}},
	{P50, Latency, "us", false, true, quantile(0.5, result.Response, result.Service)},
	{P99, Latency, "us", false, true, quantile(0.99, result.Response, result.Service)},
	{P999, Latency, "us", false, true, quantile(0.999, result.Response, result.Service)},
	{EndToEnd50, Latency, "us", false, true, quantile(0.5, result.EndToEnd)},
	{EndToEnd99, Latency, "us", false, true, quantile(0.99, result.EndToEnd)},
	{EndToEnd999, Latency, "us", false, true, quantile(0.999, result.EndToEnd)},
	{Resident, Footprint, "bytes", false, false, func(s *Sample) float64 {
		if s.Run.Broker == nil {
			return 0
		}
		return float64(s.Run.Broker.RSS)
	}},
	{IdleCPU, Footprint, "cores", false, false, nil},
	{StartClean, Footprint, "seconds", false, false, nil},
	{StartKilled, Footprint, "seconds", false, false, nil},
	{Creation, Footprint, "seconds", false, false, nil},
	{ManyShare, Throughput, "", true, false, nil},
}

func find(name string) *Figure {
	for i := range Figures {
		if Figures[i].Name == name {
			return &Figures[i]
		}
	}
	return nil
}

// messages are those written, or read where nothing is written.
func messages(r *result.Run) int64 {
	if r.Acked > 0 {
		return r.Acked
	}
	return r.Received
}

// moved are the bytes of record batches in both directions.
func moved(r *result.Run) int64 { return r.AckedBytes + r.ReceivedBytes }

// quantile is one of the first kind of latency that the run has; 0 where too few samples stand
// behind it.
func quantile(q float64, kinds ...result.Kind) func(*Sample) float64 {
	return func(s *Sample) float64 {
		for _, kind := range kinds {
			l, given := s.Run.Latencies[kind]
			if !given {
				continue
			}
			micros, _ := l.At(q)
			return micros
		}
		return 0
	}
}
