package stub

import (
	"encoding/binary"
	"net"
	"time"

	"millrace/protocol"
	"millrace/protocol/batch"
	"millrace/protocol/hot"
)

const maxFrame = 256 << 20

func (n *node) accept() {
	for {
		c, err := n.l.Accept()
		if err != nil {
			return
		}
		n.mu.Lock()
		if n.dead {
			n.mu.Unlock()
			_ = c.Close()
			return
		}
		n.conns[c] = true
		n.done.Go(func() {
			(&session{n: n, c: c}).serve()
			n.mu.Lock()
			delete(n.conns, c)
			n.mu.Unlock()
			_ = c.Close()
		})
		n.mu.Unlock()
	}
}

// session is one connection: its requests are answered one after the other.
type session struct {
	n   *node
	c   net.Conn
	in  []byte
	out []byte

	header  hot.Header
	produce hot.ProduceRequest
	fetch   hot.FetchRequest
	written hot.ProduceWriter
	body    []byte
}

// serve reads as much as there is and answers all whole requests of it with one write.
func (x *session) serve() {
	x.in = make([]byte, 256<<10)
	have := 0
	for {
		n, err := x.c.Read(x.in[have:])
		if err != nil {
			return
		}
		if d := x.n.stub.stalled(); d > 0 {
			time.Sleep(d)
		}
		have += n
		used, ok := x.frames(x.in[:have])
		if !ok || !x.flush() {
			return
		}
		have = copy(x.in, x.in[used:have])
		if have == len(x.in) {
			grown := make([]byte, 2*len(x.in))
			copy(grown, x.in)
			x.in = grown
		}
	}
}

func (x *session) flush() bool {
	if len(x.out) == 0 {
		return true
	}
	_, err := x.c.Write(x.out)
	x.out = x.out[:0]
	return err == nil
}

// frames answers every whole frame of b; not ok ends the connection.
func (x *session) frames(b []byte) (used int, ok bool) {
	for {
		rest := b[used:]
		if len(rest) < 4 {
			return used, true
		}
		size := int64(binary.BigEndian.Uint32(rest))
		if size < 8 || size > maxFrame {
			return used, false
		}
		if int64(len(rest)) < 4+size {
			return used, true
		}
		if !x.request(rest[4 : 4+size]) {
			return used, false
		}
		used += 4 + int(size)
	}
}

func (x *session) request(frame []byte) bool {
	body, err := x.header.Parse(frame)
	if err != nil {
		return false
	}
	x.n.stub.requests.Add(1)
	switch x.header.Key {
	case protocol.Produce:
		return x.store(body)
	case protocol.Fetch:
		return x.read(body)
	}
	return x.cold(body)
}

// store takes a Produce request.
func (x *session) store(body []byte) bool {
	s, q := x.n.stub, &x.produce
	if x.header.Version > maxProduce || q.Parse(x.header.Version, body) != nil {
		return false
	}
	w := &x.written
	w.Begin(x.out, x.header.Version, x.header.Correlation, q.Topics)
	refused, grown := s.refused(protocol.Produce), false
	for q.NextTopic() {
		w.Topic(q.Topic.Name, protocol.TopicID{}, q.Topic.Partitions)
		for q.NextPartition() {
			r := hot.ProduceResult{Index: q.Partition.Index, BaseOffset: -1, AppendMillis: -1,
				Code: refused}
			var p *partition
			if r.Code == protocol.None {
				p, r.Code = s.of(x.n, q.Topic.Name, q.Partition.Index)
			}
			if r.Code == protocol.None {
				r.BaseOffset, r.Code = x.batches(p, q)
				grown = grown || r.Code == protocol.None
			}
			w.Partition(&r)
		}
	}
	out := w.End(0, nil)
	if q.Acks != 0 {
		x.out = out
	}
	if grown && s.o.Keep > 0 {
		s.wake()
	}
	return true
}

func (x *session) batches(p *partition, q *hot.ProduceRequest) (base int64, code protocol.Code) {
	s := x.n.stub
	base = -1
	for rest := q.Partition.Records; len(rest) > 0; {
		v, after, err := batch.Next(rest)
		if err != nil {
			return -1, protocol.CorruptMessage
		}
		if s.o.Keep > 0 && !v.CheckCRC() {
			return -1, protocol.CorruptMessage
		}
		name := ""
		if s.o.Store != nil {
			name = string(q.Topic.Name)
		}
		at := s.append(p, name, q.Partition.Index, v)
		if base < 0 {
			base = at
		}
		s.messages.Add(int64(v.Count()))
		s.bytes.Add(int64(len(v)))
		rest = after
	}
	return base, protocol.None
}

// read answers a Fetch request, if need be when something has come or its time is over.
func (x *session) read(body []byte) bool {
	q := &x.fetch
	if x.header.Version > maxFetch || q.Parse(x.header.Version, body) != nil {
		return false
	}
	deadline := time.Now().Add(time.Duration(q.MaxWaitMillis) * time.Millisecond)
	for {
		grew := x.n.stub.growth()
		before := len(x.out)
		got, failed := x.records(q)
		if failed || got >= int(q.MinBytes) || !time.Now().Before(deadline) {
			return true
		}
		x.out = x.out[:before]
		if !x.flush() {
			return false
		}
		timer := time.NewTimer(time.Until(deadline))
		select {
		case <-grew:
		case <-timer.C:
		}
		timer.Stop()
		x.n.mu.Lock()
		dead := x.n.dead
		x.n.mu.Unlock()
		if dead {
			return false
		}
		if d := x.n.stub.stalled(); d > 0 {
			time.Sleep(d)
		}
		q.Rewind()
	}
}

// records writes an answer with what there is now.
func (x *session) records(q *hot.FetchRequest) (got int, failed bool) {
	s := x.n.stub
	refused := s.refused(protocol.Fetch)
	var w hot.FetchWriter
	var cuts []int
	var pieces [][]byte
	x.body = x.body[:0]
	w.Begin(nil, x.header.Version, x.header.Correlation, 0, protocol.None, 0, q.Topics)
	for q.NextTopic() {
		w.Topic(q.Topic.Name, protocol.TopicID{}, q.Topic.Partitions)
		for q.NextPartition() {
			p, code := s.of(x.n, q.Topic.Name, q.Partition.Index)
			r := hot.FetchResult{Index: q.Partition.Index, Code: code, Preferred: -1,
				HighWatermark: -1, LastStable: -1, LogStart: -1}
			if code == protocol.None && refused != protocol.None {
				r.Code = refused
			}
			from := len(x.body)
			if r.Code == protocol.None {
				most := min(int(q.Partition.MaxBytes), int(q.MaxBytes)-got)
				var end int64
				if most > 0 {
					x.body, r.LogStart, end, r.Code = p.read(x.body, q.Partition.FetchOffset, most)
				} else {
					_, r.LogStart, end, r.Code = p.read(nil, q.Partition.FetchOffset, 0)
				}
				r.HighWatermark, r.LastStable = end, end
			}
			failed = failed || r.Code != protocol.None
			r.Records = len(x.body) - from
			got += r.Records
			cuts = append(cuts, w.Partition(&r))
			pieces = append(pieces, x.body[from:len(x.body):len(x.body)])
		}
	}
	own := w.End(nil)
	at := 0
	for i, cut := range cuts {
		x.out = append(append(x.out, own[at:cut]...), pieces[i]...)
		at = cut
	}
	x.out = append(x.out, own[at:]...)
	return got, failed
}
