package plan

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"millrace/loadgen/workload"
)

// Demand is what a cluster shall carry.
type Demand struct {
	Rate        float64           `json:"rate"` // messages per second, at the peak
	Size        int               `json:"size"`
	Records     int               `json:"records"` // messages of a batch; 0: as in the sweep
	Replication int               `json:"replication"`
	Retention   time.Duration     `json:"retention_ns"`
	MeanRate    float64           `json:"mean_rate"` // what retention has to hold; 0: Rate
	FanOut      int               `json:"fan_out"`   // groups that read everything
	Objectives  Objectives        `json:"objectives"`
	Acks        string            `json:"acks"`        // "" as in the sweep
	Connections int               `json:"connections"` // of producers, per host; 0: as in the sweep
	Partitions  int               `json:"partitions"`  // in all; 0: as many as it takes
	Labels      map[string]string `json:"labels,omitempty"`
	Failures    int               `json:"failures"`                  // hosts that may be down
	Headroom    float64           `json:"headroom"`                  // free share of each host's capacity, 0…1
	DiskFree    float64           `json:"disk_free"`                 // free share of the disks, 0…1
	Compression float64           `json:"compression"`               // bytes before ÷ bytes after; 1: none
	HostDisk    float64           `json:"host_disk_bytes,omitempty"` // of one host; 0: not asked
	HostWrite   float64           `json:"host_write_bytes_per_second,omitempty"`
	HostNetwork float64           `json:"host_network_bits_per_second,omitempty"`
}

// Check says what is wrong with a demand.
func (d Demand) Check() error {
	switch {
	case !(d.Rate > 0) || math.IsInf(d.Rate, 0):
		return errors.New("plan: a rate above zero is needed")
	case d.Size < 0 || d.Size > maxSize:
		return fmt.Errorf("plan: messages of %d bytes", d.Size)
	case d.Records < 0 || d.Records > 1<<20:
		return fmt.Errorf("plan: batches of %d messages", d.Records)
	case d.Replication < 1 || d.Replication > 100:
		return fmt.Errorf("plan: a replication factor of %d", d.Replication)
	case d.Retention < 0 || d.FanOut < 0 || d.Connections < 0 || d.Partitions < 0 || d.Failures < 0:
		return errors.New("plan: retention, fan-out, connections, partitions and failures cannot be negative")
	case d.Headroom < 0 || d.Headroom >= 1 || d.DiskFree < 0 || d.DiskFree >= 1:
		return errors.New("plan: headroom and free disk are shares, at least 0 and below 1")
	case !(d.Compression > 0) || d.MeanRate < 0 || d.MeanRate > d.Rate:
		return errors.New("plan: compression must be above 0, and the mean rate not above the rate")
	case len(d.Objectives) == 0:
		return errors.New("plan: an objective is needed, as p99=10ms")
	case d.HostDisk < 0 || d.HostWrite < 0 || d.HostNetwork < 0:
		return errors.New("plan: a host's disk, write bandwidth and network cannot be negative")
	}
	return nil
}

// Answer is what it takes.
type Answer struct {
	Demand Demand `json:"demand"`
	Config Config `json:"config"` // what the model was asked for, per host

	Hosts      Interval `json:"hosts"` // whole ones
	DecidedBy  string   `json:"decided_by"`
	Cores      Interval `json:"cores"` // of all hosts, as large as the measured one's
	HostCores  int      `json:"cores_per_host"`
	CPU        Interval `json:"cpu_seconds_per_second"` // of all brokers; zero: not measured
	PerHost    Interval `json:"capacity_per_host"`      // messages per second that a host leads
	Partitions int      `json:"partitions"`

	Stored     float64  `json:"stored_bytes"` // with replicas, without the free share
	Disk       float64  `json:"disk_bytes"`   // with it
	DiskHost   float64  `json:"disk_bytes_per_host"`
	Write      Interval `json:"write_bytes_per_second_and_host"`
	Flushes    Interval `json:"flushes_per_second_and_host"`
	NetIn      float64  `json:"network_in_bits_per_second_and_host"`
	NetOut     float64  `json:"network_out_bits_per_second_and_host"`
	FailedIn   float64  `json:"network_in_with_failures"`
	FailedOut  float64  `json:"network_out_with_failures"`
	Load       Interval `json:"load"` // share of the capacity, all hosts up
	LoadFailed Interval `json:"load_with_failures"`

	Extrapolates []string `json:"extrapolates,omitempty"`
	Assumes      []string `json:"assumes"`
	Warns        []string `json:"warns,omitempty"`
}

