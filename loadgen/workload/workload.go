package workload

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// Mode is a kind of load.
type Mode string

// The modes, each a command of loadgen.
const (
	Produce     Mode = "produce"
	Consume     Mode = "consume"
	EndToEnd    Mode = "e2e"         // producers and consumers, latency from the intended send to the reader
	Mixed       Mode = "mixed"       // one stream in, several groups out, readers far behind beside them
	Txn         Mode = "txn"         // transactions
	Connections Mode = "connections" // idle and slow connections beside a load
	Verify      Mode = "verify"      // every record is accounted for
)

// Modes in the order of the help.
var Modes = []Mode{Produce, Consume, EndToEnd, Mixed, Txn, Connections, Verify}

// Clients that can make a load.
const (
	Raw   = "raw"   // pre-encoded requests, a thread with an epoll loop for many connections
	Franz = "franz" // franz-go, a client library as users have it
)

// Arrivals of messages under a rate.
const (
	Constant = "constant"
	Poisson  = "poisson"
)

// Assignments of partitions to consumers.
const (
	AssignAuto   = "auto"   // group with franz, direct with raw
	AssignDirect = "direct" // partitions are dealt out by loadgen
	AssignGroup  = "group"  // by the group protocol
)

// Places where reading begins.
const (
	FromStart = "start"
	FromEnd   = "end"
)

// Acks by their number on the wire.
const (
	AcksNone   int16 = 0 // no answers: rates only
	AcksLeader int16 = 1
	AcksAll    int16 = -1
)

// Workload is every option of one load. Zero values are not defaults: begin with New.
type Workload struct {
	Name   string // of the load within its scenario
	About  string
	Mode   Mode
	Client string

	// the target
	Brokers     []string
	Topic       string // the name; with several topics what their names begin with
	Topics      int
	Partitions  int // of each topic
	Replication int
	Create      bool // make the topics before the load
	Delete      bool // remove them behind it
	TopicConfig map[string]string
	TLS         TLS
	SASL        SASL
	BrokerPid   int    // whose cost is measured; 0: nobody's
	Admin       string // host:port with /metrics, where the process is not on this machine

	// the course
	Rate     Rate
	Arrival  string
	Seed     uint64
	Warmup   time.Duration
	Duration time.Duration
	Messages int64         // the measurement ends after so many; 0: no limit
	MaxBytes int64         // and after so many bytes; 0: no limit
	Interval time.Duration // of the interval log and of the progress

	// messages
	Size    Sizes
	Keys    Keys
	KeySize int // bytes
	Payload Payload
	Stamp   bool // number, time and checksum in every value; see Stamp

	// producers
	Codec       string
	Batch       Batch
	Linger      time.Duration // how long a batch waits for more; raw with 0: its messages are due together
	InFlight    int           // requests on each connection
	Acks        int16
	Idempotence bool
	Connections int // of producers, over all threads
	Threads     int

	// consumers
	Groups        int // each reads everything
	Consumers     int // in each group
	Group         string
	Assign        string
	From          string        // start, end or an offset
	To            int64         // offset to end before, in every partition; 0: no end
	Again         bool          // begin again at From when To or the end has been reached
	ReadOnly      bool          // verify: only read what an earlier run wrote with stamps
	CatchUp       int           // readers that read from the start to the end, again and again
	Backlog       int64         // bytes to be written before consumers begin
	FetchBytes    int           // of one answer
	FetchWait     time.Duration // how long an answer may wait for bytes
	Commit        time.Duration // between commits of offsets; 0: none
	ReadCommitted bool

	// transactions
	TxnMessages int     // in a transaction
	TxnAbort    float64 // share of transactions that are aborted

	// connections that do little
	Idle        int
	Slow        int
	SlowBytes   int // bytes per second that a slow connection sends and reads
	ConnectRate float64

	// Notes are what a reader of the result should know about how the options came to be.
	Notes []string
}

// TLS of the connections to the broker.
type TLS struct {
	On         bool
	CA         string // file with certificates to trust; "": the system's
	Cert, Key  string // files, for a broker that asks for a certificate
	ServerName string
	Insecure   bool // the broker's certificate is not checked
}

// SASL says who the client is.
type SASL struct {
	Mechanism string // "" is none
	User      string
	Password  Secret
}

// Secret is a text that prints as dots.
type Secret string

// Set replaces the secret.
func (s *Secret) Set(text string) error {
	*s = Secret(text)
	return nil
}

// String hides it.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "…"
}

