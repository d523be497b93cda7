package segment

import (
	"errors"
	"fmt"
	"syscall"

	"millrace/internal/mutant"
	"millrace/internal/vfs"
	"millrace/protocol/batch"
)

// replayer applies the journals' entries to the logs of one core.
type replayer struct {
	s       *Shard
	fs      vfs.FS
	now     int64
	files   map[string]vfs.File
	buf     []byte
	bytes   int64 // applied
	dropped int64
	unknown int64 // entries of topics that are not in the image

	progress *progress
	op       *opening

	// An entry of several fragments.
	open entryHeader
	part []byte
	mine bool
	has  bool
}

func (r *replayer) close() {
	for _, f := range r.files {
		_ = f.Close()
	}
}

// run replays chains in the order of boots.
func (r *replayer) run(all []chain) error {
	defer r.close()
	r.files = map[string]vfs.File{}
	for _, c := range all {
		r.abandon()
		for i := range c.commits {
			ref := &c.commits[i]
			if int(ref.h.cores) == r.s.cores && c.journal.core() != r.s.core {
				continue // none of its entries is ours
			}
			if err := r.commit(ref); err != nil {
				return err
			}
		}
	}
	r.abandon()
	return nil
}

// abandon drops an entry whose last fragment never came: it was not acknowledged.
func (r *replayer) abandon() {
	if r.has {
		r.dropped += int64(len(r.part))
	}
	r.has, r.part = false, nil
}

func (r *replayer) commit(ref *commitRef) error {
	f := r.files[ref.file.name]
	if f == nil {
		var err error
		if f, err = r.fs.Open(ref.file.name, vfs.ReadOnly, false); err != nil {
			return fmt.Errorf("segment: open %s: %w", ref.file.name, err)
		}
		r.files[ref.file.name] = f
	}
	size := int(ref.h.size())
	if cap(r.buf) < size {
		r.buf = make([]byte, min(2*size, maxCommit))
	}
	b := r.buf[:size]
	if _, err := f.ReadAt(b, ref.off); err != nil {
		return fmt.Errorf("segment: read %s: %w", ref.file.name, err)
	}
	if h, ok := parseCommitHeader(b, r.s.o.Directory); !ok || h != ref.h {
		return &CorruptError{ref.file.name, ref.off, "crc"}
	}
	r.progress.add(ref.h.size())
	b, placed := ref.h.parts(b)
	for n := uint32(0); n < ref.h.entries; n++ {
		h, payload, rest, behind, rule := nextEntry(b, placed)
		if rule != "" {
			return &CorruptError{ref.file.name, ref.off + int64(int(ref.h.length)-len(b)), rule}
		}
		if err := r.entry(ref, &h, payload); err != nil {
			return err
		}
		b, placed = rest, behind
	}
	if len(b) != 0 || len(placed) != 0 {
		return &CorruptError{ref.file.name, ref.off, "entries"}
	}
	return nil
}

// entry takes one entry or fragment.
func (r *replayer) entry(ref *commitRef, h *entryHeader, payload []byte) error {
	if h.flags&flagFirst != 0 {
		r.abandon()
		if r.op.stray(h) {
			return &CorruptError{ref.file.name, ref.off, "of a move that nothing else knows"}
		}
		r.mine = r.op.coreOf(h.tp) == r.s.core || mutant.ByName && r.s.logs[h.tp] != nil
		if h.flags&flagMore == 0 {
			if !r.mine {
				return nil
			}
			return r.apply(ref, h, payload)
		}
		r.open, r.has = *h, true
	} else if !r.has {
		return nil // its beginning is in a file that a checkpoint covers
	} else if h.seq != r.open.seq || h.from != r.open.from+r.open.length || h.tp != r.open.tp {
		return &CorruptError{ref.file.name, ref.off, "fragment"}
	}
	if r.mine {
		r.part = append(r.part, payload...)
	}
	r.open.from, r.open.length = h.from, h.length
	if h.flags&flagMore != 0 {
		return nil
	}
	whole := r.part
	r.has, r.part = false, nil
	if !r.mine {
		return nil
	}
	return r.apply(ref, h, whole)
}

