package plan

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
)

// Fit is a law for what one request costs, in seconds of the bottleneck, CPU seconds or bytes:
//
//	T = (a + b·bytes + c·messages + d·bytes read) · (N/N₀)^p · (P/P₀)^q · Π factor(level)
//
// with a, b, c, d ≥ 0; N is connections, P partitions, and levels are acks and labels.
type Fit struct {
	Target string `json:"target"`
	Unit   string `json:"unit"`

	PerRequest float64 `json:"per_request"`
	PerByte    float64 `json:"per_byte"`
	PerMessage float64 `json:"per_message"`
	PerRead    float64 `json:"per_read_byte"`

	Connections float64            `json:"connections_exponent"`
	Partitions  float64            `json:"partitions_exponent"`
	N0          float64            `json:"connections_of_reference"`
	P0          float64            `json:"partitions_of_reference"`
	Levels      map[string]float64 `json:"levels,omitempty"` // "acks=all" → factor

	Observed int                        `json:"observed"`
	Error    float64                    `json:"relative_error"`               // of the fit: deviation of ln
	LeftOut  float64                    `json:"relative_error_when_left_out"` // of predictions for what was left out
	Freedom  int                        `json:"degrees_of_freedom"`           // of LeftOut
	known    map[string]map[string]bool // dimension → levels that were seen
	from, to map[string]float64         // dimension → what was measured
}

// observation is one configuration's cost of a request.
type observation struct {
	Config
	cost float64
}

// dimensions of a configuration that are numbers.
var dimensions = []struct {
	name string
	of   func(Config) float64
}{
	{"message size", func(c Config) float64 { return float64(c.Size) }},
	{"bytes of a request", Config.Bytes},
	{"messages of a request", func(c Config) float64 { return float64(c.Records) }},
	{"partitions", func(c Config) float64 { return float64(c.Partitions) }},
	{"connections", func(c Config) float64 { return float64(c.Connections) }},
	{"requests in flight", func(c Config) float64 { return float64(c.InFlight) }},
	{"fan-out", func(c Config) float64 { return float64(c.FanOut) }},
}

// levels of a configuration that are no numbers.
func (c Config) levels() map[string]string {
	out := map[string]string{"acks": c.Acks}
	maps.Copy(out, c.Labels)
	return out
}

func (c Config) base() []float64 {
	return []float64{1, c.Bytes(), float64(c.Records), c.Bytes() * float64(c.FanOut)}
}

// ridge pulls exponents and factors towards nothing: with few configurations one noisy point must
// not become a law.
const ridge = 0.02

const (
	leastObserved = 3
	fitEnough     = 1e-4 // relative gain below which another round is not worth it
	fitRounds     = 100
)

func fitLaw(target, unit string, obs []observation) (*Fit, error) {
	if len(obs) < leastObserved {
		return nil, fmt.Errorf("plan: %d configurations with a known %s, at least %d are needed",
			len(obs), target, leastObserved)
	}
	f := &Fit{Target: target, Unit: unit, Observed: len(obs), N0: 1, P0: 1, Levels: map[string]float64{}}
	f.ranges(obs)
	f.N0 = logMean(obs, func(c Config) float64 { return float64(c.Connections) })
	f.P0 = logMean(obs, func(c Config) float64 { return float64(c.Partitions) })
	names := f.columns()
	for last, n := math.Inf(1), 0; n < fitRounds; n++ {
		if err := f.fitBase(obs); err != nil {
			return nil, err
		}
		f.fitFactors(obs, names)
		sum := f.misfit(obs)
		if last-sum <= fitEnough*sum {
			break
		}
		last = sum
	}
	f.Error = math.Sqrt(f.misfit(obs) / float64(max(1, len(obs)-f.parameters())))
	return f, nil
}

// misfit is the sum of squares of ln(observed/fitted).
func (f *Fit) misfit(obs []observation) float64 {
	sum := 0.0
	for _, o := range obs {
		d := math.Log(o.cost / f.At(o.Config))
		sum += d * d
	}
	return sum
}

func logMean(obs []observation, of func(Config) float64) float64 {
	sum := 0.0
	for _, o := range obs {
		sum += math.Log(of(o.Config))
	}
	return math.Exp(sum / float64(len(obs)))
}

func (f *Fit) ranges(obs []observation) {
	f.from, f.to, f.known = map[string]float64{}, map[string]float64{}, map[string]map[string]bool{}
	for i, o := range obs {
		for _, d := range dimensions {
			v := d.of(o.Config)
			if i == 0 {
				f.from[d.name], f.to[d.name] = v, v
			}
			f.from[d.name], f.to[d.name] = math.Min(f.from[d.name], v), math.Max(f.to[d.name], v)
		}
		for k, v := range o.levels() {
			if f.known[k] == nil {
				f.known[k] = map[string]bool{}
			}
			f.known[k][v] = true
		}
	}
}