// New is the load of a mode with its defaults.
func New(m Mode) Workload {
	w := Workload{
		Mode: m, Client: Raw,
		Brokers: []string{"127.0.0.1:9092"}, Topic: "load", Topics: 1, Partitions: 8,
		Replication: 1, TopicConfig: map[string]string{},
		Arrival: Constant, Seed: 1,
		Warmup: time.Second, Duration: 10 * time.Second, Interval: time.Second,
		Size: FixedSize(100), Keys: Keys{Kind: KeysNone}, KeySize: 16,
		Payload: Payload{Random: 1, Pool: 64},
		Codec:   "none", Batch: Batch{Records: 64}, InFlight: 8, Acks: AcksLeader,
		Connections: 4, Threads: 1,
		Groups: 1, Consumers: 1, Assign: AssignAuto, From: FromStart,
		FetchBytes: 1 << 20, FetchWait: 500 * time.Millisecond,
		TxnMessages: 100, SlowBytes: 100, ConnectRate: 1000,
	}
	switch m {
	case EndToEnd:
		w.Rate, w.Batch, w.Partitions = Rate{PerSecond: 2000}, Batch{Records: 1}, 1
		w.Connections, w.InFlight, w.Stamp, w.From = 1, 256, true, FromEnd
	case Mixed:
		w.Rate, w.Batch, w.Stamp, w.From = Rate{PerSecond: 20_000}, Batch{Records: 16}, true, FromEnd
		w.Groups, w.CatchUp, w.InFlight = 4, 1, 64
	case Verify:
		w.Rate, w.Batch, w.Stamp = Rate{PerSecond: 20_000}, Batch{Records: 16}, true
		w.InFlight, w.Acks = 64, AcksAll
	case Txn:
		w.Client, w.Rate, w.Acks, w.Idempotence = Franz, Rate{PerSecond: 2000}, AcksAll, true
		w.InFlight, w.ReadCommitted, w.Stamp, w.From = 5, true, true, FromEnd
		w.Groups, w.Connections = 1, 2
	case Connections:
		w.Rate, w.Batch, w.Idle = Rate{PerSecond: 20_000}, Batch{Records: 1}, 1000
		w.InFlight = 64
	}
	return w
}

// Produces says whether the load writes.
func (w *Workload) Produces() bool {
	return w.Mode != Consume && !(w.Mode == Verify && w.ReadOnly)
}

// Consumes says whether the load reads.
func (w *Workload) Consumes() bool {
	switch w.Mode {
	case Produce, Connections:
		return false
	case Txn:
		return w.Groups > 0
	}
	return true
}

// OpenLoop says that messages are due by a schedule, not when answers come.
func (w *Workload) OpenLoop() bool { return !w.Rate.Max() }

// Direct says that partitions are dealt out by loadgen and not by a group's protocol.
func (w *Workload) Direct() bool {
	return w.Assign == AssignDirect || w.Assign == AssignAuto && w.Client == Raw
}

// TopicNames are the topics of the load.
func (w *Workload) TopicNames() []string {
	if w.Topics <= 1 {
		return []string{w.Topic}
	}
	names := make([]string, w.Topics)
	for i := range names {
		names[i] = fmt.Sprintf("%s-%d", w.Topic, i)
	}
	return names
}

// BatchRecords is how many messages a batch of the raw client has: Batch.Records, or as many of
// the mean size as Batch.Bytes holds.
func (w *Workload) BatchRecords() int {
	if w.Batch.Bytes == 0 {
		return max(1, w.Batch.Records)
	}
	each := w.Size.Mean() + recordOverhead
	if w.Keys.Kind != KeysNone {
		each += float64(w.KeySize)
	}
	return max(1, int((float64(w.Batch.Bytes)-batchOverhead)/each))
}

// BatchBytes is the other way round: what a batch of Batch.Records takes.
func (w *Workload) BatchBytes() int {
	if w.Batch.Bytes > 0 {
		return w.Batch.Bytes
	}
	each := w.Size.Max() + recordOverhead
	if w.Keys.Kind != KeysNone {
		each += w.KeySize
	}
	return batchOverhead + each*max(1, w.Batch.Records)
}

const (
	recordOverhead = 8  // length, attributes, deltas, lengths of key and value, header count
	batchOverhead  = 61 // the header of a record batch
)

// Clone is a copy that shares nothing.
func (w *Workload) Clone() Workload {
	c := *w
	c.Brokers = slices.Clone(w.Brokers)
	c.TopicConfig = maps.Clone(w.TopicConfig)
	c.Size.Choices = slices.Clone(w.Size.Choices)
	c.Notes = slices.Clone(w.Notes)
	return c
}
