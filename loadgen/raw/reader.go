package raw

import (
	"errors"
	"fmt"

	"millrace/loadgen/ledger"
	"millrace/loadgen/measure"
	"millrace/loadgen/result"
	"millrace/protocol"
	"millrace/protocol/batch"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sys/unix"
)

// group reads everything once.
type group struct {
	name    string
	catchUp bool            // reads from the first message to the last, again and again
	reading *ledger.Reading // verify
	all     []*consumer
}

// consumer is one of a group: it has a reader for every broker that leads one of its partitions.
type consumer struct {
	group   *group
	t       *thread
	parts   []*position
	byPlace map[int]*position
	readers []*reader

	received, bytes int64
	latency         *hdrhistogram.Histogram // of this consumer alone; nil: not wanted
	began           int64                   // of reading; of a reader that catches up: this round
	behind          int64                   // how long it took to catch up, the last time
	rounds          int
	ended           bool
}

// position is where a consumer is in one partition.
type position struct {
	place  int
	offset int64
	high   int64
	known  bool // high was told in this round
	done   bool
	reader *reader
}

// reader is one connection of a consumer. One request is in flight on it.
type reader struct {
	*wired
	c       *consumer
	broker  int32
	parts   []*position // those that its broker leads
	turn    int         // the first one asked for next
	list    []wanted
	frame   []byte
	id      uint32
	waiting bool
	failed  bool // something of the answer that is read now
	asked   int64
	pause   int64
	plain   []byte // records without compression
}

func (r *reader) wake(now int64) int64 {
	if !r.usable() {
		return r.retry(now)
	}
	if now < r.pause {
		return r.pause
	}
	if !r.waiting {
		r.ask(now)
	}
	return never
}

// ask sends the next request, unless there is nothing to read.
func (r *reader) ask(now int64) {
	run := r.t.run
	if r.finished(now) {
		return
	}
	if !run.mayRead() {
		r.pause = now + int64(longest)/10
		r.t.timers.set(r.who, r.pause)
		return
	}
	if r.c.began == 0 {
		r.c.began = now
	}
	r.list = r.list[:0]
	for i := range r.parts {
		if p := r.parts[(r.turn+i)%len(r.parts)]; !p.done {
			r.list = append(r.list, wanted{run.topics[p.place/run.w.Partitions],
				int32(p.place % run.w.Partitions), p.offset})
		}
	}
	if len(r.list) == 0 {
		return
	}
	r.turn = (r.turn + 1) % len(r.parts)
	r.frame = run.cluster.versions.fetchRequest(r.frame[:0], run.fetch, r.list)
	r.id++
	be.PutUint32(r.frame[correlationAt:], r.id)
	r.asked, r.waiting = now, true
	r.queue(r.frame)
}

// answer takes records.
func (r *reader) answer(now int64, id uint32, body []byte) error {
	if id != r.id || !r.waiting {
		return errOrder
	}
	r.waiting, r.failed = false, false
	r.t.rec.Requests++
	code, err := r.t.run.cluster.versions.fetchAnswer(body, func(f fetched) error {
		return r.partition(now, f)
	})
	if err != nil {
		return err
	}
	if code != protocol.None {
		r.refuse(now, "fetch from "+r.addr, code)
	}
	if !r.failed {
		r.t.ok(now)
		if !r.t.run.w.Produces() {
			r.t.rec.Record(measure.Service, r.asked, now)
		}
	}
	r.round(now)
	if now >= r.pause {
		r.ask(now)
	}
	return nil
}

