package plan

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
)

// Point is one measurement of a scaling: throughput X at N connections, partitions, cores, …
type Point struct {
	N float64 `json:"n"`
	X float64 `json:"x"`
}

// USL is the Universal Scalability Law X(N) = γN / (1 + α(N−1) + βN(N−1)) fitted to points: γ is
// the throughput of one, α the share that waits in line (contention), β what each one has to
// agree on with each other one (coherency).
type USL struct {
	Over  string   `json:"over"` // what N counts
	Gamma Interval `json:"gamma"`
	Alpha Interval `json:"alpha"`
	Beta  Interval `json:"beta"`

	Points   []Point  `json:"points"`
	Error    float64  `json:"standard_error"` // of a residual, in units of X
	R2       float64  `json:"r2"`
	Freedom  int      `json:"degrees_of_freedom"`
	PeakN    *float64 `json:"peak_n,omitempty"` // absent: β cannot be told from zero
	PeakX    *float64 `json:"peak_x,omitempty"`
	Limit    *float64 `json:"limit_x,omitempty"` // γ/α, where β is zero; absent: α is zero, too
	Remarks  []string `json:"remarks,omitempty"`
	variance matrix   // of γ, α, β
}

// Identified says whether β can be told from zero: only then is there a peak.
func (u *USL) Identified() bool { return u.Beta.Low > 0 }

const (
	leastPoints = 4 // three parameters and one degree of freedom
	goodPoints  = 6
)

// FitUSL fits by least squares with α, β ≥ 0. Intervals come from the covariance at the
// solution and Student's t; they are cut at zero.
func FitUSL(over string, points []Point) (*USL, error) {
	p := slices.Clone(points)
	slices.SortFunc(p, func(a, b Point) int { return cmp.Compare(a.N, b.N) })
	if err := checkPoints(p); err != nil {
		return nil, err
	}
	best, least := [3]float64{}, math.Inf(1)
	for _, free := range [][3]bool{{true, true, true}, {true, true, false},
		{true, false, true}, {true, false, false}} {
		theta, sum, ok := refine(p, firstGuess(p, free), free)
		if ok && theta[1] >= 0 && theta[2] >= 0 && sum < least*(1-1e-12) {
			best, least = theta, sum
		}
	}
	if math.IsInf(least, 1) {
		return nil, errors.New("plan: usl: no fit: throughput does not follow the law at all")
	}
	u := &USL{Over: over, Points: p, Freedom: len(p) - 3}
	u.intervals(best, least)
	u.remark()
	return u, nil
}

func checkPoints(p []Point) error {
	if len(p) < leastPoints {
		return fmt.Errorf("plan: usl: %d points, at least %d are needed", len(p), leastPoints)
	}
	different := 1
	for i, v := range p {
		if !(v.N >= 1) || !(v.X > 0) || math.IsInf(v.N, 0) || math.IsInf(v.X, 0) {
			return fmt.Errorf("plan: usl: point (%g, %g): N must be at least 1, X above 0", v.N, v.X)
		}
		if i > 0 && v.N != p[i-1].N {
			different++
		}
	}
	if different < 3 {
		return fmt.Errorf("plan: usl: %d different N, at least 3 are needed", different)
	}
	return nil
}

// law and its slopes by γ, α, β.
func law(t [3]float64, n float64) (x float64, slope [3]float64) {
	d := 1 + t[1]*(n-1) + t[2]*n*(n-1)
	x = t[0] * n / d
	return x, [3]float64{n / d, -x * (n - 1) / d, -x * n * (n - 1) / d}
}

// firstGuess solves the linear form N/X = (1 + α(N−1) + βN(N−1))/γ.
func firstGuess(p []Point, free [3]bool) [3]float64 {
	x, y := newMatrix(len(p), 3), make([]float64, len(p))
	for i, v := range p {
		y[i] = v.N / v.X
		x[i] = []float64{1, v.N - 1, v.N * (v.N - 1)}
	}
	w := nonNegative(x, y)
	if w[0] <= 0 {
		return [3]float64{p[0].X / p[0].N, 0.1, 0}
	}
	g := [3]float64{1 / w[0], w[1] / w[0], w[2] / w[0]}
	for i := range g {
		if !free[i] {
			g[i] = 0
		}
	}
	return g
}

func squares(p []Point, t [3]float64) float64 {
	sum := 0.0
	for _, v := range p {
		x, _ := law(t, v.N)
		sum += (v.X - x) * (v.X - x)
	}
	return sum
}

