package sim

import (
	"encoding/binary"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/protocol"
)

// link is a client's connection that comes back: requests go out, answers come in
// order, and when it breaks the client is told and it dials again.
type link struct {
	b       *brokerRun
	conn    *Conn
	in      []byte
	corr    int32
	waiting []asked
	format  *kmsg.RequestFormatter
	onUp    func()
	onDown  func()
	pause   time.Duration // before the next connection; 0: the usual one
}

// asked is a request without its answer.
type asked struct {
	corr int32
	resp kmsg.Response
	then func(kmsg.Response)
}

func newLink(b *brokerRun, onUp, onDown func()) *link {
	l := &link{b: b, onUp: onUp, onDown: onDown,
		format: kmsg.NewRequestFormatter(kmsg.FormatterClientID("sim"))}
	b.links = append(b.links, l)
	l.later()
	return l
}

// produceTo asks for one batch to be written.
func produceTo(id protocol.TopicID, partition int32, records []byte) *kmsg.ProduceRequest {
	req := kmsg.NewPtrProduceRequest()
	req.SetVersion(13)
	req.Acks, req.TimeoutMillis = -1, 1000
	req.Topics = []kmsg.ProduceRequestTopic{{TopicID: id,
		Partitions: []kmsg.ProduceRequestTopicPartition{{Partition: partition, Records: records}}}}
	return req
}

// fetchFrom asks for what a partition has from an offset on, without a session.
func fetchFrom(id protocol.TopicID, partition int32, at int64, most int32) *kmsg.FetchRequest {
	req := kmsg.NewPtrFetchRequest()
	req.SetVersion(13)
	req.ReplicaID, req.MaxBytes, req.SessionEpoch = -1, 1<<20, -1
	fp := kmsg.NewFetchRequestTopicPartition()
	fp.Partition, fp.FetchOffset, fp.CurrentLeaderEpoch, fp.PartitionMaxBytes = partition, at, -1, most
	ft := kmsg.NewFetchRequestTopic()
	ft.TopicID, ft.Partitions = id, append(ft.Partitions, fp)
	req.Topics = append(req.Topics, ft)
	return req
}

// later dials after a while.
func (l *link) later() {
	d := l.pause
	if l.pause = 0; d == 0 {
		d = 5 * time.Millisecond
	}
	l.b.w.After(l.b.w.around(d), l.dial)
}

func (l *link) dial() {
	if l.conn != nil {
		return
	}
	c := l.b.w.Net.Dial(l.b.lfd)
	l.conn = c
	l.b.w.Tally[Connections]++
	c.OnData = func(p []byte) {
		if l.conn == c {
			l.data(p)
		}
	}
	c.OnClose = func() {
		if l.conn == c {
			l.down()
		}
	}
	l.onUp()
}

// vanish is a client that is gone without a word and comes back by another connection:
// what it has sent may yet arrive.
func (l *link) vanish() {
	if c := l.conn; c != nil {
		l.b.w.Tally[HalfOpen]++
		l.down()
		c.Vanish()
	}
}

// drop breaks the connection from the client's side.
func (l *link) drop() {
	c := l.conn
	if c == nil {
		return
	}
	l.b.w.Tally[Cuts]++
	l.down()
	c.Reset()
}

func (l *link) down() {
	l.conn, l.in, l.waiting = nil, nil, nil
	if l.onDown != nil {
		l.onDown()
	}
	l.later()
}

// reset begins anew after a crash, which takes all events with it.
func (l *link) reset() {
	l.conn = nil
	l.down()
}

// soon lets do happen after a while if the connection still stands then.
func (l *link) soon(d time.Duration, do func()) {
	c := l.conn
	l.b.w.After(l.b.w.around(d), func() {
		if c != nil && l.conn == c {
			do()
		}
	})
}

// ask sends a request. then gets the answer; it is forgotten if the connection breaks.
func (l *link) ask(req kmsg.Request, then func(kmsg.Response)) {
	if l.conn == nil {
		return
	}
	l.corr++
	raw := l.format.AppendRequest(nil, req, l.corr)
	resp := req.ResponseKind()
	resp.SetVersion(req.GetVersion())
	if then != nil {
		l.waiting = append(l.waiting, asked{l.corr, resp, then})
	}
	l.conn.Write(raw)
}

func (l *link) data(p []byte) {
	l.in = append(l.in, p...)
	for len(l.in) >= 4 {
		n := int(binary.BigEndian.Uint32(l.in))
		l.b.check(n >= 4 && n < 64<<20, "an answer of %d bytes", n)
		if len(l.in) < 4+n {
			return
		}
		frame := l.in[4 : 4+n]
		l.in = l.in[4+n:]
		l.b.check(len(l.waiting) > 0, "an answer to nothing")
		a := l.waiting[0]
		l.waiting = l.waiting[1:]
		l.b.check(int32(binary.BigEndian.Uint32(frame)) == a.corr, "answers out of order: %d, want %d",
			binary.BigEndian.Uint32(frame), a.corr)
		frame = frame[4:]
		if a.resp.IsFlexible() && a.resp.Key() != 18 {
			l.b.check(len(frame) > 0 && frame[0] == 0, "no empty tags in the header")
			frame = frame[1:]
		}
		err := a.resp.ReadFrom(frame)
		l.b.check(err == nil, "answer to key %d: %v", a.resp.Key(), err)
		before := l.conn
		a.then(a.resp)
		if l.conn != before {
			return // the answer made the client give the connection up
		}
	}
}
