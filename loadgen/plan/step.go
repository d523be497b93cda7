package plan

import (
	"fmt"
	"math"

	"millrace/loadgen/result"
)

// Verdict on a step.
type Verdict string

// The verdicts.
const (
	Kept   Verdict = "kept"
	Missed Verdict = "missed"
	Void   Verdict = "void" // missed, and the generator was late: says nothing of the broker
	// Disturbed: missed, and other processes or the hypervisor took the processors meanwhile.
	Disturbed Verdict = "disturbed"
)

// Step is one run at a fixed rate.
type Step struct {
	Rung    int     `json:"rung"` // of the ladder
	Max     bool    `json:"max,omitempty"`
	Rate    float64 `json:"rate"` // messages per second asked for; 0: as many as go
	Seconds float64 `json:"seconds"`
	Reached float64 `json:"reached"` // acknowledged per second
	Verdict Verdict `json:"verdict"`
	Why     string  `json:"why,omitempty"`

	Response []result.Quantile `json:"response_us,omitempty"`
	EndToEnd []result.Quantile `json:"end_to_end_us,omitempty"`
	Samples  int64             `json:"samples"`

	Requests  int64   `json:"requests"`
	Messages  int64   `json:"messages"`
	Bytes     int64   `json:"bytes"`
	Read      int64   `json:"read_bytes,omitempty"`
	BrokerCPU float64 `json:"broker_cpu_seconds,omitempty"`
	Written   int64   `json:"disk_written_bytes,omitempty"`
	Flushes   float64 `json:"flushes,omitempty"` // 0: the broker does not tell
}

const (
	// leastReached is the share of what was asked for below which a backlog grows.
	leastReached = 0.98
	// fullSlots is the share of requests in flight from which on it is the broker that makes the
	// generator wait, not the generator that is slow.
	fullSlots = 0.8
)

// judge makes a step of a run.
func (w *Sweep) judge(c Config, rung int, rate float64, r *result.Run) Step {
	s := Step{Rung: rung, Max: rate == 0, Rate: rate, Seconds: r.Seconds, Requests: r.Requests,
		Messages: r.Acked, Bytes: r.AckedBytes, Read: r.ReceivedBytes}
	if r.Seconds > 0 {
		s.Reached = float64(r.Acked) / r.Seconds
	}
	if x, ok := r.Latencies[result.Response]; ok {
		s.Response, s.Samples = x.Quantiles, x.Count
	}
	if x, ok := r.Latencies[result.EndToEnd]; ok {
		s.EndToEnd = x.Quantiles
	}
	if r.Broker != nil {
		s.BrokerCPU, s.Written = r.Broker.CPUSeconds, r.Broker.DiskWritten
	}
	s.Verdict, s.Why = w.verdict(c, rate, r)
	return s
}

func (s *Sweep) verdict(c Config, rate float64, r *result.Run) (Verdict, string) {
	o := s.Model.Objectives.of(c)
	if rate == 0 {
		return Kept, "" // only to know where to begin
	}
	why := missed(rate, r, o)
	others := disturbance(r)
	switch {
	case why == "":
		return Kept, "" // late generators and neighbours make latencies longer, never shorter
	case others != "" && !s.Busy:
		return Disturbed, why + ", but " + others
	case r.Void == "", failures(r) > 0, slotsFull(c, r), o.missed(serviceOnly(r)) != "":
		return Missed, why
	}
	return Void, r.Void
}

const (
	// foreignCores is what other processes may compute beside a step that missed.
	foreignCores = 0.15
	stealCores   = 0.05
)

// disturbance says who else had the processors, "" for nobody worth naming. Where the broker's cost
// is not known, it may itself be the other process.
func disturbance(r *result.Run) string {
	m := r.Machine
	if m == nil || r.Broker == nil || !(r.Seconds > 0) {
		return ""
	}
	if v := m.Foreign / r.Seconds; v > foreignCores {
		return fmt.Sprintf("other processes took %.2f cores", v)
	}
	if v := m.Steal / r.Seconds; v > stealCores {
		return fmt.Sprintf("the hypervisor took %.2f cores", v)
	}
	return ""
}

// missed says what a step lacks, "" for nothing.
func missed(rate float64, r *result.Run, o Objectives) string {
	if n := failures(r); n > 0 {
		return fmt.Sprintf("%d requests failed", n)
	}
	if reached := float64(r.Acked) / r.Seconds; !(reached >= leastReached*rate) {
		return fmt.Sprintf("a backlog grew: %.1f %% of the rate was acknowledged", reached/rate*100)
	}
	if lag := lagGrowth(r); lag > math.Max(rate/2, 1000) {
		return fmt.Sprintf("readers fell behind by %.0f messages", lag)
	}
	return o.missed(r.Latencies)
}

// serviceOnly puts the time from the send in the place of that from the schedule: what breaks the
// objective even so is the broker's doing, however late the generator was.
func serviceOnly(r *result.Run) map[result.Kind]result.Summary {
	s, ok := r.Latencies[result.Service]
	if !ok {
		s = result.Summary{Count: 1}
	}
	return map[result.Kind]result.Summary{result.Response: s, result.EndToEnd: {Count: 1}}
}

func failures(r *result.Run) (n int64) {
	for _, e := range r.Errors {
		n += e.Count
	}
	return n
}

// slotsFull says whether most of the time all requests that may be in flight were: then lateness is
// the broker's.
func slotsFull(c Config, r *result.Run) bool {
	full, slots := 0, float64(c.Connections*c.InFlight)
	for _, v := range r.Intervals {
		if float64(v.InFlight) >= fullSlots*slots {
			full++
		}
	}
	return full > 0 && full*2 >= len(r.Intervals)
}

// lagGrowth is how many more messages wait for readers at the end than at the begin.
func lagGrowth(r *result.Run) float64 {
	if len(r.Intervals) < 2 {
		return 0
	}
	return float64(r.Intervals[len(r.Intervals)-1].Lag - r.Intervals[0].Lag)
}

// kept judges a step once more by other objectives.
func (s Step) kept(o Objectives) (kept, known bool) {
	if s.Max || s.Verdict == Void || s.Verdict == Disturbed {
		return false, false
	}
	if s.Rate > 0 && s.Reached < leastReached*s.Rate {
		return false, true
	}
	for _, x := range o {
		list := s.Response
		if x.Kind == result.EndToEnd {
			list = s.EndToEnd
		}
		if len(list) == 0 || list[len(list)-1].Q < x.Q-1e-9 {
			return false, false
		}
		for _, q := range list {
			if q.Q >= x.Q-1e-9 {
				if q.Micros > x.Micros {
					return false, true
				}
				break
			}
		}
	}
	return true, true
}