// columns are the factors that the observations tell something about: "connections", "partitions",
// and all levels of a dimension but its first.
func (f *Fit) columns() []string {
	var out []string
	for _, d := range []string{"connections", "partitions"} {
		if f.to[d] > f.from[d] {
			out = append(out, d)
		}
	}
	for _, k := range slices.Sorted(maps.Keys(f.known)) {
		for _, v := range slices.Sorted(maps.Keys(f.known[k]))[1:] {
			out = append(out, k+"="+v)
		}
	}
	return out
}

func (f *Fit) parameters() int {
	n := len(f.columns())
	for _, v := range []float64{f.PerRequest, f.PerByte, f.PerMessage, f.PerRead} {
		if v > 0 {
			n++
		}
	}
	return n
}

// value of a column for a configuration, which its coefficient is multiplied with.
func (f *Fit) value(name string, c Config) float64 {
	switch name {
	case "connections":
		return math.Log(float64(c.Connections) / f.N0)
	case "partitions":
		return math.Log(float64(c.Partitions) / f.P0)
	}
	for k, v := range c.levels() {
		if name == k+"="+v {
			return 1
		}
	}
	return 0
}

func (f *Fit) factor(c Config) float64 {
	ln := f.Connections*math.Log(float64(c.Connections)/f.N0) + f.Partitions*math.Log(float64(c.Partitions)/f.P0)
	for k, v := range c.levels() {
		if x, ok := f.Levels[k+"="+v]; ok {
			ln += math.Log(x)
		}
	}
	return math.Exp(ln)
}

func (f *Fit) weights() []float64 {
	return []float64{f.PerRequest, f.PerByte, f.PerMessage, f.PerRead}
}

// At is the law's cost of one request.
func (f *Fit) At(c Config) float64 { return dot(f.weights(), c.base()) * f.factor(c) }

// fitBase fits a, b, c and d with all factors held, to relative residuals.
func (f *Fit) fitBase(obs []observation) error {
	x, y := newMatrix(len(obs), 4), make([]float64, len(obs))
	for i, o := range obs {
		m := f.factor(o.Config) / o.cost
		for j, v := range o.base() {
			x[i][j] = v * m
		}
		y[i] = 1
	}
	w := nonNegative(x, y)
	if !positive([]float64{w[0] + w[1] + w[2] + w[3]}) {
		return errors.New("plan: no cost per request, byte or message fits at all")
	}
	f.PerRequest, f.PerByte, f.PerMessage, f.PerRead = w[0], w[1], w[2], w[3]
	return nil
}

// fitFactors fits the factors with a, b, c and d held.
func (f *Fit) fitFactors(obs []observation, names []string) {
	if len(names) == 0 {
		return
	}
	x, y := newMatrix(len(obs), len(names)), make([]float64, len(obs))
	for i, o := range obs {
		y[i] = math.Log(o.cost / dot(f.weights(), o.base()))
		for j, n := range names {
			x[i][j] = f.value(n, o.Config)
		}
	}
	w, ok := leastSquares(x, y, ridge*float64(len(obs)))
	if !ok {
		return
	}
	for j, n := range names {
		switch n {
		case "connections":
			f.Connections = w[j]
		case "partitions":
			f.Partitions = w[j]
		default:
			f.Levels[n] = math.Exp(w[j])
		}
	}
}

// Beyond says in which way a configuration lies outside of what was measured; nothing: it does
// not. known is false when a level was never seen, so that nothing can be said.
func (f *Fit) Beyond(c Config) (words []string, known bool) {
	known = true
	for _, d := range dimensions {
		v, from, to := d.of(c), f.from[d.name], f.to[d.name]
		const slack = 1.001 // rounding
		if v < from/slack || v > to*slack {
			words = append(words, fmt.Sprintf("%s %.4g: measured %.4g to %.4g", d.name, v, from, to))
		}
	}
	levels := c.levels()
	for _, k := range slices.Sorted(maps.Keys(levels)) {
		if !f.known[k][levels[k]] {
			words = append(words, fmt.Sprintf("%s=%s was not measured", k, levels[k]))
			known = false
		}
	}
	return words, known
}

// Predict is the cost of a request with its error bars: those of predictions for configurations
// that were left out.
func (f *Fit) Predict(c Config) Interval {
	v := f.At(c)
	half := t95(f.Freedom) * math.Max(f.LeftOut, f.Error)
	return Interval{Value: v, Low: v * math.Exp(-half), High: v * math.Exp(half)}
}
