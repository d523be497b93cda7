package result

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// together is the share of the merged time in which all runs must have been under way.
const together = 0.9

// Merge makes one result of what several machines measured at the same time against the same
// target: counts are added, histograms are merged, intervals are laid on one clock. Clocks of the
// machines need to agree to about a tenth of an interval.
func Merge(runs []*Run) (*Run, error) {
	if len(runs) == 0 {
		return nil, errors.New("result: merge: nothing to merge")
	}
	m := &Run{Format: Format, Name: runs[0].Name, Version: runs[0].Version, Host: runs[0].Host,
		Target: runs[0].Target, Options: runs[0].Options, Latencies: map[Kind]Summary{}}
	ids, loads, clients := sha256.New(), []string{}, []string{}
	m.Command = []string{"loadgen", "merge"}
	for _, r := range runs {
		ids.Write([]byte(r.ID + "\n"))
		loads, clients = appendNew(loads, r.Load), appendNew(clients, r.Client)
		m.Command = append(m.Command, r.ID)
		m.addCounts(r)
		m.Parts = append(m.Parts, Part{ID: r.ID, Host: r.Host, Command: r.Command,
			Started: r.Started, Seconds: r.Seconds, Acked: r.Acked, Void: r.Void,
			Partial: r.Partial})
	}
	m.ID = hex.EncodeToString(ids.Sum(nil)[:6])
	m.Load, m.Client = strings.Join(loads, " + "), strings.Join(clients, " + ")
	m.span(runs)
	if err := m.mergeLatencies(runs); err != nil {
		return nil, err
	}
	brokers, hosts := sources(runs), map[string]bool{}
	for _, r := range runs {
		m.Generator = addCost(m.Generator, r.Generator)
		if brokers[r] {
			m.Broker = addCost(m.Broker, r.Broker)
		}
		if r.Host.Name == "" || !hosts[r.Host.Name] { // two generators see one machine
			m.Machine = addMachine(m.Machine, r.Machine)
			hosts[r.Host.Name] = true
		}
	}
	for _, c := range []*Cost{m.Broker, m.Generator} {
		if c != nil {
			c.Seconds = m.Seconds
		}
	}
	if err := m.mergeIntervals(runs, brokers); err != nil {
		return nil, err
	}
	if err := m.Check(); err != nil {
		return nil, err
	}
	return m, nil
}

func appendNew(list []string, v string) []string {
	if v == "" || slices.Contains(list, v) {
		return list
	}
	return append(list, v)
}

// label names a run among others.
func (r *Run) label() string {
	if r.Host.Name != "" {
		return r.Host.Name
	}
	return r.ID
}

func (m *Run) addCounts(r *Run) {
	m.Rate += r.Rate
	m.Sent += r.Sent
	m.Acked += r.Acked
	m.Received += r.Received
	m.Requests += r.Requests
	m.AckedBytes += r.AckedBytes
	m.ReceivedBytes += r.ReceivedBytes
	m.CatchUp += r.CatchUp
	m.Transactions += r.Transactions
	m.Aborted += r.Aborted
	m.WarmupSeconds = max(m.WarmupSeconds, r.WarmupSeconds)
	for _, t := range r.Target.Topics {
		m.Target.Topics = appendNew(slices.Clone(m.Target.Topics), t)
	}
	join := func(to *string, why string) {
		if why == "" {
			return
		}
		if *to != "" {
			*to += "; "
		}
		*to += r.label() + ": " + why
	}
	join(&m.Void, r.Void)
	join(&m.Partial, r.Partial)
	for _, e := range r.Errors {
		i := slices.IndexFunc(m.Errors, func(x ErrorCount) bool {
			return x.Code == e.Code && x.Name == e.Name
		})
		if i < 0 {
			m.Errors = append(m.Errors, e)
			continue
		}
		m.Errors[i].Count += e.Count
		m.Errors[i].FirstAt = min(m.Errors[i].FirstAt, e.FirstAt)
	}
	if v := r.Verified; v != nil {
		if m.Verified == nil {
			m.Verified = &Verified{}
		}
		w := m.Verified
		w.Expected, w.Received = w.Expected+v.Expected, w.Received+v.Received
		w.Missing, w.Duplicates = w.Missing+v.Missing, w.Duplicates+v.Duplicates
		w.Disordered, w.Damaged = w.Disordered+v.Disordered, w.Damaged+v.Damaged
		w.Unknown += v.Unknown
		w.Examples = append(w.Examples, v.Examples...)
	}
	for _, g := range r.Readers {
		if r.Host.Name != "" {
			g.Name = r.Host.Name + " " + g.Name
		}
		m.Readers = append(m.Readers, g)
	}
}

