package stub

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"millrace/protocol"
	"millrace/protocol/batch"
)

// Options of a stub.
type Options struct {
	Listen     []string      // one broker for each; none: one on a free port of the loopback
	Topics     []string      // that are there from the begin
	Partitions int           // of topics that nobody said more about; 0: 8
	Keep       int64         // bytes kept of each partition for readers; 0: messages are dropped
	Every      time.Duration // a stall begins each time so long has passed …
	Stall      time.Duration // … and takes so long: nothing is read and nothing answered

	// Store says what of a batch is stored, and is called with each one in order. Nil: the batch.
	Store func(topic string, partition int32, v batch.View) []batch.View
}

// Stub is one cluster.
type Stub struct {
	o       Options
	nodes   []*node
	started time.Time

	mu     sync.Mutex
	topics map[string]*topic
	codes  map[protocol.Key]protocol.Code // answered instead of doing it
	until  time.Time                      // Hold
	grew   chan struct{}                  // closed when something was stored
	closed bool

	refusing atomic.Bool // codes holds something
	held     atomic.Bool
	requests atomic.Int64
	messages atomic.Int64
	bytes    atomic.Int64
}

type topic struct {
	name  string
	id    [16]byte
	parts []*partition
}

// partition is one log, and who leads it.
type partition struct {
	leader  int32
	mu      sync.Mutex
	start   int64
	end     int64
	batches []batch.View
	bytes   int64
}

// node is one broker of the cluster.
type node struct {
	stub  *Stub
	id    int32
	l     net.Listener
	host  string
	port  int32
	mu    sync.Mutex
	conns map[net.Conn]bool
	done  sync.WaitGroup
	dead  bool
}

// Start listens and serves until Close.
func Start(o Options) (*Stub, error) {
	if o.Partitions <= 0 {
		o.Partitions = 8
	}
	if len(o.Listen) == 0 {
		o.Listen = []string{"127.0.0.1:0"}
	}
	s := &Stub{o: o, started: time.Now(), topics: map[string]*topic{},
		codes: map[protocol.Key]protocol.Code{}, grew: make(chan struct{})}
	for i, addr := range o.Listen {
		n := &node{stub: s, id: int32(i), conns: map[net.Conn]bool{}}
		if err := n.listen(addr); err != nil {
			s.Close()
			return nil, err
		}
		s.nodes = append(s.nodes, n)
	}
	for _, name := range o.Topics {
		s.create(name, o.Partitions)
	}
	for _, n := range s.nodes {
		n.done.Go(n.accept)
	}
	return s, nil
}

func (n *node) listen(addr string) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("stub: %w", err)
	}
	tcp := l.Addr().(*net.TCPAddr)
	n.l, n.host, n.port = l, tcp.IP.String(), int32(tcp.Port)
	if tcp.IP.IsUnspecified() {
		n.host = "127.0.0.1"
	}
	return nil
}

// Addr is where broker i listens.
func (s *Stub) Addr(i int) string {
	return net.JoinHostPort(s.nodes[i].host, fmt.Sprint(s.nodes[i].port))
}

// Addrs are all of them.
func (s *Stub) Addrs() (out []string) {
	for i := range s.nodes {
		out = append(out, s.Addr(i))
	}
	return out
}

// Counts is what was served so far.
func (s *Stub) Counts() (requests, messages, bytes int64) {
	return s.requests.Load(), s.messages.Load(), s.bytes.Load()
}

// Close ends everything.
func (s *Stub) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	for i := range s.nodes {
		s.Kill(i)
	}
}

// Kill takes broker i down: its connections are closed and nothing listens there.
func (s *Stub) Kill(i int) {
	n := s.nodes[i]
	n.mu.Lock()
	n.dead = true
	if n.l != nil {
		_ = n.l.Close()
	}
	for c := range n.conns {
		_ = c.Close()
	}
	n.mu.Unlock()
	s.wake()
	n.done.Wait()
}

// Revive lets a broker that was killed listen on its old address again.
func (s *Stub) Revive(i int) error {
	n := s.nodes[i]
	if err := n.listen(s.Addr(i)); err != nil {
		return err
	}
	n.mu.Lock()
	n.dead = false
	n.mu.Unlock()
	n.done.Go(n.accept)
	return nil
}

// Hold stalls everything from now on for so long.
func (s *Stub) Hold(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.until = time.Now().Add(d)
	s.held.Store(true)
}

// Refuse answers requests of a key with a code from now on; None: does what they want again.
func (s *Stub) Refuse(key protocol.Key, code protocol.Code) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.codes, key)
	if code != protocol.None {
		s.codes[key] = code
	}
	s.refusing.Store(len(s.codes) > 0)
}