// apply does what a whole entry says, unless the log's checkpoint knows it already.
func (r *replayer) apply(ref *commitRef, h *entryHeader, payload []byte) error {
	l := r.s.logs[h.tp]
	if l == nil {
		r.unknown++
		r.dropped += int64(len(payload))
		return nil
	}
	j := ref.h.journal
	if j.boot() < l.known.journal.boot() || j == l.known.journal && h.seq <= l.known.seq {
		if !mutant.StaleLap {
			return nil
		}
	}
	bad := func(rule string) error {
		return &CorruptError{ref.file.name, ref.off,
			fmt.Sprintf("%s-%d offset %d: %s", l.Topic, l.TP.Partition, h.offset, rule)}
	}
	if h.moves != uint16(l.moves) {
		return nil // of a core that had it before
	}
	switch h.kind {
	case kindAppend:
		if rule, err := r.append(l, h, payload); err != nil {
			return err
		} else if rule != "" {
			return bad(rule)
		}
		r.bytes += int64(len(payload))
	case kindStart:
		l.startAt(min(h.offset, l.marks.End))
	case kindTruncate:
		if h.offset > l.marks.End {
			return bad("truncation beyond the end")
		}
		l.cut(h.offset)
	case kindDrop: // the image decides which topics there are
	}
	return nil
}

func (r *replayer) append(l *Log, h *entryHeader, payload []byte) (rule string, err error) {
	v, rest, err := batch.Next(payload)
	switch {
	case err != nil || len(rest) != 0:
		return "length", nil
	case v.BaseOffset() != h.offset || v.LeaderEpoch() != h.epoch:
		return "base offset or epoch", nil
	case v.LastOffsetDelta() < 0:
		return "last offset", nil
	case !v.CheckCRC():
		return "batch crc", nil
	case h.offset != l.marks.End:
		return fmt.Sprintf("%d was expected", l.marks.End), nil
	}
	g := l.active()
	if g == nil || g.sealed || g.base != h.segment {
		if h.segment != h.offset || h.pos != 0 {
			return "segment", nil
		}
		g = l.roll()
	}
	if int64(h.pos) != g.size {
		return "position", nil
	}
	if err := r.makeRoom(len(payload)); err != nil {
		return "", err
	}
	l.take(g, v, r.now)
	l.stagedAbs = l.tail.end
	if l.flushable() {
		l.goalAbs = max(l.goalAbs, l.tail.last().abs)
	}
	return "", nil
}

// makeRoom writes tails out while recovering when the journals hold more than memory
// can: written bytes are found again at the same place by the next recovery.
func (r *replayer) makeRoom(n int) error {
	s := r.s
	for try := 0; !s.memoryFor(int64(n), true); try++ {
		if try == 3 {
			return fmt.Errorf("segment: recovery: %d bytes of memory are too few", s.pool.Budget())
		}
		for _, l := range s.list {
			if l != nil {
				s.flushTo(l, l.tail.end)
			}
		}
		if err := s.settle(); err != nil {
			return err
		}
		if try > 0 {
			s.sw.pressed = true
			s.relieve()
		}
	}
	s.sw.pressed = false
	return nil
}

// settle performs what the flusher wants, blocking.
func (s *Shard) settle() error {
	var out Effects
	for {
		out.Reset()
		s.flush(&out)
		jobs := s.newJobs
		s.newJobs = nil
		if len(out.IO) == 0 && len(jobs) == 0 {
			return s.err
		}
		for _, io := range out.IO {
			s.IODone(io.ID, writeNow(s.ops[io.ID-1].chunk.seg.fd.f, io))
		}
		for _, j := range jobs {
			s.JobDone(j.ID, j.Run())
		}
		if s.err != nil {
			return s.err
		}
		if s.full {
			return fmt.Errorf("segment: recovery: %w", s.why)
		}
	}
}

func writeNow(f vfs.File, io IO) int32 {
	n, err := f.WriteAt(io.Mem, io.Off)
	if err == nil {
		return int32(n)
	}
	var no syscall.Errno
	if errors.As(err, &no) {
		return -int32(no)
	}
	return -int32(syscall.EIO)
}
