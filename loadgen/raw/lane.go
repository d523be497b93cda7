package raw

import (
	"fmt"
	"slices"
	"time"

	"millrace/loadgen/measure"
	"millrace/loadgen/workload"
	"millrace/protocol"
)

// lane is one producing connection with its slots, used in turn: answers come in the order of
// requests.
type lane struct {
	*wired
	recipe *recipe
	stream int
	slots  []slot
	most   uint64 // requests in flight
	errAt  []int32

	queued  uint64 // requests handed to the connection
	answers uint64

	schedule *workload.Schedule // of batches; with linger of messages; nil: as many as go
	gathered int                // messages in the slot that is next
	freed    int64              // when the connection could last take a request up again
	blocked  bool               // something is due, and the connection was not free
	pause    int64              // nothing is sent before
	stale    bool               // leaders have moved: the slots are made anew when none is in flight
	wall     int64              // nanoseconds from the measurement's clock to the calendar's

	numbers map[int]uint64 // by place, where values are stamped and there is no book
}

func (l *lane) open() bool {
	return l.queued-l.answers < l.most && l.usable() && !l.stale && len(l.slots) > 0 && !l.spent()
}

// spent says that the messages that the load consists of have been sent.
func (l *lane) spent() bool { return l.t.run.limited && l.t.run.budget.Load() <= 0 }

func (l *lane) next() *slot { return &l.slots[l.queued%uint64(len(l.slots))] }

// wake sends what is due.
func (l *lane) wake(now int64) int64 {
	if !l.usable() {
		return l.retry(now)
	}
	if l.t.run.m.Over(now) && (l.schedule == nil || l.t.run.m.Stopped()) {
		return never
	}
	if now < l.pause {
		return l.pause
	}
	switch {
	case l.schedule == nil:
		for l.open() {
			l.take(now, now)
		}
		return never
	case l.recipe.cuttable:
		return l.gather(now)
	}
	return l.pace(now)
}

// due is when the next message or batch of the schedule is due; never, when that is not within the
// load. What is due before the end of the measurement is sent even behind it: leaving it out would
// leave out the longest waits.
func (l *lane) due() int64 {
	at := l.t.run.m.Started() + int64(l.schedule.Peek())
	if at >= l.t.run.m.End() || l.spent() {
		return never
	}
	return at
}

// pace sends the batches that are due. When the connection is not free the lane is woken by the
// answer that frees it.
func (l *lane) pace(now int64) int64 {
	for {
		due := l.due()
		if due > now {
			return due
		}
		if !l.open() {
			l.blocked = true
			return never
		}
		l.schedule.Take()
		l.take(now, due)
	}
}

// gather takes the messages that are due into the next batch, and sends it when it is full or its
// first message has waited long enough.
func (l *lane) gather(now int64) int64 {
	linger := int64(l.t.run.w.Linger)
	for {
		if !l.open() {
			l.blocked = true
			return never
		}
		s := l.next()
		due := l.due()
		for ; l.gathered < s.records && due <= now; due = l.due() {
			s.dues[l.gathered] = due
			l.schedule.Take()
			l.gathered++
		}
		switch {
		case l.gathered == 0:
			return due
		case l.gathered < s.records && now < s.dues[0]+linger:
			return min(due, s.dues[0]+linger)
		}
		l.take(now, s.dues[0])
	}
}

// take sends the lane's next slot.
func (l *lane) take(now, due int64) {
	s, rec := l.next(), l.t.rec
	s.n, s.due, s.sent = s.records, due, now
	ready := due
	if l.recipe.cuttable {
		s.n, l.gathered = l.gathered, 0
		ready = s.dues[s.n-1] // full with its last message …
		if s.n < s.records {
			ready = max(ready, due+int64(l.t.run.w.Linger)) // … or waited long enough
		}
	}
	if l.recipe.stamped {
		s.first = l.number(s.place, s.n)
	}
	if err := l.recipe.encode(s, (now+l.wall)/int64(time.Millisecond)); err != nil {
		l.t.fail(err)
		return
	}
	if l.schedule != nil {
		rec.Record(measure.Delay, due, now)
		rec.Record(measure.Late, max(ready, l.freed), now)
	}
	if l.t.run.limited {
		l.t.run.budget.Add(-int64(s.n))
	}
	be.PutUint32(s.frame[correlationAt:], uint32(l.queued))
	l.queue(s.frame)
	l.queued++
	rec.Sent += int64(s.n)
}

// number gives out the numbers of n messages.
func (l *lane) number(place, n int) (first uint64) {
	if b := l.t.run.book; b != nil {
		return b.Take(uint32(l.stream), place, n)
	}
	first = l.numbers[place]
	l.numbers[place] = first + uint64(n)
	return first
}