func (r *Run) ended() time.Time {
	return r.Started.Add(time.Duration(r.Seconds * float64(time.Second)))
}

// span is from the first begin to the last end; what was not measured together is said.
func (m *Run) span(runs []*Run) {
	first, last := runs[0].Started, runs[0].ended()
	allFrom, allTo := first, last
	for _, r := range runs[1:] {
		if r.Started.Before(first) {
			first = r.Started
		}
		if r.Started.After(allFrom) {
			allFrom = r.Started
		}
		if r.ended().After(last) {
			last = r.ended()
		}
		if r.ended().Before(allTo) {
			allTo = r.ended()
		}
	}
	m.Started, m.Seconds = first, last.Sub(first).Seconds()
	if common := max(allTo.Sub(allFrom).Seconds(), 0); common < together*m.Seconds {
		why := fmt.Sprintf("the runs were under way together for %.0f %% of the time only",
			100*common/m.Seconds)
		if m.Partial != "" {
			why = m.Partial + "; " + why
		}
		m.Partial = why
	}
}

func (m *Run) mergeLatencies(runs []*Run) error {
	sums := map[Kind]*hdrhistogram.Histogram{}
	for _, r := range runs {
		for kind, s := range r.Latencies {
			if s.Count == 0 {
				continue
			}
			if s.Histogram == "" {
				return fmt.Errorf("result: merge: %s has no histogram of %s: quantiles cannot be "+
					"merged without", r.label(), kind)
			}
			if err := addText(sums, kind, s.Histogram); err != nil {
				return fmt.Errorf("%s: %w", r.label(), err)
			}
		}
	}
	for kind, h := range sums {
		m.Latencies[kind] = Summarize(h)
	}
	return nil
}

// addText adds an encoded histogram to the sum of its kind.
func addText(sums map[Kind]*hdrhistogram.Histogram, kind Kind, text string) error {
	h, err := Decode(text)
	if err != nil {
		return err
	}
	if sums[kind] == nil {
		sums[kind] = NewHistogram()
	}
	if dropped := sums[kind].Merge(h); dropped > 0 {
		return fmt.Errorf("result: merge: %d samples of %s beyond a minute", dropped, kind)
	}
	return nil
}

// sources picks the runs whose broker figures count: machines that looked at the same broker tell
// of it once, the one that looked longest.
func sources(runs []*Run) map[*Run]bool {
	best := map[string]*Run{}
	for _, r := range runs {
		if r.Broker == nil {
			continue
		}
		key := r.Broker.Source
		if strings.HasPrefix(key, "pid ") {
			key = r.Host.Name + " " + key
		}
		if b := best[key]; b == nil || r.Broker.Seconds > b.Broker.Seconds {
			best[key] = r
		}
	}
	out := map[*Run]bool{}
	for _, r := range best {
		out[r] = true
	}
	return out
}

func addCost(to, c *Cost) *Cost {
	if c == nil {
		return to
	}
	if to == nil {
		out := *c
		return &out
	}
	to.Seconds = max(to.Seconds, c.Seconds)
	to.CPUSeconds += c.CPUSeconds
	to.User += c.User
	to.System += c.System
	to.RSS += c.RSS
	to.VoluntarySwitches += c.VoluntarySwitches
	to.InvoluntarySwitches += c.InvoluntarySwitches
	to.DiskWritten += c.DiskWritten
	to.DiskRead += c.DiskRead
	for _, name := range c.Unknown {
		to.Unknown = appendNew(slices.Clone(to.Unknown), name)
	}
	if c.Source != "" && c.Source != to.Source {
		to.Source += ", " + c.Source
	}
	return to
}