// partition takes what came of one of them.
func (r *reader) partition(now int64, f fetched) error {
	run := r.t.run
	topic, known := run.cluster.index[string(f.topic)]
	p := r.c.byPlace[topic*run.w.Partitions+int(f.partition)]
	if !known || p == nil || f.partition < 0 || int(f.partition) >= run.w.Partitions {
		return fmt.Errorf("raw: %s sent records of %.100q that nobody asked for", r.addr,
			placeName(string(f.topic), f.partition))
	}
	if p.reader != r {
		return nil // it has moved to another broker meanwhile
	}
	switch {
	case f.code == protocol.OffsetOutOfRange:
		// Retention was faster than the reader: it goes on where the log begins now (route).
		run.aged.Store(true)
		what := fmt.Sprintf("fetch from %s at offset %d", run.placeName(p.place), p.offset)
		r.refuse(now, what, f.code)
		run.leadersMoved(what)
		return nil
	case f.code != protocol.None:
		r.refuse(now, "fetch from "+run.placeName(p.place), f.code)
		return nil
	}
	p.high, p.known = f.high, true
	before := p.offset
	if err := r.batches(now, p, f.records); err != nil {
		return fmt.Errorf("raw: records of %s: %w", run.placeName(p.place), err)
	}
	if len(f.records) > 0 && p.offset == before && len(f.records) >= run.w.FetchBytes {
		return fmt.Errorf("raw: %d bytes of %s at offset %d hold no whole batch", len(f.records),
			run.placeName(p.place), before)
	}
	p.done = p.offset >= run.to(p.place) || run.w.Again && p.offset >= p.high
	return nil
}

// batches goes through records. The first batch may begin before the position, the last one may
// be cut by the broker.
func (r *reader) batches(now int64, p *position, records []byte) error {
	rec, run := r.t.rec, r.t.run
	for rest := records; len(rest) > 0; {
		v, after, err := batch.Next(rest)
		if errors.Is(err, batch.ErrShort) {
			break
		}
		if err != nil {
			return err
		}
		rest = after
		if v.NextOffset() <= p.offset {
			continue
		}
		n := int64(v.Count())
		if v.BaseOffset() < p.offset {
			n = min(n, v.NextOffset()-p.offset)
		}
		if v.IsControl() {
			n = 0
		} else if run.w.Stamp {
			if n, err = r.messages(now, p, v); err != nil {
				return err
			}
		}
		p.offset = v.NextOffset()
		if r.c.group.catchUp {
			rec.CatchUp += n
		} else {
			rec.Received += n
			rec.ReceivedBytes += int64(len(v))
		}
		if !run.m.Over(now) && now >= run.m.Start() {
			r.c.received += n
			r.c.bytes += int64(len(v))
		}
	}
	return nil
}

// messages reads the stamps of a batch. It returns how many messages are of this run.
func (r *reader) messages(now int64, p *position, v batch.View) (n int64, err error) {
	run, rec := r.t.run, r.t.rec
	plain := v.RecordBytes()
	if v.Codec() != batch.None {
		if plain, err = v.Inflate(r.plain[:0], maxInflated); err != nil {
			return 0, err
		}
		r.plain = plain
	}
	it := v.Records(plain)
	for it.Next() {
		m := &it.Record
		if m.Offset < p.offset {
			continue
		}
		due, ok := run.stampOf(r.c.group, p.place, m.Offset, m.Value)
		if !ok {
			continue
		}
		n++
		if r.c.group.catchUp || due == 0 {
			continue
		}
		rec.Record(measure.EndToEnd, due, now)
		if r.c.latency != nil && due >= run.m.Start() {
			took := min(max(now-due, result.Lowest), result.Highest)
			_ = r.c.latency.RecordValue(took) // cannot fail: within the bounds
		}
	}
	return n, it.Err()
}

// maxInflated is the most that the records of one batch may hold.
const maxInflated = 256 << 20

// caughtUp says that the consumer has read up to the end of every partition that it last heard of.
func (c *consumer) caughtUp() bool {
	for _, p := range c.parts {
		if !p.known || p.offset < p.high {
			return false
		}
	}
	return true
}

// round begins anew where that is wanted, and ends the run when all has been read.
func (r *reader) round(now int64) {
	c, run := r.c, r.t.run
	if run.w.Backlog > 0 && c.behind == 0 && c.caughtUp() {
		c.behind = now - c.began
	}
	if c.group.catchUp {
		if !c.caughtUp() {
			return
		}
		c.behind, c.began = now-c.began, now
		c.rounds++
		for _, p := range c.parts {
			p.offset, p.known = (*run.firsts.Load())[p.place], false
		}
		r.wakeOthers(now)
		return
	}
	for _, p := range c.parts {
		if !p.done {
			return
		}
	}
	if !run.w.Again {
		c.finish()
		return
	}
	for _, p := range c.parts {
		p.offset, p.done = run.begins[p.place], false
	}
	r.wakeOthers(now)
}

