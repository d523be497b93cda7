package result

import "time"

// Format is the name and version of the result file.
const Format = "loadgen/1"

// Run is everything that one load has shown, after its warm-up.
type Run struct {
	Format  string         `json:"format"`
	ID      string         `json:"id"`
	Name    string         `json:"name,omitempty"` // what a report calls it, "Kafka, flush"
	Load    string         `json:"load"`           // produce, consume, e2e, mixed, …
	Client  string         `json:"client"`         // raw or franz
	Version string         `json:"version,omitempty"`
	Command []string       `json:"command"`
	Options map[string]any `json:"options,omitempty"` // every effective one, by its name

	Started       time.Time `json:"started"` // the end of the warm-up
	Seconds       float64   `json:"seconds"` // measured
	WarmupSeconds float64   `json:"warmup_seconds,omitempty"`

	Target Target `json:"target"`
	Host   Host   `json:"host"` // of the generator

	Void    string       `json:"void,omitempty"`    // why the figures mean nothing; "" when they do
	Partial string       `json:"partial,omitempty"` // why it ended early; "" when it did not
	Errors  []ErrorCount `json:"errors,omitempty"`

	Rate          float64 `json:"rate,omitempty"` // messages a second asked for; 0: as many as go
	Sent          int64   `json:"sent,omitempty"`
	Acked         int64   `json:"acked,omitempty"`
	Received      int64   `json:"received,omitempty"`
	Requests      int64   `json:"requests,omitempty"`    // answered
	AckedBytes    int64   `json:"acked_bytes,omitempty"` // of record batches
	ReceivedBytes int64   `json:"received_bytes,omitempty"`
	CatchUp       int64   `json:"catch_up_received,omitempty"` // by readers that catch up, not in Received
	Transactions  int64   `json:"transactions,omitempty"`      // committed
	Aborted       int64   `json:"aborted,omitempty"`           // transactions

	Latencies map[Kind]Summary `json:"latencies_us,omitempty"`
	Intervals []Interval       `json:"intervals,omitempty"` // in order, after the warm-up
	Readers   []Reader         `json:"readers,omitempty"`   // by group, when there are several
	Verified  *Verified        `json:"verified,omitempty"`

	Broker    *Cost    `json:"broker,omitempty"`
	Generator *Cost    `json:"generator,omitempty"`
	Machine   *Machine `json:"machine,omitempty"`
	Limit     *Share   `json:"limit,omitempty"`

	Parts []Part `json:"parts,omitempty"` // of a merged result: what it was made of
}

// Target is what the load was put on.
type Target struct {
	Addr       string   `json:"addr"`
	Software   string   `json:"software,omitempty"` // name and version, as far as it tells them
	ClusterID  string   `json:"cluster_id,omitempty"`
	Brokers    int      `json:"brokers,omitempty"`
	Topics     []string `json:"topics,omitempty"`
	Partitions int      `json:"partitions,omitempty"` // of all topics
}

// ErrorCount is one kind of error that answers carried, or that connections died of.
type ErrorCount struct {
	Code    int     `json:"code"` // of the protocol; 0 when the error is none of its
	Name    string  `json:"name"`
	Count   int64   `json:"count"`
	FirstAt float64 `json:"first_at"` // seconds since Started
	Example string  `json:"example,omitempty"`
}

// Kind of latency.
type Kind string

// The kinds: all but Service count from the moment at which the schedule wanted the message sent,
// so that a broker that stalls cannot hide it.
const (
	Response Kind = "response"   // intended send → acknowledged
	Service  Kind = "service"    // sent → answered
	Delay    Kind = "delay"      // intended send → sent: how late the generator was
	EndToEnd Kind = "end-to-end" // intended send → received by a consumer
	Connect  Kind = "connect"    // of a connection: begun → usable
	Commit   Kind = "commit"     // of a transaction: its first message due → committed
)

// Kinds in the order in which they are shown.
var Kinds = []Kind{Response, EndToEnd, Service, Delay, Connect, Commit}