func (s *Stub) refused(key protocol.Key) protocol.Code {
	if !s.refusing.Load() {
		return protocol.None
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.codes[key]
}

// Create makes a topic; its partitions are spread over the brokers.
func (s *Stub) Create(name string, partitions int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.topics[name] != nil {
		return errors.New("stub: topic exists")
	}
	s.create(name, partitions)
	return nil
}

func (s *Stub) create(name string, partitions int) {
	t := &topic{name: name}
	t.id[0] = 1
	copy(t.id[1:], name)
	for p := range partitions {
		t.parts = append(t.parts, &partition{leader: int32(p % len(s.nodes))})
	}
	s.topics[name] = t
}

// Delete removes a topic.
func (s *Stub) Delete(name string) bool {
	s.mu.Lock()
	_, there := s.topics[name]
	delete(s.topics, name)
	s.mu.Unlock()
	s.wake()
	return there
}

// Lead makes broker i the leader of a partition.
func (s *Stub) Lead(topic string, p int32, i int) {
	s.mu.Lock()
	s.topics[topic].parts[p].leader = int32(i)
	s.mu.Unlock()
	s.wake()
}

// End is the end of a partition.
func (s *Stub) End(topic string, p int32) int64 {
	s.mu.Lock()
	t := s.topics[topic]
	s.mu.Unlock()
	if t == nil || int(p) >= len(t.parts) {
		return -1
	}
	one := t.parts[p]
	one.mu.Lock()
	defer one.mu.Unlock()
	return one.end
}

// of finds a partition for a broker.
func (s *Stub) of(n *node, name []byte, p int32) (*partition, protocol.Code) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.topics[string(name)]
	switch {
	case t == nil || p < 0 || int(p) >= len(t.parts):
		return nil, protocol.UnknownTopicOrPartition
	case t.parts[p].leader != n.id:
		return nil, protocol.NotLeaderOrFollower
	}
	return t.parts[p], protocol.None
}

// stalled is how long nothing is to be done from now on.
func (s *Stub) stalled() time.Duration {
	if s.held.Load() {
		s.mu.Lock()
		d := time.Until(s.until)
		s.held.Store(d > 0)
		s.mu.Unlock()
		if d > 0 {
			return d
		}
	}
	if s.o.Every <= 0 {
		return 0
	}
	// The first stall begins when Every has passed once.
	at := time.Since(s.started)
	if into := at % s.o.Every; at >= s.o.Every && into < s.o.Stall {
		return s.o.Stall - into
	}
	return 0
}

// wake has waiting fetches look again.
func (s *Stub) wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.grew)
	s.grew = make(chan struct{})
}

func (s *Stub) growth() chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.grew
}

// append stores a batch and returns its base offset.
func (s *Stub) append(p *partition, name string, index int32, v batch.View) int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	base := p.end
	if s.o.Keep == 0 && s.o.Store == nil {
		p.end += int64(v.Count())
		p.start = p.end
		return base
	}
	list := []batch.View{v}
	if s.o.Store != nil {
		list = s.o.Store(name, index, v)
	}
	for _, v := range list {
		own := batch.View(slices.Clone([]byte(v)))
		own.Stamp(p.end, 0)
		p.end += int64(own.Count())
		p.batches = append(p.batches, own)
		p.bytes += int64(len(own))
	}
	for p.bytes > s.o.Keep && len(p.batches) > 1 {
		p.bytes -= int64(len(p.batches[0]))
		p.batches[0] = nil
		p.batches = p.batches[1:]
		p.start = p.batches[0].BaseOffset()
	}
	return base
}

// read returns whole batches from an offset on, at least one and about max bytes.
func (p *partition) read(dst []byte, from int64, most int) (out []byte, start, end int64,
	code protocol.Code) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if from < p.start || from > p.end {
		return dst, p.start, p.end, protocol.OffsetOutOfRange
	}
	i, _ := slices.BinarySearchFunc(p.batches, from, func(v batch.View, at int64) int {
		return int(max(-1, min(1, v.NextOffset()-1-at)))
	})
	for n := 0; i < len(p.batches) && (n == 0 || n+len(p.batches[i]) <= most); i++ {
		dst = append(dst, p.batches[i]...)
		n += len(p.batches[i])
	}
	return dst, p.start, p.end, protocol.None
}

// Serve runs a stub until the context ends, for `loadgen stub`.
func Serve(ctx context.Context, o Options) (*Stub, error) {
	s, err := Start(o)
	if err != nil {
		return nil, err
	}
	go func() {
		<-ctx.Done()
		s.Close()
	}()
	return s, nil
}
