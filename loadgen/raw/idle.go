package raw

import (
	"errors"
	"fmt"
	"io"
	"net"

	"millrace/loadgen/measure"

	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sys/unix"
)

// idler is one connection of many that do little. It is opened when its turn comes, introduces
// itself (ApiVersions), and is then silent, or slow: it sends the same request again and again,
// and reads the answers, a few bytes a second.
type idler struct {
	t       *thread
	who     int32
	number  int
	fd      int
	slow    bool
	state   uint8
	at      int   // bytes of the request that have left
	left    int64 // bytes of the answer that have not come; −1: not even its length
	head    [4]byte
	headLen int
	begun   int64
	when    int64 // slow: of the next bytes
}

// States of an idler.
const (
	waiting uint8 = iota
	connecting
	greeting
	resting
	broken
)

// hello is the request that idlers send, with its length: the same for all of them.
func hello() []byte {
	f := kmsg.NewRequestFormatter(kmsg.FormatterClientID(clientID))
	return f.AppendRequest(nil, kmsg.NewPtrApiVersionsRequest(), 0)
}

// perSource is how many connections leave from one of the loopback's addresses: there are about
// 28 000 ports for each.
const perSource = 25_000

// source is the address that a connection leaves from: on the loopback, which has 16 million of
// them, many connections need several.
func (i *idler) source(to string) net.IP {
	host, _, _ := net.SplitHostPort(to)
	ip := net.ParseIP(host).To4()
	if ip == nil || ip[0] != 127 || i.number < perSource {
		return nil
	}
	n := i.number/perSource + 1
	return net.IPv4(127, 0, byte(n>>8), byte(n)).To4()
}

func (i *idler) wake(now int64) int64 {
	switch {
	case i.t.run.m.Over(now):
		return never
	case i.state == waiting:
		due := i.t.run.m.Started() + int64(float64(i.number)/i.t.run.w.ConnectRate*1e9)
		if due > now {
			return due
		}
		return i.open(now)
	case i.state == resting && i.slow:
		return i.crawl(now)
	}
	return never
}

func (i *idler) open(now int64) int64 {
	addr := i.t.run.idleAddr(i.number)
	fd, err := connect(addr, i.source(addr))
	if err == nil {
		if err = i.t.watch(fd, i.who, unix.EPOLLOUT); err != nil {
			_ = unix.Close(fd)
		}
	}
	if err != nil {
		i.lose(now, "connection refused", err)
		return never
	}
	i.fd, i.state, i.begun = fd, connecting, now
	return never
}

// lose counts a connection that could not be opened, or that the broker has closed. It stays
// away: how many there are is what is measured.
func (i *idler) lose(now int64, what string, err error) {
	if !i.t.run.m.Over(now) {
		i.t.rec.Fail(0, what, fmt.Sprintf("connection %d of %d: %v", i.number+1,
			i.t.run.w.Idle+i.t.run.w.Slow, err))
		if i.state == resting {
			i.t.run.resting.Add(-1)
		}
	}
	i.close()
	i.state = broken
}

func (i *idler) ready(now int64, events uint32) {
	if i.fd < 0 {
		return
	}
	if i.state == connecting {
		if err := connected(i.fd); err != nil {
			i.lose(now, "connection refused", err)
			return
		}
		if err := i.t.interest(i.fd, i.who, unix.EPOLLIN); err != nil {
			i.t.fail(err)
			return
		}
		i.state, i.left = greeting, -1
		if !i.send(now, len(i.t.run.hello)) {
			return
		}
	}
	if events&^unix.EPOLLOUT == 0 {
		return
	}
	if i.slow && i.state == resting {
		// It reads when it crawls, and not because something has come: the event is taken away
		// until then, but for the end of the connection.
		if events&(unix.EPOLLHUP|unix.EPOLLERR|unix.EPOLLRDHUP) != 0 {
			i.lose(now, "connection closed", io.EOF)
		}
		return
	}
	i.read(now, len(i.t.scratch))
}

