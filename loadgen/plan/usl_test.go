package plan

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

// Published data with published coefficients.

// cisco: threads and queries per second of MySQL on a Cisco server, from Baron Schwartz,
// Practical Scalability Analysis with the Universal Scalability Law (VividCortex, 2015). The book
// gives λ = 995.6486, σ = 0.02671591, κ = 7.690945e-4, a peak of 12 341 at 35 threads.
var cisco = series(1, 955.16, 2, 1878.91, 3, 2688.01, 4, 3548.68, 5, 4315.54, 6, 5130.43, 7, 5931.37,
	8, 6531.08, 9, 7219.8, 10, 7867.61, 11, 8278.71, 12, 8646.7, 13, 9047.84, 14, 9426.55, 15, 9645.37,
	16, 9897.24, 17, 10097.6, 18, 10240.5, 19, 10532.39, 20, 10798.52, 21, 11151.43, 22, 11518.63,
	23, 11806, 24, 12089.37, 25, 12075.41, 26, 12177.29, 27, 12211.41, 28, 12158.93, 29, 12155.27,
	30, 12118.04, 31, 12140.4, 32, 12074.39)

// specsdm91: simulated users and scripts per hour of a Sun SPARCcenter 2000 with 16 processors,
// SPEC SDM91, October 1994; in Neil Gunther, Guerrilla Capacity Planning (Springer, 2007), and
// in the R package usl by Stefan Moeding, whose summary gives the coefficients below.
var specsdm91 = series(1, 64.9, 18, 995.9, 36, 1652.4, 72, 1853.2, 108, 1828.9, 144, 1775, 216, 1702.2)

// raytracer: processors and rays per second on a NUMA machine, from the same book and package.
// Over all points the package finds no coherency at all; over the first six it does.
var raytracer = series(1, 20, 4, 78, 8, 130, 12, 170, 16, 190, 20, 200, 24, 210, 28, 230, 32, 260,
	48, 280, 64, 310)

func series(v ...float64) (p []Point) {
	for i := 0; i < len(v); i += 2 {
		p = append(p, Point{v[i], v[i+1]})
	}
	return p
}

func near(t *testing.T, what string, got, want, relative float64) {
	t.Helper()
	if math.Abs(got-want) > relative*math.Abs(want) {
		t.Errorf("%s = %g, want %g", what, got, want)
	}
}

func TestUSLOfPublishedData(t *testing.T) {
	u, err := FitUSL("threads", cisco)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "gamma", u.Gamma.Value, 995.6486, 1e-6)
	near(t, "alpha", u.Alpha.Value, 0.02671591, 2e-6)
	near(t, "beta", u.Beta.Value, 7.690945e-4, 1e-6)
	if !u.Identified() || u.PeakN == nil {
		t.Fatal("beta is identified in these points")
	}
	near(t, "peak at", math.Floor(*u.PeakN), 35, 0)
	near(t, "peak", u.At(35), 12341.745, 1e-6)
	if !remarked(u, "beyond what was measured") {
		t.Errorf("the peak lies behind the last point, remarks: %q", u.Remarks)
	}

	u, err = FitUSL("users", specsdm91)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "gamma", u.Gamma.Value, 89.9952382, 1e-6)
	near(t, "alpha", u.Alpha.Value, 0.0277285, 1e-5)
	near(t, "beta", u.Beta.Value, 0.0001044, 1e-3)
	near(t, "standard error", u.Error, 82.85, 1e-3)
	near(t, "standard error of alpha", (u.Alpha.High-u.Alpha.Value)/t95(4), 9.122e-3, 1e-3)
	near(t, "standard error of beta", (u.Beta.High-u.Beta.Value)/t95(4), 1.988e-5, 1e-3)
	near(t, "standard error of gamma", (u.Gamma.High-u.Gamma.Value)/t95(4), 14.21, 1e-3)
	near(t, "peak at", *u.PeakN, 96.52, 1e-4)
	near(t, "peak", *u.PeakX, 1884, 1e-3)
	near(t, "limit", *u.Limit, 3246, 1e-3)
}