func (a *Answer) assume(format string, args ...any) {
	a.Assumes = append(a.Assumes, fmt.Sprintf(format, args...))
}
func (a *Answer) warn(format string, args ...any) {
	a.Warns = append(a.Warns, fmt.Sprintf(format, args...))
}

// maxHosts is where a plan ends to be one.
const maxHosts = 1e6

// Plan answers a demand from a model.
func (m *Model) Plan(d Demand) (*Answer, error) {
	if err := d.Check(); err != nil {
		return nil, err
	}
	if d.MeanRate == 0 {
		d.MeanRate = d.Rate
	}
	laws, err := m.Fit(d.Objectives)
	if err != nil {
		return nil, fmt.Errorf("%w; the sweep was for %s: sweep with --slo %s", err, m.Objectives, d.Objectives)
	}
	c, err := m.shape(d, laws.Capacity)
	if err != nil {
		return nil, err
	}
	a := &Answer{}
	// What a host can take depends on how many partitions it leads, and those on how many hosts
	// there are: a few rounds settle it.
	for range 4 {
		*a = Answer{Demand: d, HostCores: m.Host.Cores, Config: c}
		a.hosts(m, laws)
		if !(a.Hosts.Value <= maxHosts) {
			return nil, fmt.Errorf("plan: %.3g hosts: this model is of no use for that", a.Hosts.Value)
		}
		a.partitions(m)
		c.Partitions = max(1, a.Partitions/int(a.Hosts.Value))
	}
	beyond, _ := laws.Capacity.Beyond(a.Config)
	a.Extrapolates = append(a.Extrapolates, beyond...)
	if d.Objectives.String() != m.Objectives.String() {
		a.warn("the sweep was made for %s; capacities within %s were taken from its steps, which are few there",
			m.Objectives, d.Objectives)
	}
	a.storage(laws)
	a.network()
	a.words(m, laws)
	return a, nil
}

// shape is the configuration that one host sees of the demand.
func (m *Model) shape(d Demand, f *Fit) (Config, error) {
	var list []Config
	for _, x := range m.Measured {
		if x.Done {
			list = append(list, x.Config)
		}
	}
	pick := func(of func(Config) int) int {
		var v []float64
		for _, c := range list {
			v = append(v, float64(of(c)))
		}
		slices.Sort(v)
		return int(v[len(v)/2])
	}
	c := Config{Size: d.Size, Records: d.Records, Acks: d.Acks, Connections: d.Connections,
		InFlight: pick(func(c Config) int { return c.InFlight }), FanOut: d.FanOut + d.Replication - 1,
		Partitions: pick(func(c Config) int { return c.Partitions }), Labels: map[string]string{}}
	if c.Records == 0 {
		bytes := pick(func(c Config) int { return int(c.Bytes()) })
		c.Records = Batch{Bytes: bytes}.records(d.Size)
	}
	if c.Connections == 0 {
		c.Connections = pick(func(c Config) int { return c.Connections })
	}
	if c.Acks == "" {
		c.Acks = "all"
		if !f.known["acks"]["all"] {
			c.Acks = "1"
		}
	}
	for k, levels := range f.known {
		want, given := d.Labels[k]
		switch {
		case k == "acks":
		case given && !levels[want]:
			return c, fmt.Errorf("plan: %s=%s was not measured, but %s", k, want,
				strings.Join(slices.Sorted(maps.Keys(levels)), ", "))
		case given:
			c.Labels[k] = want
		case len(levels) == 1:
			c.Labels[k] = slices.Collect(maps.Keys(levels))[0]
		default:
			return c, fmt.Errorf("plan: the model has several %s (%s): choose one with --label %s=…", k,
				strings.Join(slices.Sorted(maps.Keys(levels)), ", "), k)
		}
	}
	for k := range d.Labels {
		if f.known[k] == nil {
			return c, fmt.Errorf("plan: no %s was measured", k)
		}
	}
	return c, nil
}

// readsMeasured says whether the sweep has put readers beside writers.
func readsMeasured(f *Fit) bool { return f.to["fan-out"] > 0 }

