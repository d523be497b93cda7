package plan

import (
	"math"
	"slices"
)

// Left is one configuration that was left out of the fit and predicted from the others.
type Left struct {
	Config    Config   `json:"config"`
	Measured  Interval `json:"measured"`
	Predicted float64  `json:"predicted"`
	Ratio     float64  `json:"ratio"`             // predicted ÷ measured
	Beyond    []string `json:"beyond,omitempty"`  // in which way the others do not reach there
	Unknown   bool     `json:"unknown,omitempty"` // nothing can be said: no Predicted
}

// Off is how far the prediction is away, as a share of the measurement.
func (l Left) Off() float64 { return math.Abs(l.Ratio - 1) }

// observed are the costs that a model knows, by target.
func (m *Model) observed(o Objectives) (capacity, cpu, written, flushes []observation) {
	own := o.String() == m.Objectives.String()
	for i := range m.Measured {
		x := &m.Measured[i]
		c, ok := Interval{}, false
		if !x.Done {
			continue
		}
		if own && x.Capacity != nil {
			c, ok = *x.Capacity, true
		} else if !own {
			c, ok = x.capacityFor(o)
		}
		if ok && c.Value > 0 {
			capacity = append(capacity, observation{x.Config, float64(x.Records) / c.Value})
		}
		var requests, seconds, bytes, syncs, withFlushes float64
		for _, s := range x.near(o) {
			requests += float64(s.Requests)
			seconds += s.BrokerCPU
			bytes += float64(s.Written)
			if s.Flushes > 0 {
				syncs, withFlushes = syncs+s.Flushes, withFlushes+float64(s.Requests)
			}
		}
		if seconds > 0 && requests > 0 {
			cpu = append(cpu, observation{x.Config, seconds / requests})
		}
		if bytes > 0 && requests > 0 {
			written = append(written, observation{x.Config, bytes / requests})
		}
		if syncs > 0 {
			flushes = append(flushes, observation{x.Config, syncs / withFlushes})
		}
	}
	return capacity, cpu, written, flushes
}

// crossValidate predicts each observation from all others and puts the error into the fit.
func crossValidate(f *Fit, obs []observation, unit func(observation, float64) float64) []Left {
	var out []Left
	sum, n := 0.0, 0
	for i, o := range obs {
		l := Left{Config: o.Config, Measured: Interval{Value: unit(o, o.cost)}}
		rest := slices.Delete(slices.Clone(obs), i, i+1)
		without, err := fitLaw(f.Target, f.Unit, rest)
		if err != nil {
			l.Unknown, l.Beyond = true, []string{err.Error()}
			out = append(out, l)
			continue
		}
		beyond, known := without.Beyond(o.Config)
		if l.Beyond = beyond; !known {
			l.Unknown = true
			out = append(out, l)
			continue
		}
		cost := without.At(o.Config)
		l.Predicted = unit(o, cost)
		l.Ratio = l.Predicted / l.Measured.Value
		d := math.Log(l.Ratio)
		sum, n = sum+d*d, n+1
		out = append(out, l)
	}
	f.Freedom = max(1, n-1)
	if n > 0 {
		f.LeftOut = math.Sqrt(sum / float64(n))
	}
	return out
}

// Laws are the fits of one model for some objectives.
type Laws struct {
	Objectives Objectives `json:"objectives"`
	Capacity   *Fit       `json:"capacity"` // seconds of the bottleneck per request
	CPU        *Fit       `json:"cpu,omitempty"`
	Written    *Fit       `json:"written,omitempty"`
	Flushes    *Fit       `json:"flushes,omitempty"`
	// LeftOut are the predictions of capacities, messages per second, for what was left out.
	LeftOut    []Left `json:"left_out"`
	LeftOutCPU []Left `json:"left_out_cpu,omitempty"` // CPU seconds per million messages
}

// Fit makes the laws for these objectives.
func (m *Model) Fit(o Objectives) (*Laws, error) {
	capacity, cpu, written, flushes := m.observed(o)
	l := &Laws{Objectives: o}
	var err error
	if l.Capacity, err = fitLaw("capacity within "+o.String(), "s", capacity); err != nil {
		return nil, err
	}
	l.LeftOut = crossValidate(l.Capacity, capacity, func(x observation, cost float64) float64 {
		return float64(x.Records) / cost
	})
	for i := range l.LeftOut {
		if x := m.find(l.LeftOut[i].Config); x.Capacity != nil && o.String() == m.Objectives.String() {
			l.LeftOut[i].Measured = *x.Capacity
		}
	}
	perRequest := func(_ observation, cost float64) float64 { return cost }
	if f, err := fitLaw("broker CPU", "s", cpu); err == nil {
		l.CPU = f
		l.LeftOutCPU = crossValidate(f, cpu, func(x observation, cost float64) float64 {
			return cost / float64(x.Records) * 1e6
		})
	}
	if f, err := fitLaw("bytes written to the disk", "B", written); err == nil {
		l.Written = f
		crossValidate(f, written, perRequest)
	}
	if f, err := fitLaw("flushes", "", flushes); err == nil {
		l.Flushes = f
		crossValidate(f, flushes, perRequest)
	}
	return l, nil
}

// Score of predictions for what was left out.
type Score struct {
	All      int     `json:"predicted"`
	Within   int     `json:"within_20_percent"`
	Inside   int     `json:"inside"` // of what the others cover
	InsideOK int     `json:"inside_within_20_percent"`
	Unknown  int     `json:"unknown"`
	Median   float64 `json:"median_error"`
	Worst    float64 `json:"worst_error"`
}

// asked of a prediction: within a fifth of the measurement.
const asked = 0.20

// ScoreOf sums predictions up.
func ScoreOf(list []Left) Score {
	var s Score
	var off []float64
	for _, l := range list {
		if l.Unknown {
			s.Unknown++
			continue
		}
		s.All++
		off = append(off, l.Off())
		good := l.Off() <= asked
		if good {
			s.Within++
		}
		if len(l.Beyond) == 0 {
			s.Inside++
			if good {
				s.InsideOK++
			}
		}
	}
	if len(off) > 0 {
		s.Median, s.Worst = median(off), slices.Max(off)
	}
	return s
}
