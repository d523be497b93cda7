package raw

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"time"

	"millrace/protocol"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// broker is where to find one.
type broker struct {
	id   int32
	addr string
}

// routing says who leads what. It never changes: a newer one takes its place.
type routing struct {
	brokers []broker
	leaders []int32 // by place: index into brokers; -1: nobody
	shares  []share // by producing connection
}

// cluster asks brokers about themselves, by blocking requests beside the load.
type cluster struct {
	seeds      []string
	topics     []string
	index      map[string]int // of topics
	partitions int            // of each topic
	versions   versions
	limits     map[int16]int16 // greatest version by key
	id         string
}

// asked is one connection for cold requests.
type asked struct {
	net.Conn
	format *kmsg.RequestFormatter
	id     int32
}

const askTimeout = 10 * time.Second

func (c *cluster) dial(ctx context.Context, addr string) (*asked, error) {
	d := net.Dialer{Timeout: dialTimeout}
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("raw: broker %s cannot be reached: %w", addr, err)
	}
	return &asked{Conn: conn,
		format: kmsg.NewRequestFormatter(kmsg.FormatterClientID(clientID))}, nil
}

// ask sends a request and waits for its answer.
func (a *asked) ask(req kmsg.Request) (kmsg.Response, error) {
	a.id++
	_ = a.SetDeadline(time.Now().Add(askTimeout))
	if _, err := a.Write(a.format.AppendRequest(nil, req, a.id)); err != nil {
		return nil, fmt.Errorf("raw: asking %s: %w", a.RemoteAddr(), err)
	}
	var size [4]byte
	if _, err := io.ReadFull(a, size[:]); err != nil {
		return nil, fmt.Errorf("raw: %s does not answer: %w", a.RemoteAddr(), err)
	}
	n := int64(be.Uint32(size[:]))
	if n < 4 || n > 256<<20 {
		return nil, fmt.Errorf("raw: %s answers with a frame of %d bytes: is it a Kafka broker "+
			"without TLS?", a.RemoteAddr(), n)
	}
	var body bytes.Buffer
	if _, err := io.CopyN(&body, a, n); err != nil {
		return nil, fmt.Errorf("raw: %s does not answer: %w", a.RemoteAddr(), err)
	}
	b := body.Bytes()
	if got := int32(be.Uint32(b)); got != a.id {
		return nil, fmt.Errorf("raw: %s answers request %d, not %d", a.RemoteAddr(), got, a.id)
	}
	b = b[4:]
	resp := req.ResponseKind()
	resp.SetVersion(req.GetVersion())
	if resp.IsFlexible() && resp.Key() != int16(protocol.ApiVersions) {
		c := cursor{b: b, flexible: true}
		c.tags()
		if c.bad {
			return nil, errShort
		}
		b = c.b
	}
	if err := resp.ReadFrom(b); err != nil {
		return nil, fmt.Errorf("raw: an answer of %s: %w", a.RemoteAddr(), err)
	}
	return resp, nil
}