// resident leaves memory out of a cost that is not the last one of its run in a cell.
func (c *Cost) resident(latest bool) *Cost {
	if c == nil || latest {
		return c
	}
	out := *c
	out.RSS = 0
	return &out
}

func addMachine(to, m *Machine) *Machine {
	if m == nil {
		return to
	}
	if to == nil {
		out := *m
		return &out
	}
	to.Cores += m.Cores
	to.Busy += m.Busy
	to.User += m.User
	to.Interrupt += m.Interrupt
	to.Steal += m.Steal
	to.Foreign += m.Foreign
	to.Waiting += m.Waiting
	return to
}

// gridStep is the length that most intervals have, to a tenth of a second.
func gridStep(runs []*Run) float64 {
	var lengths []float64
	for _, r := range runs {
		for i := range r.Intervals {
			lengths = append(lengths, r.Intervals[i].Seconds)
		}
	}
	if len(lengths) == 0 {
		return 0
	}
	slices.Sort(lengths)
	return max(0.1, math.Round(lengths[len(lengths)/2]*10)/10)
}

// entry is an interval of a run in a cell of the merged clock.
type entry struct {
	run    *Run
	of     *Interval
	latest bool // the last one of its run in this cell
}

// mergeIntervals lays all intervals on one grid: each goes to the cell that its middle is in.
func (m *Run) mergeIntervals(runs []*Run, brokers map[*Run]bool) error {
	step := gridStep(runs)
	grid := map[int][]entry{}
	for _, r := range runs {
		shift := r.Started.Sub(m.Started).Seconds()
		latest := -1
		for i := len(r.Intervals) - 1; i >= 0; i-- {
			v := &r.Intervals[i]
			k := max(0, int(math.Floor((shift+v.At+v.Seconds/2)/step)))
			if k >= maxIntervals {
				return errors.New("result: merge: the runs are too far apart")
			}
			grid[k] = append(grid[k], entry{r, v, k != latest})
			latest = k
		}
	}
	for _, k := range slices.Sorted(maps.Keys(grid)) {
		cell := Interval{At: float64(k) * step, Seconds: step}
		sums := map[Kind]*hdrhistogram.Histogram{}
		for _, e := range grid[k] {
			cell.add(e.of, e.latest, brokers[e.run])
			for kind, w := range e.of.Latencies {
				if w.Count == 0 || w.Histogram == "" {
					continue
				}
				if err := addText(sums, kind, w.Histogram); err != nil {
					return fmt.Errorf("%s: %w", e.run.label(), err)
				}
			}
		}
		if len(sums) > 0 {
			cell.Latencies = map[Kind]Window{}
		}
		for kind, h := range sums {
			cell.Latencies[kind] = Observe(h)
		}
		m.Intervals = append(m.Intervals, cell)
	}
	return nil
}

// add adds the figures of an interval, but for its latencies.
func (v *Interval) add(x *Interval, latest, broker bool) {
	v.Sent += x.Sent
	v.Acked += x.Acked
	v.Received += x.Received
	v.Requests += x.Requests
	v.AckedBytes += x.AckedBytes
	v.ReceivedBytes += x.ReceivedBytes
	v.CatchUp += x.CatchUp
	v.Transactions += x.Transactions
	v.Errors += x.Errors
	if latest { // how far behind at the end of the cell
		v.InFlight += x.InFlight
		v.Lag += x.Lag
	}
	v.Generator = addCost(v.Generator, x.Generator.resident(latest))
	if broker {
		v.Broker = addCost(v.Broker, x.Broker.resident(latest))
	}
}

func sortedKinds[V any](of map[Kind]V) []Kind {
	rank := func(k Kind) int {
		if i := slices.Index(Kinds, k); i >= 0 {
			return i
		}
		return len(Kinds)
	}
	return slices.SortedFunc(maps.Keys(of), func(a, b Kind) int {
		if d := rank(a) - rank(b); d != 0 {
			return d
		}
		return strings.Compare(string(a), string(b))
	})
}