// perMessage is what one message of the demand costs of a law: the leader's append with all that
// is read of it, and the followers' appends.
func perMessage(f *Fit, c Config, replication int) Interval {
	follower := c
	follower.FanOut = 0
	lead, follow := f.Predict(c), f.Predict(follower)
	if extra := c.FanOut; !readsMeasured(f) && extra > 0 {
		// What is read once is taken to cost what its bytes cost to write.
		share := f.PerByte * c.Bytes() / dot(f.weights(), c.base())
		lead = lead.Scale(1 + float64(extra)*share)
	}
	out := Interval{Value: lead.Value + float64(replication-1)*follow.Value,
		Low:  lead.Low + float64(replication-1)*follow.Low,
		High: lead.High + float64(replication-1)*follow.High}
	return out.Scale(1 / float64(c.Records))
}

func (a *Answer) hosts(m *Model, laws *Laws) {
	d := a.Demand
	need := perMessage(laws.Capacity, a.Config, d.Replication) // host seconds of a message
	a.PerHost = Interval{Value: 1 / need.Value, Low: 1 / need.High, High: 1 / need.Low}
	count := func(v float64) float64 {
		n := math.Ceil(d.Rate*v/(1-d.Headroom)-1e-9) + float64(d.Failures)
		return math.Max(n, math.Max(float64(d.Replication), float64(1+d.Failures)))
	}
	a.Hosts = Interval{Value: count(need.Value), Low: count(need.Low), High: count(need.High)}
	a.DecidedBy = "throughput within the objective"
	if busy := math.Ceil(d.Rate*need.Value/(1-d.Headroom)-1e-9) + float64(d.Failures); busy < a.Hosts.Value {
		a.DecidedBy = "the replication factor and the hosts that may fail"
	}
	for _, x := range []struct {
		name string
		load float64 // of all hosts together
		each float64 // of one
	}{
		{"disk space", a.stored() / (1 - d.DiskFree), d.HostDisk},
		{"disk write bandwidth", a.written(laws).Value, d.HostWrite * (1 - d.Headroom)},
		{"network", math.Max(a.in(), a.out()), d.HostNetwork * (1 - d.Headroom)},
	} {
		if x.each <= 0 {
			continue
		}
		n := math.Ceil(x.load/x.each-1e-9) + float64(d.Failures)
		if n > a.Hosts.Value {
			a.DecidedBy = x.name
		}
		a.Hosts.Value, a.Hosts.Low = math.Max(a.Hosts.Value, n), math.Max(a.Hosts.Low, n)
		a.Hosts.High = math.Max(a.Hosts.High, n)
	}
	a.Cores = a.Hosts.Scale(float64(a.HostCores))
	a.Load = need.Scale(d.Rate / a.Hosts.Value)
	a.LoadFailed = need.Scale(d.Rate / math.Max(1, a.Hosts.Value-float64(d.Failures)))
	if laws.CPU != nil {
		a.CPU = perMessage(laws.CPU, a.Config, d.Replication).Scale(d.Rate)
	}
}

// wire is the bytes of a message in a batch, compressed.
func (a *Answer) wire() float64 {
	return a.Config.Bytes() / float64(a.Config.Records) / a.Demand.Compression
}

func (a *Answer) stored() float64 {
	d := a.Demand
	return d.MeanRate * a.wire() * float64(d.Replication) * d.Retention.Seconds()
}

// written is what all hosts write in a second.
func (a *Answer) written(laws *Laws) Interval {
	d := a.Demand
	copies := d.Rate * float64(d.Replication)
	if laws.Written == nil {
		v := copies * a.wire()
		return Interval{Value: v, Low: v, High: v}
	}
	plain := a.Config
	plain.FanOut = 0
	return laws.Written.Predict(plain).Scale(copies / float64(a.Config.Records) / d.Compression)
}

// in and out are bits per second of all hosts together.
func (a *Answer) in() float64 {
	return a.Demand.Rate * a.wire() * float64(a.Demand.Replication) * 8
}

func (a *Answer) out() float64 {
	return a.Demand.Rate * a.wire() * float64(a.Demand.Replication-1+a.Demand.FanOut) * 8
}