// answer takes what the broker says of the oldest request in flight.
func (l *lane) answer(now int64, id uint32, body []byte) error {
	if id != uint32(l.answers) || l.answers == l.queued {
		return errOrder
	}
	s := &l.slots[l.answers%uint64(len(l.slots))]
	at := int(l.errAt[s.place/l.t.run.w.Partitions])
	if len(body) < at+10 {
		return errShort
	}
	code := protocol.Code(int16(be.Uint16(body[at:])))
	l.answers++
	l.t.rec.Requests++
	if code != protocol.None {
		l.refuse(now, s, code)
	} else {
		l.done(now, s, int64(be.Uint64(body[at+2:])))
	}
	l.free(now)
	return nil
}

// done counts an acknowledged request.
func (l *lane) done(now int64, s *slot, base int64) {
	rec := l.t.rec
	l.t.ok(now)
	rec.Acked += int64(s.n)
	rec.AckedBytes += int64(s.shapeSize)
	rec.Record(measure.Service, s.sent, now)
	if s.dues == nil {
		rec.Record(measure.Response, s.due, now)
	} else {
		for _, due := range s.dues[:s.n] {
			rec.Record(measure.Response, due, now)
		}
	}
	l.t.run.acked(s, l.stream, base)
}

// free lets the next request go.
func (l *lane) free(now int64) {
	switch {
	case l.stale && l.queued == l.answers:
		l.renew(now)
	case l.schedule == nil:
		if l.open() && now >= l.pause && !l.t.run.m.Over(now) {
			l.take(now, now)
		}
	case l.blocked:
		l.blocked, l.freed = false, now
		l.t.timers.set(l.who, now)
	}
}

// after is how long a lane whose request was refused sends nothing: an error that comes at once
// would come as often as there is time otherwise.
const after = int64(20 * time.Millisecond)

// refuse counts a request that was answered with an error, and judges it.
func (l *lane) refuse(now int64, s *slot, code protocol.Code) {
	r := l.t.run
	what := fmt.Sprintf("produce to %s: %v", r.placeName(s.place), code)
	l.t.rec.Fail(int(code), code.String(), what)
	l.t.failed(now)
	l.pause = now + after
	l.t.timers.set(l.who, l.pause)
	switch {
	case leaderless(code):
		r.leadersMoved(what)
	case !code.Retriable():
		r.m.Stop(what)
	}
}

// leaderless says that the code may come of a partition that is led by another broker now, or
// gone.
func leaderless(code protocol.Code) bool {
	switch code {
	case protocol.UnknownTopicOrPartition, protocol.LeaderNotAvailable,
		protocol.NotLeaderOrFollower, protocol.ReplicaNotAvailable, protocol.FencedLeaderEpoch,
		protocol.UnknownLeaderEpoch, protocol.UnknownTopicId:
		return true
	}
	return false
}

// sent is called when frames have left: without acks that is all there ever is.
func (l *lane) sent(now int64) {
	if l.recipe.w.Acks != 0 {
		return
	}
	left := l.queued - uint64(len(l.conn.out))
	if left == l.answers {
		return
	}
	l.t.rec.Requests += int64(left - l.answers)
	l.answers = left
	l.t.ok(now)
	if l.schedule == nil {
		if l.open() && !l.t.run.m.Over(now) { // again next turn, so that others have theirs
			l.t.timers.set(l.who, now)
		}
		return
	}
	l.free(now)
}

// down gives up what was in flight: nobody knows whether it is stored.
func (l *lane) down(now int64) {
	for ; l.answers < l.queued; l.answers++ {
		l.t.rec.Fail(0, "no answer", "the connection to "+l.addr+" was lost with requests in flight")
	}
	if l.gathered > 0 && l.stale {
		l.gathered = 0
	}
	l.blocked = false
}

func (l *lane) up(now int64) {
	l.freed = now
	if l.stale {
		l.renew(now)
	}
	l.t.timers.set(l.who, now)
}

// reroute has the slots made anew when none of them is in flight.
func (l *lane) reroute(now int64) {
	l.stale = true
	if l.queued == l.answers {
		l.renew(now)
	}
}

// renew gives the lane the partitions that are its own under the routing of now.
func (l *lane) renew(now int64) {
	d := &l.t.run.routing.Load().shares[l.stream]
	l.stale, l.gathered = false, 0
	if d.broker.addr != l.addr {
		l.move(now, d.broker.addr)
	}
	have := make([]int, len(l.slots))
	for i := range l.slots {
		have[i] = l.slots[i].place
	}
	slices.Sort(have)
	if !slices.Equal(slices.Compact(have), slices.Sorted(slices.Values(d.places))) {
		slots, err := l.recipe.slots(d.places, d.least)
		if err != nil {
			l.t.fail(err)
			return
		}
		l.slots = slots
		l.queued, l.answers = 0, 0
	}
	l.freed = now
	l.t.timers.set(l.who, now)
}

// over says that all that was due has its answer.
func (l *lane) over(int64) bool {
	if l.queued != l.answers {
		return !l.usable()
	}
	return l.schedule == nil || l.t.run.m.Stopped() || len(l.slots) == 0 ||
		l.gathered == 0 && l.due() == never
}

func (l *lane) close() { l.conn.close() }