// send sends the next bytes of the request; false: the connection is lost.
func (i *idler) send(now int64, most int) bool {
	request := i.t.run.hello
	n, err := unix.Write(i.fd, request[i.at:min(len(request), i.at+most)])
	switch {
	case errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR):
		return true
	case err != nil:
		i.lose(now, "connection closed", err)
		return false
	}
	i.at = (i.at + n) % len(request)
	return true
}

// read takes what has come, at most so many bytes.
func (i *idler) read(now int64, most int) {
	b := i.t.scratch[:most]
	n, err := unix.Read(i.fd, b)
	switch {
	case errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR):
		return
	case err == nil && n == 0:
		err = io.EOF
	}
	if err != nil {
		i.lose(now, "connection closed", err)
		return
	}
	for b = b[:n]; len(b) > 0; {
		if i.left < 0 {
			k := copy(i.head[i.headLen:], b)
			i.headLen += k
			if b = b[k:]; i.headLen < 4 {
				return
			}
			i.headLen, i.left = 0, int64(be.Uint32(i.head[:]))
		}
		k := min(int64(len(b)), i.left)
		i.left -= k
		if b = b[k:]; i.left == 0 {
			i.left = -1
			i.answered(now)
		}
	}
}

// answered is called for each whole answer.
func (i *idler) answered(now int64) {
	i.t.rec.Requests++
	i.t.ok(now)
	if i.state != greeting {
		return
	}
	i.t.rec.Record(measure.Connect, i.begun, now)
	i.state = resting
	i.t.run.resting.Add(1)
	if !i.slow {
		return
	}
	if err := i.t.interest(i.fd, i.who, unix.EPOLLRDHUP); err != nil {
		i.t.fail(err)
		return
	}
	i.when = now
	i.t.timers.set(i.who, now)
}

// crawls per second of a slow connection.
const crawls = 2

// crawl sends and reads a few bytes.
func (i *idler) crawl(now int64) int64 {
	few := max(1, i.t.run.w.SlowBytes/crawls)
	if !i.send(now, few) {
		return never
	}
	i.read(now, min(few, len(i.t.scratch)))
	i.when += 1e9 / crawls
	if i.state == broken {
		return never
	}
	return i.when
}

func (i *idler) reroute(int64)   {}
func (i *idler) over(int64) bool { return true }

func (i *idler) close() {
	if i.fd >= 0 {
		_ = unix.Close(i.fd)
		i.fd = -1
	}
}

// addIdlers spreads the silent and slow connections over the threads. They are opened one after
// the other, from the begin of the load on.
func (r *run) addIdlers() error {
	n := r.w.Idle + r.w.Slow
	if n == 0 {
		return nil
	}
	if err := raiseOpenFiles(n + r.lanes + 256); err != nil {
		return err
	}
	r.hello = hello()
	// Slow ones lie evenly between silent ones.
	for k := range n {
		t := r.threads[k%len(r.threads)]
		i := &idler{t: t, number: k, fd: -1, slow: (k+1)*r.w.Slow/n > k*r.w.Slow/n}
		i.who = t.join(i)
	}
	return nil
}

// raiseOpenFiles lifts the limit of open files as far as is needed and allowed.
func raiseOpenFiles(need int) error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil || limit.Cur >= uint64(need) {
		return nil
	}
	limit.Cur = min(max(limit.Max, limit.Cur), max(limit.Cur, uint64(need)))
	_ = unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)
	if limit.Cur < uint64(need) {
		return fmt.Errorf("raw: %d connections need as many open files, and the limit is %d: raise it "+
			"(ulimit -n %d)", need, limit.Max, need)
	}
	return nil
}

// idleAddr is where an idle connection leads: each broker has as many.
func (r *run) idleAddr(number int) string {
	b := r.routing.Load().brokers
	return b[number%len(b)].addr
}