// Summary of all latencies of one kind, in microseconds.
type Summary struct {
	Count     int64      `json:"count"`
	Min       float64    `json:"min"`
	Mean      float64    `json:"mean"`
	Max       float64    `json:"max"`
	Quantiles []Quantile `json:"quantiles,omitempty"` // only those that Count supports
	Histogram string     `json:"histogram,omitempty"` // nanoseconds, HdrHistogram V2
}

// Quantile is one point of a distribution: Q of 0…1.
type Quantile struct {
	Q      float64 `json:"q"`
	Micros float64 `json:"us"`
}

// Interval is a short stretch of the run, usually a second.
type Interval struct {
	At      float64 `json:"at"` // seconds from Started to its begin
	Seconds float64 `json:"seconds"`
	Warmup  bool    `json:"warmup,omitempty"` // seen by observers only, never in a Run

	Sent          int64 `json:"sent,omitempty"`
	Acked         int64 `json:"acked,omitempty"`
	Received      int64 `json:"received,omitempty"`
	Requests      int64 `json:"requests,omitempty"`
	AckedBytes    int64 `json:"acked_bytes,omitempty"`
	ReceivedBytes int64 `json:"received_bytes,omitempty"`
	CatchUp       int64 `json:"catch_up_received,omitempty"`
	Transactions  int64 `json:"transactions,omitempty"`
	Errors        int64 `json:"errors,omitempty"`
	InFlight      int64 `json:"in_flight,omitempty"` // requests without an answer, at its end
	Lag           int64 `json:"lag,omitempty"`       // messages written and not yet read, at its end

	Latencies map[Kind]Window `json:"latencies_us,omitempty"`
	Broker    *Cost           `json:"broker,omitempty"`
	Generator *Cost           `json:"generator,omitempty"`
}

// Window is the latencies of one interval, in microseconds.
type Window struct {
	Count     int64   `json:"count"`
	P50       float64 `json:"p50,omitempty"` // 0: too few samples
	P99       float64 `json:"p99,omitempty"` // 0: too few samples
	Max       float64 `json:"max,omitempty"`
	Histogram string  `json:"histogram,omitempty"`
}

// Reader is one consumer group of a load, or one set of readers that are catching up.
type Reader struct {
	Name      string   `json:"name"`
	CatchUp   bool     `json:"catch_up,omitempty"` // began at the beginning, not at the end
	Consumers int      `json:"consumers"`
	Received  int64    `json:"received"`
	Bytes     int64    `json:"bytes"`
	Lag       int64    `json:"lag"`                      // at the end of the run
	Behind    float64  `json:"behind_seconds,omitempty"` // until it had caught up; 0: not, or no CatchUp
	EndToEnd  *Summary `json:"end_to_end_us,omitempty"`
}

// Verified is what checking every record has shown. Only Expected == Received, with zeros behind
// them, is right.
type Verified struct {
	Expected   int64    `json:"expected"` // acknowledged
	Received   int64    `json:"received"` // different ones of them
	Missing    int64    `json:"missing"`
	Duplicates int64    `json:"duplicates"`
	Disordered int64    `json:"disordered"`
	Damaged    int64    `json:"damaged"` // content differs from what was sent
	Unknown    int64    `json:"unknown"` // never sent by this run
	Examples   []string `json:"examples,omitempty"`
}

// Right says whether everything arrived once, in order and whole.
func (v *Verified) Right() bool {
	return v.Missing == 0 && v.Duplicates == 0 && v.Disordered == 0 && v.Damaged == 0 &&
		v.Unknown == 0 && v.Received == v.Expected
}