func TestUSLWithoutCoherency(t *testing.T) {
	u, err := FitUSL("processors", raytracer)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "gamma", u.Gamma.Value, 21.8488, 1e-4)
	near(t, "alpha", u.Alpha.Value, 0.0578, 1e-2)
	if u.Beta.Value != 0 || u.Identified() || u.PeakN != nil {
		t.Errorf("beta = %+v, peak %v: nothing says that there is one", u.Beta, u.PeakN)
	}
	// The package's intervals are narrower: the 0.95 quantile of t with n−1 degrees of freedom, where
	// two-sided 95 % with three parameters are the 0.975 quantile with n−3. Standard errors agree.
	theirs := studentQuantile(0.95, 10)
	near(t, "standard error of alpha", (u.Alpha.High-u.Alpha.Value)/t95(8), (0.081864-0.033677)/2/theirs, 5e-3)
	near(t, "standard error of beta", (u.Beta.High-u.Beta.Value)/t95(8), 0.000214/theirs, 5e-3)
	near(t, "standard error of gamma", (u.Gamma.High-u.Gamma.Value)/t95(8), (25.829306-17.86838)/2/theirs, 5e-3)
	if !remarked(u, "beta cannot be identified") {
		t.Errorf("remarks: %q", u.Remarks)
	}
	u, err = FitUSL("processors", raytracer[:6])
	if err != nil {
		t.Fatal(err)
	}
	near(t, "alpha", u.Alpha.Value, 0.02444, 1e-3)
	near(t, "beta", u.Beta.Value, 0.00163, 1e-2)
	near(t, "standard error of beta", (u.Beta.High-u.Beta.Value)/t95(3), (0.00215-0.0011)/2/studentQuantile(0.95, 5), 1e-2)
	if !u.Identified() {
		t.Error("over the first six points beta is identified")
	}
}

func remarked(u *USL, words string) bool {
	return strings.Contains(strings.Join(u.Remarks, "\n"), words)
}

// Intervals of 95 % hold the truth about 95 times in 100.
func TestUSLCoverage(t *testing.T) {
	truth := [3]float64{1000, 0.05, 0.002}
	rng := rand.New(rand.NewPCG(1, 2))
	var in [3]int
	const rounds = 400
	for range rounds {
		var p []Point
		for _, n := range []float64{1, 2, 4, 8, 12, 16, 24, 32} {
			x, _ := law(truth, n)
			p = append(p, Point{n, x + rng.NormFloat64()*60})
		}
		u, err := FitUSL("n", p)
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range []Interval{u.Gamma, u.Alpha, u.Beta} {
			if v.Low <= truth[i] && truth[i] <= v.High {
				in[i]++
			}
		}
	}
	for i, n := range in {
		if share := float64(n) / rounds; share < 0.90 || share > 0.99 {
			t.Errorf("parameter %d is in its 95 %% interval in %.1f %% of the rounds", i, share*100)
		}
	}
}

func TestUSLExact(t *testing.T) {
	for _, truth := range [][3]float64{{1, 0, 0}, {5e6, 0.3, 0}, {12, 0, 0.01}, {40_000, 0.02, 1e-5}} {
		var p []Point
		for _, n := range []float64{1, 3, 9, 27, 81, 243} {
			x, _ := law(truth, n)
			p = append(p, Point{n, x})
		}
		u, err := FitUSL("n", p)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range p {
			near(t, "X", u.At(v.N), v.X, 1e-6)
		}
	}
}

func TestUSLRefuses(t *testing.T) {
	for name, p := range map[string][]Point{
		"few": series(1, 1, 2, 2, 3, 3), "same": series(1, 1, 1, 1, 2, 2, 2, 2),
		"zero": series(0, 1, 2, 2, 3, 3, 4, 4), "negative": series(1, -1, 2, 2, 3, 3, 4, 4),
		"NaN": series(1, math.NaN(), 2, 2, 3, 3, 4, 4),
	} {
		if u, err := FitUSL("n", p); err == nil {
			t.Errorf("%s: fitted: %+v", name, u)
		}
	}
}

func TestPredictWidens(t *testing.T) {
	u, err := FitUSL("threads", cisco)
	if err != nil {
		t.Fatal(err)
	}
	in, beyond := u.Predict(16)
	if beyond || in.Low > 9897.24 || in.High < 9897.24 {
		t.Errorf("at 16: %+v, beyond %v", in, beyond)
	}
	far, beyond := u.Predict(100)
	if !beyond || far.High-far.Low <= in.High-in.Low {
		t.Errorf("at 100: %+v, beyond %v: it must be wider than %+v", far, beyond, in)
	}
}

func TestStudent(t *testing.T) {
	for df, want := range map[int]float64{1: 12.7062, 2: 4.30265, 4: 2.77645, 8: 2.306, 30: 2.04227, 1000: 1.96234} {
		near(t, "t", t95(df), want, 1e-5)
	}
}

func TestNonNegative(t *testing.T) {
	x := matrix{{1, 2}, {1, 3}, {1, 5}, {1, 9}}
	w := nonNegative(x, []float64{5, 7, 11, 19}) // 1 + 2x
	near(t, "constant", w[0], 1, 1e-9)
	near(t, "slope", w[1], 2, 1e-9)
	w = nonNegative(x, []float64{1, 2, 4, 8}) // −1 + x: the constant may not be negative
	if w[0] != 0 || w[1] <= 0 {
		t.Errorf("w = %v", w)
	}
	w = nonNegative(matrix{{1, 2, 4}, {2, 4, 8}}, []float64{2, 4}) // columns that say the same
	if s := w[0] + 2*w[1] + 4*w[2]; math.Abs(s-2) > 1e-9 {
		t.Errorf("w = %v", w)
	}
}