// openCluster learns which versions the brokers have.
func openCluster(ctx context.Context, seeds, topics []string, partitions int) (*cluster, error) {
	c := &cluster{seeds: seeds, topics: topics, partitions: partitions, index: map[string]int{}}
	for i, name := range topics {
		c.index[name] = i
	}
	err := c.anyone(ctx, nil, func(a *asked) error {
		resp, err := a.ask(kmsg.NewPtrApiVersionsRequest())
		if err != nil {
			return err
		}
		v := resp.(*kmsg.ApiVersionsResponse)
		if v.ErrorCode != 0 {
			return fmt.Errorf("raw: api versions of %s: %w", a.RemoteAddr(),
				protocol.Code(v.ErrorCode))
		}
		c.limits = map[int16]int16{}
		for _, k := range v.ApiKeys {
			c.limits[k.ApiKey] = k.MaxVersion
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	c.versions = versions{produce: produceOld, fetch: fetchOld}
	if c.limits[int16(protocol.Produce)] >= produceNew {
		c.versions.produce = produceNew
	}
	if c.limits[int16(protocol.Fetch)] >= fetchNew {
		c.versions.fetch = fetchNew
	}
	return c, nil
}

// anyone tries the brokers that are known, and then the seeds, until f has no error.
func (c *cluster) anyone(ctx context.Context, known *routing, f func(*asked) error) error {
	var addrs []string
	if known != nil {
		for _, b := range known.brokers {
			addrs = append(addrs, b.addr)
		}
	}
	for _, s := range c.seeds {
		if !slices.Contains(addrs, s) {
			addrs = append(addrs, s)
		}
	}
	var all []error
	for _, addr := range addrs {
		a, err := c.dial(ctx, addr)
		if err == nil {
			err = f(a)
			_ = a.Close()
		}
		if err == nil {
			return nil
		}
		all = append(all, err)
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(all...)
}

// goneError is a topic that brokers do not know.
type goneError struct{ topic string }

func (e *goneError) Error() string {
	return fmt.Sprintf("topic %s is gone: the brokers do not know it (any more)", e.topic)
}

// metadata asks who leads what.
func (c *cluster) metadata(ctx context.Context, known *routing) (*routing, error) {
	var r *routing
	err := c.anyone(ctx, known, func(a *asked) (err error) {
		req := kmsg.NewPtrMetadataRequest()
		req.SetVersion(min(9, c.limits[int16(protocol.Metadata)]))
		for _, name := range c.topics {
			t := kmsg.NewMetadataRequestTopic()
			t.Topic = kmsg.StringPtr(name)
			req.Topics = append(req.Topics, t)
		}
		resp, err := a.ask(req)
		if err != nil {
			return err
		}
		r, err = c.route(resp.(*kmsg.MetadataResponse))
		return err
	})
	return r, err
}

func (c *cluster) route(m *kmsg.MetadataResponse) (*routing, error) {
	r := &routing{leaders: make([]int32, len(c.topics)*c.partitions)}
	if m.ClusterID != nil {
		c.id = *m.ClusterID
	}
	index := map[int32]int32{}
	for i, b := range m.Brokers {
		index[b.NodeID] = int32(i)
		r.brokers = append(r.brokers, broker{b.NodeID,
			net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port)))})
	}
	for i := range r.leaders {
		r.leaders[i] = -1
	}
	for _, t := range m.Topics {
		if t.Topic == nil {
			continue
		}
		n, mine := c.index[*t.Topic]
		if !mine {
			continue
		}
		if code := protocol.Code(t.ErrorCode); code == protocol.UnknownTopicOrPartition {
			return nil, &goneError{*t.Topic}
		} else if code != protocol.None && !code.Retriable() {
			return nil, fmt.Errorf("raw: topic %s: %w", *t.Topic, code)
		}
		if len(t.Partitions) < c.partitions && t.ErrorCode == 0 {
			return nil, fmt.Errorf("raw: topic %s has %d partitions, fewer than the %d that the load "+
				"is for", *t.Topic, len(t.Partitions), c.partitions)
		}
		for _, p := range t.Partitions {
			leader, ok := index[p.Leader]
			if ok && p.Partition >= 0 && int(p.Partition) < c.partitions {
				r.leaders[n*c.partitions+int(p.Partition)] = leader
			}
		}
	}
	return r, nil
}

// whole says whether every partition has a leader.
func (r *routing) whole() bool { return !slices.Contains(r.leaders, -1) }

// waitWhole asks until every partition has a leader.
func (c *cluster) waitWhole(ctx context.Context, patience time.Duration) (*routing, error) {
	for deadline := time.Now().Add(patience); ; {
		r, err := c.metadata(ctx, nil)
		if err == nil && r.whole() {
			return r, nil
		}
		var gone *goneError
		if err == nil {
			i := slices.Index(r.leaders, -1)
			err = fmt.Errorf("raw: partition %s has no leader",
				placeName(c.topics[i/c.partitions], int32(i%c.partitions)))
		} else if !errors.As(err, &gone) {
			return nil, err
		}
		if time.Now().After(deadline) {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// offsets asks for the offset at a time (−2: the first one, −1: the end) of every place.
func (c *cluster) offsets(ctx context.Context, r *routing, at int64) ([]int64, error) {
	out := make([]int64, len(r.leaders))
	for leader, b := range r.brokers {
		var places []int
		for p, l := range r.leaders {
			if int(l) == leader {
				places = append(places, p)
			}
		}
		if len(places) == 0 {
			continue
		}
		if err := c.offsetsOf(ctx, b.addr, places, at, out); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (c *cluster) offsetsOf(ctx context.Context, addr string, places []int, at int64,
	out []int64) error {
	a, err := c.dial(ctx, addr)
	if err != nil {
		return err
	}
	defer a.Close()
	req := kmsg.NewPtrListOffsetsRequest()
	req.SetVersion(min(7, c.limits[int16(protocol.ListOffsets)]))
	req.ReplicaID = -1
	for _, p := range places {
		name := c.topics[p/c.partitions]
		if n := len(req.Topics); n == 0 || req.Topics[n-1].Topic != name {
			t := kmsg.NewListOffsetsRequestTopic()
			t.Topic = name
			req.Topics = append(req.Topics, t)
		}
		t := &req.Topics[len(req.Topics)-1]
		q := kmsg.NewListOffsetsRequestTopicPartition()
		q.Partition, q.Timestamp, q.CurrentLeaderEpoch = int32(p%c.partitions), at, -1
		t.Partitions = append(t.Partitions, q)
	}
	for deadline := time.Now().Add(askTimeout); ; time.Sleep(20 * time.Millisecond) {
		resp, err := a.ask(req)
		if err != nil {
			return err
		}
		code := c.readOffsets(resp.(*kmsg.ListOffsetsResponse), out)
		if code == protocol.None {
			return nil
		}
		// Metadata names a leader somewhat before it serves.
		if !code.Retriable() || time.Now().After(deadline) || ctx.Err() != nil {
			return fmt.Errorf("raw: offsets of %s at %s: %w", c.topics[places[0]/c.partitions], addr, code)
		}
	}
}

func (c *cluster) readOffsets(resp *kmsg.ListOffsetsResponse, out []int64) (bad protocol.Code) {
	for _, t := range resp.Topics {
		n, mine := c.index[t.Topic]
		for _, p := range t.Partitions {
			if p.ErrorCode != 0 {
				bad = protocol.Code(p.ErrorCode)
			}
			if mine && p.Partition >= 0 && int(p.Partition) < c.partitions {
				out[n*c.partitions+int(p.Partition)] = p.Offset
			}
		}
	}
	return bad
}
