package netio

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"golang.org/x/sys/unix"

	"millrace/internal/clock"
)

// stream is one connection whose bytes are a function of their position. Both ends
// are driven by random ops: short and gathered sends, receives that are polled for,
// wait for all, and are cancelled.
type stream struct {
	id       uint32
	a, b     *int32
	out, in  []byte
	sent     int // acknowledged by completions
	got      int
	sending  int // length of the send in flight; 0 = none
	recving  int
	polling  bool
	cancels  bool // the receive or poll in flight was cancelled
	shut     bool
	finished bool
}

const (
	streamBytes         = 1 << 20
	streamChunk         = 300 << 10
	kSend, kRecv, kPoll = 1, 2, 3
)

func (s *stream) byteAt(pos int) byte { return byte(uint32(pos)*2654435761>>13) ^ byte(s.id) }

func TestRandomStreams(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			entries := []int{4, 8, 64, 1024}[seed%4]
			onEngines(t, Options{Entries: entries}, func(t *testing.T, h *harness) {
				randomStreams(t, h, rand.New(rand.NewPCG(seed, 1)))
			})
		})
	}
}

func randomStreams(t *testing.T, h *harness, rnd *rand.Rand) {
	streams := make([]*stream, 8)
	for i := range streams {
		s := &stream{id: uint32(i), out: h.mem(streamChunk), in: h.mem(streamChunk)}
		s.a, s.b = h.tcp()
		streams[i] = s
	}
	var ops []Op
	var buf [16]Completion
	end := clock.Mono().Add(3 * patience)
	for open := len(streams); open > 0; {
		for _, s := range streams {
			ops = s.next(rnd, ops)
		}
		ops = ops[:copy(ops, ops[h.ring.Submit(ops):])]
		n := h.ring.Reap(buf[:1+rnd.IntN(len(buf))], end)
		for _, c := range buf[:n] {
			if c.More {
				t.Fatalf("more: %+v", c)
			}
			s := streams[c.Tag.Slot()]
			if err := s.take(c); err != nil {
				t.Fatalf("stream %d at %d/%d: %v", s.id, s.sent, s.got, err)
			}
			if s.finished {
				s.finished = false
				open--
			}
		}
		if !end.After(clock.Mono()) {
			for _, s := range streams {
				t.Logf("%d: sent %d, got %d, sending %d, receiving %d, polling %v", s.id, s.sent,
					s.got, s.sending, s.recving, s.polling)
			}
			t.Fatal("the streams hang")
		}
	}
	for _, s := range streams {
		if s.sent != streamBytes || s.got != streamBytes {
			t.Fatalf("stream %d: sent %d, got %d", s.id, s.sent, s.got)
		}
	}
}

// next adds the ops that the stream may start now.
func (s *stream) next(rnd *rand.Rand, ops []Op) []Op {
	if s.sending == 0 && !s.shut {
		ops = append(ops, s.nextSend(rnd))
	}
	switch {
	case s.recving == 0 && !s.polling && rnd.IntN(4) == 0:
		s.polling = true
		ops = append(ops, Op{Kind: OpPoll, Fd: *s.b, Tag: MakeTag(kPoll, 0, s.id)})
	case s.recving == 0 && !s.polling:
		s.recving = 1 + rnd.IntN(1<<(1+rnd.IntN(18)))
		ops = append(ops, Op{Kind: OpRecv, Fd: *s.b, Tag: MakeTag(kRecv, 0, s.id),
			Flags: Flags(rnd.IntN(2)) * WaitAll, Mem: s.in[:s.recving]})
	case !s.cancels && rnd.IntN(8) == 0:
		s.cancels = true
		target := MakeTag(kRecv, 0, s.id)
		if s.polling {
			target = MakeTag(kPoll, 0, s.id)
		}
		ops = append(ops, Op{Kind: OpCancel, Target: target})
	}
	return ops
}

// nextSend is a send of random length and form, or the end of the stream.
func (s *stream) nextSend(rnd *rand.Rand) Op {
	n := min(1+rnd.IntN(1<<(1+rnd.IntN(18))), streamBytes-s.sent)
	if n == 0 {
		s.shut = true
		return Op{Kind: OpShutdown, Fd: *s.a}
	}
	s.sending = n
	for i := range n {
		s.out[i] = s.byteAt(s.sent + i)
	}
	op := Op{Kind: OpSend, Fd: *s.a, Tag: MakeTag(kSend, 0, s.id), Flags: Flags(rnd.IntN(2)) * WaitAll}
	if rnd.IntN(2) == 0 {
		op.Mem = s.out[:n]
		return op
	}
	for left := s.out[:n]; len(left) > 0; {
		piece := left[:min(len(left), 1+rnd.IntN(n))]
		op.Vec = append(op.Vec, vecOf(piece)...)
		left = left[len(piece):]
	}
	return op
}

// take checks a completion and books it.
func (s *stream) take(c Completion) error {
	cancelled := c.Res == -int32(unix.ECANCELED)
	switch c.Tag.Kind() {
	case kSend:
		if c.Res <= 0 || int(c.Res) > s.sending {
			return fmt.Errorf("send of %d: %s %d", s.sending, errName(c.Res), c.Res)
		}
		s.sent += int(c.Res)
		s.sending = 0
	case kPoll:
		if c.Res <= 0 && !cancelled {
			return fmt.Errorf("poll: %s", errName(c.Res))
		}
		s.polling, s.cancels = false, false
	case kRecv:
		if c.Res < 0 && !(cancelled && s.cancels) || int(c.Res) > s.recving {
			return fmt.Errorf("receive of %d: %s %d", s.recving, errName(c.Res), c.Res)
		}
		for i := range int(max(c.Res, 0)) {
			if s.in[i] != s.byteAt(s.got+i) {
				return fmt.Errorf("other byte at %d", s.got+i)
			}
		}
		s.got += int(max(c.Res, 0))
		s.recving, s.cancels = 0, false
		if c.Res == 0 {
			s.recving = -1 // no more
			s.finished = true
		}
	default:
		return fmt.Errorf("unknown tag %x", c.Tag)
	}
	return nil
}