func (a *Answer) storage(laws *Laws) {
	a.Stored = a.stored()
	a.Disk = a.Stored / (1 - a.Demand.DiskFree)
	a.DiskHost = a.Disk / a.Hosts.Value
	up := math.Max(1, a.Hosts.Value-float64(a.Demand.Failures))
	a.Write = a.written(laws).Scale(1 / up)
	if laws.Flushes != nil {
		plain := a.Config
		plain.FanOut = 0
		copies := a.Demand.Rate * float64(a.Demand.Replication) / float64(a.Config.Records)
		a.Flushes = laws.Flushes.Predict(plain).Scale(copies / up)
	}
}

func (a *Answer) network() {
	up := math.Max(1, a.Hosts.Value-float64(a.Demand.Failures))
	a.NetIn, a.NetOut = a.in()/a.Hosts.Value, a.out()/a.Hosts.Value
	a.FailedIn, a.FailedOut = a.in()/up, a.out()/up
}

// partitions: enough that every core of every host has one to lead, that none has to take more than
// one was seen to take, and as many on each host.
func (a *Answer) partitions(m *Model) {
	d, hosts := a.Demand, int(a.Hosts.Value)
	most := 0.0 // bytes per second and partition that were measured
	for _, x := range m.Measured {
		if x.Done && x.Capacity != nil {
			rate := x.Capacity.Low * x.Bytes() / float64(x.Records) / float64(x.Partitions)
			most = math.Max(most, rate)
		}
	}
	n := hosts * max(1, a.HostCores)
	if most > 0 {
		n = max(n, int(math.Ceil(d.Rate*a.wire()*d.Compression/most)))
	}
	n = (n + hosts - 1) / hosts * hosts
	a.Partitions = n
	if d.Partitions > 0 {
		if a.Partitions = d.Partitions; d.Partitions < n {
			a.warn("%d partitions are fewer than the %d that keep every core busy and no partition above "+
				"what one was seen to take", d.Partitions, n)
		}
	}
}

// words say what the figures rest on.
func (a *Answer) words(m *Model, laws *Laws) {
	d, f := a.Demand, laws.Capacity
	a.assume("hosts like the measured one: %s, %d cores, client and broker on the same machine, loopback; "+
		"a host of its own takes more", m.Host.CPU, m.Host.Cores)
	a.assume("%d hosts carry %d times what one does: partitions do not know each other", int(a.Hosts.Value),
		int(a.Hosts.Value))
	if d.Replication > 1 {
		a.assume("replication was not measured: a copy costs a follower what a produce request costs, and " +
			"the leader one reader more; the time a follower takes to acknowledge is not in the objective")
	}
	if a.Config.FanOut > 0 && !readsMeasured(f) {
		a.assume("reads were not measured (sweep --fan-out): a byte read costs what a byte written costs")
	}
	if d.Failures > 0 {
		a.assume("%d of the hosts may be down: the others carry all of it, each with %.0f %% of its capacity free",
			d.Failures, d.Headroom*100)
	} else {
		a.warn("no host may fail: with one down the others are %.0f %% loaded",
			100*d.Rate/a.PerHost.Value/math.Max(1, a.Hosts.Value-1))
	}
	if laws.Written == nil {
		a.assume("disk writes were not measured: every byte is taken to be written once")
	}
	if d.Compression != 1 {
		a.assume("compression by %.3g saves bytes of disk and network, and no CPU", d.Compression)
	}
	lower := 0
	for _, x := range m.Measured {
		if x.Done && x.Bound != "" && x.Capacity != nil {
			lower++
		}
	}
	if lower > 0 {
		a.warn("%d of %d capacities are lower bounds: the generator, not the broker, was the limit", lower,
			len(m.Measured))
	}
	if f.LeftOut > asked {
		a.warn("predictions for configurations that were left out are off by %.0f %%: measure more like this one",
			f.LeftOut*100)
	}
	if len(a.Extrapolates) > 0 {
		a.warn("this extrapolates: the error bars do not cover that")
	}
}

// SetBatch reads messages of a batch ("64") or its bytes ("16KiB"); Size comes first.
func (d *Demand) SetBatch(text string) error {
	b, err := workload.ParseBatch(text)
	if err != nil {
		return err
	}
	d.Records = Batch{Records: b.Records, Bytes: b.Bytes}.records(d.Size)
	return nil
}
