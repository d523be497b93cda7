package plan

import "math"

// Search is how the highest rate is looked for: the ladder, and when to stop.
type Search struct {
	Ratio     float64 `json:"ratio"`     // between two rungs of the ladder
	Reversals int     `json:"turns"`     // of the staircase until the answer
	MaxSteps  int     `json:"max_steps"` // for one configuration
}

// DefaultSearch has rungs of 8 % and six turns.
var DefaultSearch = Search{Ratio: 1.08, Reversals: 6, MaxSteps: 40}

const (
	ladderBase = 1000.0 // messages per second of rung 0
	maxVoids   = 3      // on one rung, one after the other
	lowest     = -90    // rung: about one message per second with 8 %
	highest    = 250
)

// Rate of a rung.
func (s Search) Rate(rung int) float64 {
	r := ladderBase * math.Pow(s.Ratio, float64(rung))
	if r > 1000 { // five digits are enough to be told
		unit := math.Pow(10, math.Floor(math.Log10(r))-4)
		return math.Round(r/unit) * unit
	}
	return math.Round(r*100) / 100
}

// Rung below a rate.
func (s Search) Rung(rate float64) int {
	r := int(math.Floor(math.Log(rate/ladderBase)/math.Log(s.Ratio) + 1e-6))
	return min(max(r, lowest), highest)
}

// progress of a search, made of its steps (P1).
type progress struct {
	search Search
	phase  phase
	rung   int // of the next step

	low, high int // highest kept and lowest missed rung while climbing
	hasLow    bool
	hasHigh   bool
	voids     int  // in a row
	byVoid    bool // high is a rung at which the generator gave up
	ceiling   int  // that rung: no step is taken there again
	hasCeil   bool

	kept  int // in a row on this rung of the staircase
	up    int // direction of the last move: 1, −1 or 0
	turns []int
	steps int
	done  bool
}

type phase int

const (
	begin     phase = iota // as fast as it goes, to know where to look
	climb                  // doubling and halving, then bisection
	staircase              // Levitt's two-down-one-up
)

// replay makes the progress that these steps have made.
func (s Search) replay(steps []Step) *progress {
	p := &progress{search: s}
	for _, x := range steps {
		p.take(x)
	}
	return p
}

// next is the rate of the next step; 0 is as fast as it goes.
func (p *progress) next() (rung int, rate float64, done bool) {
	if p.done || p.steps >= p.search.MaxSteps {
		return 0, 0, true
	}
	if p.phase == begin {
		return 0, 0, false
	}
	return p.rung, p.search.Rate(p.rung), false
}

func (p *progress) take(x Step) {
	if x.Verdict == Disturbed {
		return // once more
	}
	p.steps++
	if p.phase == begin {
		p.phase = climb
		p.rung = p.search.Rung(math.Max(x.Reached*0.5, 1))
		return
	}
	kept := x.Verdict == Kept
	if x.Verdict == Void {
		if p.voids++; p.voids < maxVoids {
			return
		}
		p.byVoid, p.hasCeil, p.ceiling = true, true, p.rung
	}
	p.voids = 0
	if p.phase == climb {
		p.climbed(kept)
	} else {
		p.stepped(kept)
	}
	p.rung = min(max(p.rung, lowest), highest)
	if p.hasCeil && p.rung >= p.ceiling {
		// The generator cannot go there: twice kept below it is all that can be said.
		if p.rung, p.kept = p.ceiling-1, 0; p.phase == staircase && !p.done {
			p.turns = append(p.turns, p.rung)
			p.done = len(p.turns) >= min(2, p.search.Reversals)
		}
	}
}

// climbed narrows the bracket until its ends are neighbours.
func (p *progress) climbed(kept bool) {
	double := max(1, int(math.Round(math.Log(2)/math.Log(p.search.Ratio))))
	if kept {
		p.low, p.hasLow = p.rung, true
	} else {
		p.high, p.hasHigh = p.rung, true
	}
	switch {
	case !p.hasHigh:
		// The maximum is near: the first step was half of it.
		p.rung += max(1, double/2)
		p.done = p.low >= highest
	case !p.hasLow:
		p.rung -= double
		p.done = p.high <= lowest
	case p.high-p.low > 2:
		p.rung = (p.low + p.high) / 2
	default:
		p.phase, p.rung = staircase, p.low
	}
}

// stepped moves on the staircase: one miss goes down, two steps in a row that kept go up. Where it
// turns again and again lies the rate that is kept in seven of ten steps (1/√2; Levitt 1971).
func (p *progress) stepped(kept bool) {
	switch {
	case !kept:
		if p.up == 1 {
			p.turns = append(p.turns, p.rung)
		}
		p.kept, p.up = 0, -1
		p.rung--
	case p.kept == 0:
		p.kept = 1
	default:
		if p.up == -1 {
			p.turns = append(p.turns, p.rung)
		}
		p.kept, p.up = 0, 1
		p.rung++
	}
	p.done = len(p.turns) >= p.search.Reversals
}

// capacity is the rate that the search has come to, with its interval: the geometric mean of the
// turns, Student's t over them, and half a rung at least.
func (p *progress) capacity() (Interval, string) {
	var logs []float64
	for _, t := range p.turns {
		logs = append(logs, math.Log(p.search.Rate(t)))
	}
	why := ""
	switch {
	case p.hasLow && !p.hasHigh:
		why = "every rate was kept"
	case !p.hasLow && len(logs) == 0:
		return Interval{}, "no rate was kept"
	}
	if p.byVoid {
		why = "the generator was the limit, not the broker"
	}
	if len(logs) == 0 {
		logs = []float64{math.Log(p.search.Rate(p.low))}
	}
	half := math.Log(p.search.Ratio) / 2
	if len(logs) > 1 {
		half = math.Max(half, t95(len(logs)-1)*deviation(logs)/math.Sqrt(float64(len(logs))))
	} else {
		half *= 4 // one bracket of two rungs
	}
	m := mean(logs)
	return Interval{Value: math.Exp(m), Low: math.Exp(m - half), High: math.Exp(m + half)}, why
}