// refine is Levenberg's and Marquardt's iteration over the free parameters.
func refine(p []Point, t [3]float64, free [3]bool) ([3]float64, float64, bool) {
	var cols []int
	for i, f := range free {
		if f {
			cols = append(cols, i)
		}
	}
	sum, damp := squares(p, t), 1e-3
	for range 500 {
		jac, gap := newMatrix(len(p), len(cols)), make([]float64, len(p))
		for r, v := range p {
			x, slope := law(t, v.N)
			gap[r] = v.X - x
			for i, c := range cols {
				jac[r][i] = slope[c]
			}
		}
		a, b := normal(jac, gap, 0)
		for i := range a {
			a[i][i] *= 1 + damp
		}
		inv, ok := invert(a)
		if !ok {
			return t, sum, false
		}
		next := t
		for i, c := range cols {
			next[c] += dot(inv[i], b)
		}
		after := squares(p, next)
		if next[0] <= 0 || math.IsNaN(after) || after > sum {
			if damp *= 10; damp > 1e12 {
				break
			}
			continue
		}
		small := sum-after <= 1e-14*sum
		t, sum, damp = next, after, math.Max(damp/10, 1e-12)
		if small {
			break
		}
	}
	return t, sum, true
}

func (u *USL) intervals(t [3]float64, sum float64) {
	jac := newMatrix(len(u.Points), 3)
	var all []float64
	for r, v := range u.Points {
		_, slope := law(t, v.N)
		jac[r] = slope[:]
		all = append(all, v.X)
	}
	variance := sum / float64(u.Freedom)
	u.Error = math.Sqrt(variance)
	u.R2 = 1
	if d := deviation(all); d > 0 {
		u.R2 = 1 - sum/(d*d*float64(len(all)-1))
	}
	to := []*Interval{&u.Gamma, &u.Alpha, &u.Beta}
	for i := range to {
		*to[i] = Interval{Value: t[i], Low: 0, High: math.MaxFloat64}
	}
	a, _ := normal(jac, make([]float64, len(jac)), 0)
	inv, ok := invert(a)
	if !ok {
		u.Remarks = append(u.Remarks, "the points do not determine the three parameters: no intervals")
		return
	}
	for i := range to {
		half := t95(u.Freedom) * math.Sqrt(variance*inv[i][i])
		*to[i] = Interval{Value: t[i], Low: math.Max(0, t[i]-half), High: t[i] + half}
		for j := range inv[i] {
			inv[i][j] *= variance
		}
	}
	u.variance = inv
}

// remark says what the fit is not good for.
func (u *USL) remark() {
	say := func(format string, args ...any) { u.Remarks = append(u.Remarks, fmt.Sprintf(format, args...)) }
	most := u.Points[len(u.Points)-1].N
	if len(u.Points) < goodPoints {
		say("only %d points: six or more are wanted", len(u.Points))
	}
	switch {
	case u.Identified():
		n := math.Sqrt(math.Max(0, 1-u.Alpha.Value) / u.Beta.Value)
		x := u.At(n)
		u.PeakN, u.PeakX = &n, &x
		if n > most {
			say("the peak at N=%.3g lies beyond what was measured (N ≤ %.4g): it is extrapolated", n, most)
		}
	default:
		say("beta cannot be identified: zero is in its interval (≤ %.2g), so there is no peak to tell", u.Beta.High)
	}
	if u.Alpha.Value > 0 {
		l := u.Gamma.Value / u.Alpha.Value
		u.Limit = &l
	} else {
		say("alpha is zero: no contention was seen up to N=%.4g", most)
	}
	if u.Points[0].N > 1 {
		say("nothing was measured at N=1: gamma is extrapolated from N=%.4g", u.Points[0].N)
	}
}

// At is the fitted throughput at n.
func (u *USL) At(n float64) float64 {
	x, _ := law([3]float64{u.Gamma.Value, u.Alpha.Value, u.Beta.Value}, n)
	return x
}

// Predict is the throughput at n with the 95 % interval for a new measurement there. Beyond the
// points it is an extrapolation, which the second result says.
func (u *USL) Predict(n float64) (Interval, bool) {
	x, slope := law([3]float64{u.Gamma.Value, u.Alpha.Value, u.Beta.Value}, n)
	beyond := n < u.Points[0].N || n > u.Points[len(u.Points)-1].N
	if u.variance == nil {
		return Interval{Value: x, High: math.MaxFloat64}, beyond
	}
	v := u.Error * u.Error
	for i := range slope {
		v += slope[i] * dot(u.variance[i], slope[:])
	}
	half := t95(u.Freedom) * math.Sqrt(v)
	return Interval{Value: x, Low: math.Max(0, x-half), High: x + half}, beyond
}
