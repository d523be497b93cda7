package workload

import (
	"errors"
	"fmt"
	"net"
	"os"
	"regexp"
	"strconv"
	"time"
)

// Problem is one option that cannot be as it is.
type Problem struct {
	Option string
	Why    string
}

func (p *Problem) Error() string { return "--" + p.Option + ": " + p.Why }

// Limits of a load, so that a slip of a digit is told and not tried.
const (
	maxTopics      = 1_000_000
	maxPartitions  = 2_000_000 // over all topics
	maxConnections = 10_000
	maxThreads     = 256
	maxInFlight    = 65_536
	maxConsumers   = 10_000 // groups × consumers
	maxIdle        = 1_000_000
	maxBatchBytes  = 128 << 20
	maxPool        = 1 << 20
)

// checker gathers what is wrong.
type checker struct {
	w     *Workload
	found []error
}

// Check says what of the options cannot be; nil is good. All problems are named, not the first.
func (w *Workload) Check() error {
	c := &checker{w: w}
	c.target()
	c.course()
	if w.Produces() {
		c.messages()
		c.producers()
	}
	if w.Consumes() {
		c.consumers()
	}
	c.security()
	c.client()
	switch w.Mode {
	case Txn:
		c.transactions()
	case Connections:
		c.connections()
	case Produce, Consume, EndToEnd, Mixed, Verify:
	default:
		c.find("mode", "%q is none of %v", w.Mode, Modes)
	}
	return errors.Join(c.found...)
}

func (c *checker) find(option, format string, args ...any) {
	c.found = append(c.found, &Problem{Option: option, Why: fmt.Sprintf(format, args...)})
}

// within finds a number that is not from least to most.
func (c *checker) within(option string, n, least, most int) {
	if n < least || n > most {
		c.find(option, "%d is not between %d and %d", n, least, most)
	}
}

