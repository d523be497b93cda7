package plan

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"millrace/loadgen/result"
)

// Objective is one latency that must not be exceeded.
type Objective struct {
	Kind   result.Kind `json:"kind"` // response or end-to-end
	Q      float64     `json:"q"`    // 0…1
	Micros float64     `json:"us"`
}

// Objectives must all be kept.
type Objectives []Objective

var errObjective = errors.New("want an objective as p99=5ms, p99.9=20ms or e2e-p99=10ms, " +
	"several with commas between them")

// ParseObjectives reads "p99=5ms,e2e-p99.9=20ms".
func ParseObjectives(text string) (Objectives, error) {
	var out Objectives
	for part := range strings.SplitSeq(text, ",") {
		name, limit, ok := strings.Cut(strings.TrimSpace(part), "=")
		o := Objective{Kind: result.Response}
		if rest, isEndToEnd := strings.CutPrefix(name, "e2e-"); isEndToEnd {
			name, o.Kind = rest, result.EndToEnd
		}
		digits, isQuantile := strings.CutPrefix(name, "p")
		q, err := strconv.ParseFloat(digits, 64)
		d, durationErr := time.ParseDuration(limit)
		if !ok || !isQuantile || err != nil || durationErr != nil || !(q > 0 && q < 100) || d <= 0 {
			return nil, fmt.Errorf("plan: objective %.60q: %w", part, errObjective)
		}
		o.Q, o.Micros = q/100, float64(d)/1e3
		out = append(out, o)
	}
	return out, nil
}

func (o Objective) String() string {
	name := "p" + strconv.FormatFloat(o.Q*100, 'f', -1, 64)
	if o.Kind == result.EndToEnd {
		name = "e2e-" + name
	}
	return name + "=" + time.Duration(o.Micros*1e3).String()
}

func (o Objectives) String() string {
	parts := make([]string, len(o))
	for i, x := range o {
		parts[i] = x.String()
	}
	return strings.Join(parts, ",")
}

// of are the objectives that a configuration can have: without readers nothing is received.
func (o Objectives) of(c Config) (out Objectives) {
	for _, x := range o {
		if x.Kind != result.EndToEnd || c.FanOut > 0 {
			out = append(out, x)
		}
	}
	return out
}

// Check refuses configurations for which there is no objective.
func (o Objectives) Check(configs []Config) error {
	for _, c := range configs {
		if len(o.of(c)) == 0 {
			return fmt.Errorf("plan: %s: nobody reads, so %s cannot be measured: --fan-out 1, or an objective "+
				"without e2e", c, o)
		}
	}
	return nil
}

// missed says which objective the latencies break, "" for none. A quantile that the samples do not
// support is judged by the greatest of them, which is stricter.
func (o Objectives) missed(latencies map[result.Kind]result.Summary) string {
	for _, x := range o {
		s, ok := latencies[x.Kind]
		if !ok || s.Count == 0 {
			return fmt.Sprintf("no %s latency was measured", x.Kind)
		}
		got, supported := s.At(x.Q)
		if !supported {
			got = s.Max
			for i := len(s.Quantiles) - 1; i >= 0 && s.Quantiles[i].Q >= x.Q; i-- {
				got = s.Quantiles[i].Micros
			}
		}
		if got > x.Micros {
			return fmt.Sprintf("%s is %s", x, time.Duration(got*1e3).Round(time.Microsecond))
		}
	}
	return ""
}
