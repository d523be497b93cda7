package engine

import (
	"log/slog"
	"net/netip"
	"syscall"

	"millrace/internal/clock"
	"millrace/netio"
)

// admission decides about new connections. Only core 0 accepts, so only its admission
// counts.
type admission struct {
	max, perIP int
	total      int
	byHost     map[string]int
	turn       int
	listeners  []int32 // fds by listener index
}

func (a *admission) init(cfg *Config) {
	a.max, a.perIP = cfg.MaxConnections, cfg.MaxConnectionsPerIP
	a.byHost = make(map[string]int)
}

// admit counts a new socket in, or says that a limit refuses it. It is counted by the
// address that the kernel names now: once the peer is gone, it names none.
func (a *admission) admit(c *Core, fd int32) (host string, ok bool) {
	_, host = c.addrs(fd)
	if a.total >= a.max || !isLoopback(host) && a.byHost[host] >= a.perIP {
		c.stats.Refused++
		c.faults.note(c.now.Mono, "refusing connection", host, "too many connections")
		return host, false
	}
	a.total++
	a.byHost[host]++
	return host, true
}

// gone counts a closed connection out.
func (a *admission) gone(host string) {
	a.total--
	if a.byHost[host]--; a.byHost[host] <= 0 {
		delete(a.byHost, host)
	}
}

// nextCore spreads connections in turn.
func (a *admission) nextCore(cores int) int {
	a.turn++
	return (a.turn - 1) % cores
}

// listen starts to accept on every listener.
func (a *admission) listen(c *Core, fds []int32) {
	a.listeners = fds
	for i, fd := range fds {
		c.ops = append(c.ops, netio.Op{
			Kind: netio.OpAccept, Fd: fd, Tag: netio.MakeTag(tagAccept, 0, uint32(i)),
		})
	}
}

// rearm accepts again after an error. Where it may last (descriptors or memory are short)
// it waits a little.
func (a *admission) rearm(c *Core, lsn, res int32) {
	if int(lsn) >= len(a.listeners) {
		return
	}
	again := func(c *Core) {
		c.ops = append(c.ops, netio.Op{
			Kind: netio.OpAccept, Fd: a.listeners[lsn], Tag: netio.MakeTag(tagAccept, 0, uint32(lsn)),
		})
	}
	switch syscall.Errno(-min(res, 0)) {
	case 0, syscall.ECONNABORTED, syscall.EINTR, syscall.EAGAIN:
		again(c)
	default:
		c.faults.note(c.now.Mono, "cannot accept", "", syscall.Errno(-res).Error())
		c.timers.after(c.now.Mono+100_000_000, func(c *Core) {
			if !c.stopping {
				again(c)
			}
		})
	}
}

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// faultLog writes what clients do wrong: a line a second at most, with a count of what
// was left out. It never carries clients' bytes.
type faultLog struct {
	log     *slog.Logger
	next    clock.Instant
	skipped int
}

func newFaultLog(l *slog.Logger) *faultLog { return &faultLog{log: l} }

func (f *faultLog) note(now clock.Instant, what, host, why string) {
	if now < f.next {
		f.skipped++
		return
	}
	f.log.Warn(what, "client", host, "why", why, "more", f.skipped)
	f.next, f.skipped = now+1_000_000_000, 0
}