var topicName = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,240}$`)

func (c *checker) target() {
	w := c.w
	if len(w.Brokers) == 0 {
		c.find("brokers", "want at least one host:port")
	}
	for _, b := range w.Brokers {
		if problem := address(b); problem != "" {
			c.find("brokers", "%q: %s", b, problem)
		}
	}
	if w.Admin != "" {
		if problem := address(w.Admin); problem != "" {
			c.find("admin", "%q: %s", w.Admin, problem)
		}
		if w.BrokerPid != 0 {
			c.find("admin", "either the process id or the admin address tells the broker's cost")
		}
	}
	if !topicName.MatchString(w.Topic) || w.Topic == "." || w.Topic == ".." {
		c.find("topic", "%q: 1 to 240 letters, digits, dots, underscores and hyphens", w.Topic)
	}
	c.within("topics", w.Topics, 1, maxTopics)
	c.within("partitions", w.Partitions, 1, maxPartitions)
	if w.Topics >= 1 && w.Partitions > maxPartitions/w.Topics {
		c.find("partitions", "%d topics with %d partitions are more than %d partitions",
			w.Topics, w.Partitions, maxPartitions)
	}
	c.within("replication", w.Replication, 1, 1000)
	if len(w.TopicConfig) > 0 && !w.Create {
		c.find("topic-config", "has an effect only with --create")
	}
}

func address(text string) string {
	host, port, err := net.SplitHostPort(text)
	if err != nil || host == "" {
		return "want host:port"
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
		return "the port is a number from 1 to 65535"
	}
	return ""
}

func (c *checker) course() {
	w := c.w
	if w.Duration <= 0 {
		c.find("duration", "want a time above zero")
	}
	if w.Interval < 100*time.Millisecond || w.Interval > time.Hour {
		c.find("interval", "%v is not between 100ms and 1h", w.Interval)
	}
	if !w.Rate.Resolved() {
		c.find("rate", "%q is known only within a scenario, behind the load that it names", w.Rate)
	}
	if w.Rate.PerSecond > 0 && w.Rate.PerSecond < 0.01 {
		c.find("rate", "want at least one message in 100 s")
	}
	if w.Rate.Max() && w.Arrival == Poisson && w.Produces() {
		c.find("arrival", "poisson spreads messages under a rate; with --rate max there is none")
	}
	c.within("threads", w.Threads, 1, maxThreads)
}

func (c *checker) messages() {
	w := c.w
	if w.Stamp && w.Size.Min() < StampSize {
		c.find("size", "%s: a value must hold the stamp (number, time, checksum) of %d bytes in "+
			"mode %s; produce and connections go without it", w.Size, StampSize, w.Mode)
	}
	if !w.Stamp && (w.Mode == EndToEnd || w.Mode == Mixed || w.Mode == Verify) {
		c.find("stamp", "mode %s reads the stamps: they cannot be left out", w.Mode)
	}
	if w.Keys.Kind != KeysNone {
		c.within("key-size", w.KeySize, 8, 1<<16)
	}
	if w.Payload.Random < 0 || w.Payload.Random > 1 {
		c.find("random-bytes", "%v is not between 0 and 1", w.Payload.Random)
	}
	c.within("payload-pool", w.Payload.Pool, 1, maxPool)
	if pool := int64(w.Payload.Pool) * int64(w.Size.Max()); pool > 4<<30 {
		c.find("payload-pool", "%d values of up to %d bytes take %d MB of memory",
			w.Payload.Pool, w.Size.Max(), pool>>20)
	}
	if w.Payload.File != "" {
		info, err := os.Stat(w.Payload.File)
		switch {
		case err != nil:
			c.find("payload-file", "%v", err)
		case !info.Mode().IsRegular() || info.Size() == 0:
			c.find("payload-file", "%s is not a file with something in it", w.Payload.File)
		}
	}
}

func (c *checker) producers() {
	w := c.w
	c.within("connections", w.Connections, 1, maxConnections)
	c.within("in-flight", w.InFlight, 1, maxInFlight)
	if w.Connections >= 1 && w.Threads > w.Connections && w.Mode != Connections {
		c.find("threads", "%d threads for %d connections: some would have none", w.Threads, w.Connections)
	}
	if b := w.BatchBytes(); b > maxBatchBytes {
		c.find("batch", "%s messages of %s bytes are a batch of %d MB; at most %d",
			w.Batch, w.Size, b>>20, maxBatchBytes>>20)
	}
	if w.Batch.Bytes > 0 && w.Batch.Bytes < w.Size.Max()+batchOverhead {
		c.find("batch", "%s does not hold one message of %d bytes", w.Batch, w.Size.Max())
	}
	if w.Acks == AcksNone && (w.Mode != Produce || w.Client != Raw) {
		c.find("acks", "0 only with produce and --client raw: other loads wait for acknowledgements")
	}
	if w.Idempotence && w.Acks != AcksAll {
		c.find("acks", "idempotence needs --acks all")
	}
	if w.Idempotence && w.InFlight > 5 {
		c.find("in-flight", "idempotence keeps order with at most 5 requests on a connection")
	}
}

func (c *checker) consumers() {
	w := c.w
	c.within("groups", w.Groups, 1, maxConsumers)
	c.within("consumers", w.Consumers, 1, maxConsumers)
	if w.Groups >= 1 && w.Consumers > maxConsumers/w.Groups {
		c.find("consumers", "%d groups with %d consumers are more than %d", w.Groups, w.Consumers,
			maxConsumers)
	}
	if total := w.Topics * w.Partitions; w.Consumers > total && total > 0 {
		c.find("consumers", "%d in a group for %d partitions: some would have none", w.Consumers, total)
	}
	c.within("catch-up", w.CatchUp, 0, maxConsumers)
	c.within("fetch-bytes", w.FetchBytes, 1<<10, 1<<30)
	if w.FetchWait > time.Minute {
		c.find("fetch-wait", "%v is over a minute", w.FetchWait)
	}
	if w.Again && w.From == FromEnd {
		c.find("from", "there is nothing to read again from the end on")
	}
	if w.To > 0 && w.Offset() >= w.To {
		c.find("to", "reading from %s never comes to offset %d", w.From, w.To)
	}
	if w.Commit > 0 && w.Direct() {
		c.find("commit", "offsets are committed by groups: use --client franz and --assign group")
	}
	if w.ReadOnly && w.From == FromEnd {
		c.find("from", "there is nothing to check from the end on")
	}
}

func (c *checker) security() {
	t, s := c.w.TLS, c.w.SASL
	if !t.On && (t.CA != "" || t.Cert != "" || t.Key != "" || t.ServerName != "" || t.Insecure) {
		c.find("tls", "the other options of TLS mean nothing without it")
	}
	if (t.Cert == "") != (t.Key == "") {
		c.find("tls-cert", "a certificate needs its key, and a key its certificate")
	}
	for option, file := range map[string]string{"tls-ca": t.CA, "tls-cert": t.Cert, "tls-key": t.Key} {
		if file == "" {
			continue
		}
		if _, err := os.Stat(file); err != nil {
			c.find(option, "%v", err)
		}
	}
	switch {
	case s.Mechanism == "" && (s.User != "" || s.Password != ""):
		c.find("sasl", "a user or password needs a mechanism: plain, scram-sha-256 or scram-sha-512")
	case s.Mechanism != "" && s.User == "":
		c.find("user", "SASL needs one")
	case s.Mechanism != "" && s.Password == "":
		c.find("password", "SASL needs one: set LOADGEN_PASSWORD")
	}
}

// client finds what the raw client does not do: it is a generator of load, not a Kafka client.
func (c *checker) client() {
	w := c.w
	if w.Client == Franz {
		if w.Mode == Connections {
			c.find("client", "connections are opened by the raw client only")
		}
		return
	}
	if w.Mode == Txn {
		c.find("client", "transactions are made by --client franz only")
		return
	}
	const use = "the raw client does not do it; use --client franz"
	if w.TLS.On {
		c.find("tls", use)
	}
	if w.SASL.Mechanism != "" {
		c.find("sasl", use)
	}
	if w.Produces() && w.Idempotence {
		c.find("idempotence", use)
	}
	if w.Consumes() && w.Assign == AssignGroup {
		c.find("assign", "the raw client has no group protocol; use --client franz")
	}
}

func (c *checker) transactions() {
	w := c.w
	c.within("txn-messages", w.TxnMessages, 1, 1<<20)
	if w.TxnAbort < 0 || w.TxnAbort > 1 {
		c.find("txn-abort", "%v is not between 0 and 1", w.TxnAbort)
	}
	if w.Acks != AcksAll || !w.Idempotence {
		c.find("acks", "transactions need --acks all and --idempotence")
	}
}

func (c *checker) connections() {
	w := c.w
	c.within("idle", w.Idle, 0, maxIdle)
	c.within("slow", w.Slow, 0, maxIdle)
	if w.Idle+w.Slow == 0 {
		c.find("idle", "want idle or slow connections")
	}
	if w.Slow > 0 {
		c.within("slow-bytes", w.SlowBytes, 1, 1<<20)
	}
	if !(w.ConnectRate >= 1) || w.ConnectRate > 1e6 {
		c.find("connect-rate", "%v is not between 1 and 1000000", w.ConnectRate)
	}
}