// finish notes that this consumer has read all it was to read; the last one ends the run.
func (c *consumer) finish() {
	if !c.ended {
		c.ended = true
		if c.t.run.reading.Add(-1) == 0 {
			c.t.run.m.Finish()
		}
	}
}

func (r *reader) wakeOthers(now int64) {
	for _, o := range r.c.readers {
		if o != r && o.usable() && !o.waiting {
			o.t.timers.set(o.who, now)
		}
	}
}

// refuse counts an answer with an error, and judges it.
func (r *reader) refuse(now int64, what string, code protocol.Code) {
	run := r.t.run
	what += ": " + code.String()
	r.t.rec.Fail(int(code), code.String(), what)
	r.t.failed(now)
	r.failed, r.pause = true, now+after
	r.t.timers.set(r.who, r.pause)
	switch {
	case leaderless(code):
		run.leadersMoved(what)
	case !code.Retriable() && code != protocol.OffsetOutOfRange:
		run.m.Stop(what)
	}
}

func (r *reader) lag() (n int64) {
	if r.c.group.catchUp {
		return 0
	}
	for _, p := range r.parts {
		high := p.high
		if ends := r.t.run.ends; ends != nil {
			high = max(high, ends[p.place].Load())
		}
		n += max(0, high-p.offset)
	}
	return n
}

// finished says that this reader need not read on: L6.
func (r *reader) finished(now int64) bool {
	run := r.t.run
	if !run.m.Over(now) {
		return false
	}
	if r.c.group.catchUp || run.ends == nil {
		return true
	}
	if run.writing.Load() > 0 {
		return false
	}
	for _, p := range r.parts {
		if p.offset < run.ends[p.place].Load() {
			return false
		}
	}
	return true
}

func (r *reader) over(now int64) bool { return r.finished(now) }

func (r *reader) sent(int64) {}

func (r *reader) up(now int64) { r.t.timers.set(r.who, now) }

func (r *reader) down(int64) { r.waiting = false }

func (r *reader) close() { r.conn.close() }

// reroute moves the positions of the consumer to the readers of their leaders. It is called for
// every reader; the first one does it for all.
func (r *reader) reroute(now int64) {
	if r == r.c.readers[0] && !r.t.run.m.Over(now) {
		r.c.route(now)
	}
}

// route gives every position to the reader of its leader. A reader for a broker that is new
// connects by itself.
func (c *consumer) route(now int64) {
	run := c.t.run
	to, firsts := run.routing.Load(), *run.firsts.Load()
	for _, r := range c.readers {
		r.parts = r.parts[:0]
	}
	for _, p := range c.parts {
		p.reader, p.offset = nil, max(p.offset, firsts[p.place])
		if to.leaders[p.place] < 0 {
			continue // the next routing will know
		}
		b := to.brokers[to.leaders[p.place]]
		for _, r := range c.readers {
			if r.broker == b.id {
				p.reader = r
				break
			}
		}
		if p.reader == nil {
			p.reader = c.newReader(b, -1, now)
		}
		if p.reader.addr != b.addr {
			p.reader.move(now, b.addr)
		}
		p.reader.parts = append(p.reader.parts, p)
	}
	for _, r := range c.readers {
		r.turn = 0
		if !r.waiting && r.usable() {
			r.t.timers.set(r.who, now)
		}
	}
}

// newReader makes one for a broker. Without a socket (−1) it connects by itself.
func (c *consumer) newReader(b broker, fd int, now int64) *reader {
	r := &reader{c: c, broker: b.id}
	who := c.t.join(r)
	r.wired = &wired{t: c.t, h: r, who: who, addr: b.addr, again: never, backoff: firstBackoff,
		conn: newConn(fd, receiveRoom(c.t.run.w.FetchBytes))}
	if fd >= 0 {
		if err := c.t.watch(fd, who, unix.EPOLLIN); err != nil {
			c.t.fail(err)
		}
	} else {
		r.again = now
		c.t.timers.set(who, now)
	}
	c.readers = append(c.readers, r)
	return r
}

// receiveRoom is the first size of a reader's buffer: it grows when answers are larger.
func receiveRoom(fetch int) int { return min(2*fetch+64<<10, 16<<20) }
