package result

import (
	"fmt"
	"math"
)

// Limits of what a result may hold.
const (
	maxIntervals = 1 << 20
	maxKinds     = 32
	maxSeconds   = 366 * 24 * 3600
	maxList      = 1 << 16 // errors, readers, parts
)

// slack of interval borders, in seconds: they are made by timers.
const slack = 0.5

// checker collects the first thing that is wrong.
type checker struct{ err *FormatError }

func (c *checker) want(right bool, rule, where string, args ...any) {
	if !right && c.err == nil {
		c.err = &FormatError{File: "run", Where: fmt.Sprintf(where, args...), Rule: rule}
	}
}

// positive checks figures that cannot be less than zero.
func (c *checker) positive(where string, v ...float64) {
	for i, x := range v {
		c.want(x >= 0 && x <= math.MaxInt64, "less than zero or absurd", "%s, figure %d", where, i+1)
	}
}

func (c *checker) counts(where string, v ...int64) {
	for i, x := range v {
		c.want(x >= 0, "less than zero", "%s, count %d", where, i+1)
	}
}

// Check says what in a run cannot be true (R3).
func (r *Run) Check() error {
	c := &checker{}
	c.want(r.Format == Format, "another format", "format")
	c.want(r.Seconds >= 0 && r.Seconds <= maxSeconds, "not a length of a run", "seconds")
	c.want(r.WarmupSeconds >= 0 && r.WarmupSeconds <= maxSeconds, "not a length", "warmup_seconds")
	c.want(r.Rate >= 0 && !math.IsInf(r.Rate, 0), "not a rate", "rate")
	c.counts("run", r.Sent, r.Acked, r.Received, r.Requests, r.AckedBytes, r.ReceivedBytes,
		r.CatchUp, r.Transactions, r.Aborted)
	c.want(len(r.Errors) <= maxList, "too many", "errors")
	for i, e := range r.Errors {
		c.counts(fmt.Sprintf("errors[%d]", i), e.Count)
	}
	c.want(len(r.Readers) <= maxList && len(r.Parts) <= maxList, "too many", "readers or parts")
	c.want(len(r.Latencies) <= maxKinds, "too many kinds", "latencies_us")
	for kind, s := range r.Latencies {
		c.summary(fmt.Sprintf("latencies_us.%s", kind), &s)
	}
	for i, g := range r.Readers {
		c.counts(fmt.Sprintf("readers[%d]", i), g.Received, g.Bytes, g.Lag)
		if g.EndToEnd != nil {
			c.summary(fmt.Sprintf("readers[%d].end_to_end_us", i), g.EndToEnd)
		}
	}
	c.cost("broker", r.Broker)
	c.cost("generator", r.Generator)
	c.intervals(r)
	if c.err != nil {
		return c.err
	}
	return nil
}

func (c *checker) summary(where string, s *Summary) {
	c.counts(where, s.Count)
	c.positive(where, s.Min, s.Mean, s.Max)
	c.want(s.Count == 0 || s.Min <= s.Max, "min above max", "%s", where)
	c.want(len(s.Quantiles) <= 64, "too many quantiles", "%s", where)
	last := Quantile{}
	for i, q := range s.Quantiles {
		c.want(q.Q > last.Q && q.Q < 1 && q.Micros >= last.Micros, "out of order",
			"%s.quantiles[%d]", where, i)
		c.want(Supported(q.Q, s.Count), "too few samples for it", "%s.quantiles[%d]", where, i)
		last = q
	}
	c.histogram(where, s.Histogram, s.Count)
}

// histogram must be readable and hold as many samples as the figures beside it say.
func (c *checker) histogram(where, text string, count int64) {
	if c.err != nil || text == "" {
		return
	}
	h, err := Decode(text)
	if err != nil {
		c.want(false, err.Error(), "%s.histogram", where)
		return
	}
	c.want(h.TotalCount() == count, fmt.Sprintf("%d samples, not %d", h.TotalCount(), count),
		"%s.histogram", where)
}

func (c *checker) cost(where string, x *Cost) {
	if x == nil {
		return
	}
	c.positive(where, x.Seconds, x.CPUSeconds, x.User, x.System)
	c.counts(where, x.RSS, x.VoluntarySwitches, x.InvoluntarySwitches, x.DiskWritten, x.DiskRead)
}

func (c *checker) intervals(r *Run) {
	c.want(len(r.Intervals) <= maxIntervals, "too many", "intervals")
	var sent, acked, received int64
	end := -slack
	for i := range r.Intervals {
		if c.err != nil {
			return
		}
		v := &r.Intervals[i]
		where := fmt.Sprintf("intervals[%d]", i)
		c.want(!v.Warmup, "of the warm-up", "%s", where)
		c.want(v.Seconds > 0 && v.Seconds <= maxSeconds, "no length", "%s.seconds", where)
		c.want(v.At >= end-slack && v.At <= maxSeconds, "out of order", "%s.at", where)
		end = v.At + v.Seconds
		c.counts(where, v.Sent, v.Acked, v.Received, v.Requests, v.AckedBytes, v.ReceivedBytes,
			v.CatchUp, v.Transactions, v.Errors, v.InFlight, v.Lag)
		sent, acked, received = sent+v.Sent, acked+v.Acked, received+v.Received
		c.want(sent >= 0 && acked >= 0 && received >= 0, "sums overflow", "%s", where)
		c.want(len(v.Latencies) <= maxKinds, "too many kinds", "%s.latencies_us", where)
		for kind, w := range v.Latencies {
			at := fmt.Sprintf("%s.latencies_us.%s", where, kind)
			c.counts(at, w.Count)
			c.positive(at, w.P50, w.P99, w.Max)
			c.histogram(at, w.Histogram, w.Count)
		}
		c.cost(where+".broker", v.Broker)
		c.cost(where+".generator", v.Generator)
	}
	c.want(sent <= r.Sent && acked <= r.Acked && received <= r.Received,
		"hold more messages than the run", "intervals")
}
