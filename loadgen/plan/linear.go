package plan

import (
	"math"
	"math/bits"
)

// matrix is dense, by rows. Everything here is small: at most some hundred rows and ten columns.
type matrix [][]float64

func newMatrix(rows, cols int) matrix {
	m := make(matrix, rows)
	for i := range m {
		m[i] = make([]float64, cols)
	}
	return m
}

// invert gives the inverse of a symmetric positive definite matrix by Cholesky's factors, or
// false when it is singular as far as floating point can tell. Rows and columns are scaled
// first: parameters here differ by ten orders of magnitude.
func invert(a matrix) (matrix, bool) {
	n := len(a)
	scale := make([]float64, n)
	for i := range a {
		if !(a[i][i] > 0) {
			return nil, false
		}
		scale[i] = 1 / math.Sqrt(a[i][i])
	}
	l := newMatrix(n, n)
	for i := range n {
		for j := range i + 1 {
			sum := a[i][j] * scale[i] * scale[j]
			for k := range j {
				sum -= l[i][k] * l[j][k]
			}
			if i != j {
				l[i][j] = sum / l[j][j]
				continue
			}
			if sum < 1e-12 { // of a diagonal that is 1: these columns say the same
				return nil, false
			}
			l[i][i] = math.Sqrt(sum)
		}
	}
	out := newMatrix(n, n)
	for c := range n {
		x := unitSolution(l, c)
		for r := range n {
			out[r][c] = x[r] * scale[r] * scale[c]
		}
	}
	return out, true
}

// unitSolution solves L·Lᵀ·x = e(c).
func unitSolution(l matrix, c int) []float64 {
	n := len(l)
	x := make([]float64, n)
	for i := range n {
		sum := 0.0
		if i == c {
			sum = 1
		}
		for k := range i {
			sum -= l[i][k] * x[k]
		}
		x[i] = sum / l[i][i]
	}
	for i := n - 1; i >= 0; i-- {
		sum := x[i]
		for k := i + 1; k < n; k++ {
			sum -= l[k][i] * x[k]
		}
		x[i] = sum / l[i][i]
	}
	return x
}

// normal gives XᵀX, with ridge added to the diagonal, and Xᵀy.
func normal(x matrix, y []float64, ridge float64) (matrix, []float64) {
	n := len(x[0])
	a, b := newMatrix(n, n), make([]float64, n)
	for r, row := range x {
		for i, v := range row {
			b[i] += v * y[r]
			for j := range i + 1 {
				a[i][j] += v * row[j]
			}
		}
	}
	for i := range n {
		a[i][i] += ridge
		for j := range i {
			a[j][i] = a[i][j]
		}
	}
	return a, b
}

// leastSquares minimises |Xw − y|² + ridge·|w|². False: the columns cannot be told apart.
func leastSquares(x matrix, y []float64, ridge float64) ([]float64, bool) {
	a, b := normal(x, y, ridge)
	return solve(a, b)
}

func solve(a matrix, b []float64) ([]float64, bool) {
	inv, ok := invert(a)
	if !ok {
		return nil, false
	}
	w := make([]float64, len(b))
	for i := range w {
		w[i] = dot(inv[i], b)
	}
	return w, true
}

// nonNegative minimises |Xw − y|² over w ≥ 0. The minimum is the plain solution on some subset
// of the columns, so with a handful of columns all subsets are tried. Columns that cannot be told
// apart are never taken together.
func nonNegative(x matrix, y []float64) []float64 {
	n := len(x[0])
	a, b := normal(x, y, 0)
	best, most := make([]float64, n), math.Inf(-1)
	for set := uint(1); set < 1<<n; set++ {
		cols := columnsOf(set)
		part, right := newMatrix(len(cols), len(cols)), make([]float64, len(cols))
		for i, c := range cols {
			right[i] = b[c]
			for j, d := range cols {
				part[i][j] = a[c][d]
			}
		}
		w, ok := solve(part, right)
		if !ok || !positive(w) {
			continue
		}
		// At a plain solution |Xw − y|² = |y|² − bᵀw.
		if gain := dot(right, w); gain > most {
			most = gain
			clear(best)
			for i, c := range cols {
				best[c] = w[i]
			}
		}
	}
	return best
}

func columnsOf(set uint) []int {
	out := make([]int, 0, bits.OnesCount(set))
	for ; set != 0; set &= set - 1 {
		out = append(out, bits.TrailingZeros(set))
	}
	return out
}

func positive(w []float64) bool {
	for _, v := range w {
		if !(v > 0) {
			return false
		}
	}
	return true
}

func dot(a, b []float64) float64 {
	sum := 0.0
	for i, v := range a {
		sum += v * b[i]
	}
	return sum
}
