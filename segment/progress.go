package segment

import (
	"log/slog"
	"sync/atomic"

	"millrace/internal/clock"
)

// step is one part of Open.
type step struct {
	what string
	do   func() error
}

// progress tells how far Open is once it takes longer than a second.
type progress struct {
	log   *slog.Logger
	now   func() clock.Now
	what  string
	first clock.Instant
	begun clock.Instant
	total int64
	done  atomic.Int64
	told  atomic.Int64 // when the last line was written
}

const tellEvery = clock.Instant(1_000_000_000)

func (p *progress) begin(what string) {
	t := p.now().Mono
	if p.first == 0 {
		p.first = t
		p.told.Store(int64(t))
	}
	p.what, p.begun, p.total = what, t, 0
	p.done.Store(0)
}

func (p *progress) end() {
	t := p.now().Mono
	p.log.Debug("storage is opening", "done", p.what, "ms", t.Sub(p.begun).Milliseconds())
	p.tell(t)
}

// of says of how many bytes, files or logs the step is.
func (p *progress) of(total int64) { p.total = total }

// add notes work done; from any goroutine.
func (p *progress) add(n int64) {
	p.done.Add(n)
	p.tell(p.now().Mono)
}

func (p *progress) tell(t clock.Instant) {
	last := p.told.Load()
	if int64(t)-last < int64(tellEvery) || !p.told.CompareAndSwap(last, int64(t)) {
		return
	}
	p.log.Info("storage is opening", "at", p.what, "done", p.done.Load(), "of", p.total,
		"seconds", t.Sub(p.first).Seconds())
}