// Cost is what a process has used: over an interval, or over a run.
type Cost struct {
	Seconds             float64 `json:"seconds"` // of the clock
	CPUSeconds          float64 `json:"cpu_seconds"`
	User                float64 `json:"user_seconds"`
	System              float64 `json:"system_seconds"`
	RSS                 int64   `json:"rss_bytes"` // at the end; of a run the most that was seen
	VoluntarySwitches   int64   `json:"voluntary_switches"`
	InvoluntarySwitches int64   `json:"involuntary_switches"`
	DiskWritten         int64   `json:"disk_written_bytes"`
	DiskRead            int64   `json:"disk_read_bytes"`
	// Unknown names the fields above, as in JSON, that the source does not tell.
	Unknown []string `json:"unknown,omitempty"`
	Source  string   `json:"source,omitempty"` // "pid 4711" or the address; of a run only
}

// PerMillion is CPU seconds per million messages.
func (c *Cost) PerMillion(messages int64) float64 {
	if c == nil || messages <= 0 {
		return 0
	}
	return c.CPUSeconds / float64(messages) * 1e6
}

// PerGB is CPU seconds per 10⁹ bytes.
func (c *Cost) PerGB(bytes int64) float64 {
	if c == nil || bytes <= 0 {
		return 0
	}
	return c.CPUSeconds / float64(bytes) * 1e9
}

// Machine is what the whole of the generator's machine did in the run. All but Cores are seconds.
type Machine struct {
	Cores     int     `json:"cores"`
	Busy      float64 `json:"busy_seconds"` // user, system and interrupts, of all cores
	User      float64 `json:"user_seconds"` // of Busy
	Interrupt float64 `json:"interrupt_seconds"`
	Steal     float64 `json:"steal_seconds"`   // the hypervisor gave to others
	Foreign   float64 `json:"foreign_seconds"` // user time of neither the broker nor the generator
	Waiting   float64 `json:"cpu_pressure_seconds"`
}

// Share says how much of a limit of the host a run has reached.
type Share struct {
	Fraction float64     `json:"fraction"`
	Name     string      `json:"name"` // "produce: receive + CRC + write, one core"
	Reached  float64     `json:"reached"`
	Limit    float64     `json:"limit"`
	Unit     string      `json:"unit"` // "MB/s"
	Parts    []LimitPart `json:"parts,omitempty"`
	Note     string      `json:"note,omitempty"`
}

// LimitPart is one raw figure that a composite limit is made of.
type LimitPart struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
}

// Part is one result that a merged one was made of.
type Part struct {
	ID      string    `json:"id"`
	Host    Host      `json:"host"`
	Command []string  `json:"command"`
	Started time.Time `json:"started"`
	Seconds float64   `json:"seconds"`
	Acked   int64     `json:"acked"`
	Void    string    `json:"void,omitempty"`
	Partial string    `json:"partial,omitempty"`
}

// Host is a machine.
type Host struct {
	Name       string  `json:"name,omitempty"`
	CPU        string  `json:"cpu,omitempty"`
	Cores      int     `json:"cores,omitempty"` // that this process may run on
	Kernel     string  `json:"kernel,omitempty"`
	System     string  `json:"system,omitempty"` // the distribution
	Hypervisor string  `json:"hypervisor,omitempty"`
	Governor   string  `json:"governor,omitempty"`
	Memory     int64   `json:"memory_bytes,omitempty"`
	OpenFiles  int64   `json:"open_files_limit,omitempty"`
	CPULimit   float64 `json:"cgroup_cpus,omitempty"` // 0: none
	MemLimit   int64   `json:"cgroup_memory_bytes,omitempty"`
	Disk       *Disk   `json:"disk,omitempty"`
}

// Disk is what lies below a directory.
type Disk struct {
	Directory  string `json:"directory"`
	Filesystem string `json:"filesystem"`
	Options    string `json:"options,omitempty"`
	Device     string `json:"device,omitempty"`
	Model      string `json:"model,omitempty"`
	Scheduler  string `json:"scheduler,omitempty"`
	Rotational bool   `json:"rotational,omitempty"`
	Cache      string `json:"cache,omitempty"` // "write back" or "write through"
	Size       int64  `json:"size_bytes,omitempty"`
	Free       int64  `json:"free_bytes,omitempty"`
}

// Observer is told of every interval as it ends, warm-up included, from one goroutine.
type Observer interface {
	Interval(Interval)
}
