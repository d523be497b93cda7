package raw

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// handler is who a connection belongs to.
type handler interface {
	// answer is called with each whole frame; an error ends the run.
	answer(now int64, id uint32, body []byte) error
	// up is called when the connection can be used again, down when it was lost.
	up(now int64)
	down(now int64)
	// sent is called when frames have left.
	sent(now int64)
}

// wired is a connection under a thread that is made again when it is lost.
type wired struct {
	t    *thread
	h    handler
	who  int32
	addr string
	conn *conn

	full       bool // waits for room in the socket
	listed     bool // in the thread's list of those that have frames
	connecting bool
	again      int64 // when to connect again; never: no need
	backoff    time.Duration
}

const (
	firstBackoff = 50 * time.Millisecond
	lastBackoff  = time.Second
)

// wire makes a wired of a connection that stands.
func wire(t *thread, h handler, who int32, addr string, fd, receive int) (*wired, error) {
	w := &wired{t: t, h: h, who: who, addr: addr, conn: newConn(fd, receive), again: never,
		backoff: firstBackoff}
	return w, t.watch(fd, who, unix.EPOLLIN)
}

func (w *wired) usable() bool { return w.conn.open() && !w.connecting }

func (w *wired) queue(frame []byte) {
	w.conn.queue(frame)
	if !w.listed {
		w.listed = true
		w.t.dirty = append(w.t.dirty, w)
	}
}

// flush sends what is queued.
func (w *wired) flush(now int64) {
	w.listed = false
	if w.full || !w.usable() {
		return
	}
	full, err := w.conn.flush()
	if err != nil {
		w.lose(now, err)
		return
	}
	if full {
		w.full = true
		w.wants(unix.EPOLLIN | unix.EPOLLOUT)
	}
	w.h.sent(now)
}

func (w *wired) wants(events uint32) {
	if err := w.t.interest(w.conn.fd, w.who, events); err != nil {
		w.t.fail(err)
	}
}

// ready is called for events of the socket.
func (w *wired) ready(now int64, events uint32) {
	if !w.conn.open() {
		return // an event of a socket that was closed meanwhile
	}
	if w.connecting {
		w.established(now, events)
		return
	}
	if events&unix.EPOLLOUT != 0 && w.full {
		w.full = false
		w.wants(unix.EPOLLIN)
		w.flush(now)
	}
	if events&^unix.EPOLLOUT != 0 && w.conn.open() {
		w.drain()
	}
}

// drain reads the connection until it is empty and hands on its frames.
func (w *wired) drain() {
	for w.conn.open() {
		more, err := w.conn.receive()
		now := w.t.run.m.Now()
		for w.conn.open() {
			id, body, ok, bad := w.conn.frame()
			if bad != nil {
				w.t.fail(bad)
				return
			}
			if !ok {
				break
			}
			if bad = w.h.answer(now, id, body); bad != nil {
				w.t.fail(bad)
				return
			}
		}
		if err != nil {
			w.lose(now, err)
			return
		}
		if !more {
			return
		}
	}
}

// lose closes the connection and has it made again a little later.
func (w *wired) lose(now int64, why error) {
	if !w.t.run.m.Over(now) {
		w.t.rec.Fail(0, "connection lost", fmt.Sprintf("%s: %v", w.addr, why))
		w.t.failed(now)
		w.t.run.leadersMoved("connection to " + w.addr + " lost: " + why.Error())
	}
	w.drop(now)
}

// drop closes the connection without blaming anybody.
func (w *wired) drop(now int64) {
	w.conn.close()
	w.connecting, w.full = false, false
	w.again = now + int64(w.backoff)
	w.backoff = min(2*w.backoff, lastBackoff)
	w.h.down(now)
	w.t.timers.set(w.who, w.again)
}

// move leads the connection to another broker, at once.
func (w *wired) move(now int64, addr string) {
	w.addr = addr
	w.drop(now)
	w.again, w.backoff = now, firstBackoff
	w.t.timers.set(w.who, now)
}

// retry connects when it is time; it says when to try next, never if nothing is to be done.
func (w *wired) retry(now int64) int64 {
	if w.conn.open() || w.again == never {
		return never
	}
	if now < w.again {
		return w.again
	}
	fd, err := connect(w.addr, nil)
	if err == nil {
		if err = w.t.watch(fd, w.who, unix.EPOLLOUT); err != nil {
			_ = unix.Close(fd)
		}
	}
	if err != nil {
		w.refused(now, err)
		return w.again
	}
	w.conn.reset(fd)
	w.connecting = true
	w.again = now + int64(dialTimeout)
	return w.again
}

// refused counts a connection that did not come about.
func (w *wired) refused(now int64, err error) {
	w.t.rec.Fail(0, "connection refused", fmt.Sprintf("%s: %v", w.addr, err))
	w.t.failed(now)
	w.conn.close()
	w.connecting = false
	w.again = now + int64(w.backoff)
	w.backoff = min(2*w.backoff, lastBackoff)
}

func (w *wired) established(now int64, events uint32) {
	if err := connected(w.conn.fd); err != nil || events&(unix.EPOLLHUP|unix.EPOLLERR) != 0 {
		if err == nil {
			err = unix.ECONNREFUSED
		}
		w.refused(now, err)
		w.t.timers.set(w.who, w.again)
		return
	}
	w.connecting, w.again, w.backoff = false, never, firstBackoff
	w.wants(unix.EPOLLIN)
	w.h.up(now)
}
