package segment

import (
	"hash/crc32"

	"millrace/internal/arena"
	"millrace/internal/mutant"
	"millrace/protocol/batch"
	"millrace/segment/seal"
)

// walker goes over the batches of a segment wherever its bytes are: in stretches of
// the file, and from mem on in the tail.
type walker struct {
	s    *Shard
	log  *Log
	seg  *seg
	mem  int64 // positions from here on are in the tail,
	abs  int64 // at position + abs there
	at   int64 // position of b[0]
	b    []byte
	buf  *arena.Buf // that b lies in
	st   *stretch   // that b lies in; nil: the tail
	head [batch.HeaderSize]byte
}

func (w *walker) begin(s *Shard, l *Log, g *seg) {
	mem, abs := l.memoryOf(g)
	*w = walker{s: s, log: l, seg: g, mem: mem, abs: abs - mem, at: -1}
}

// seek makes b begin at pos. False: it is not in memory.
func (w *walker) seek(pos int64) bool {
	if skip := pos - w.at; w.b != nil && skip >= 0 && skip < int64(len(w.b)) {
		w.at, w.b = pos, w.b[skip:]
		return true
	}
	if pos >= w.mem {
		live := w.log.tail.live()
		i := chunkOf(live, pos+w.abs)
		if i < 0 {
			return false
		}
		c := live[i]
		from := pos + w.abs - c.abs
		if c.seg != w.seg || from >= int64(c.n) {
			return false
		}
		w.at, w.b, w.buf, w.st = pos, c.mem[from:c.n], c.buf, nil
		return true
	}
	st := w.seg.stretchAt(pos)
	if st == nil || st.have <= pos {
		return false
	}
	if w.st != st {
		w.s.cold.touch(st)
	}
	w.at, w.b, w.buf, w.st = pos, st.buf.Mem[pos-st.pos:st.have-st.pos], st.buf, st
	return true
}

// missing is the first position in [pos, end) that is not in memory, −1: none.
func (w *walker) missing(pos, end int64) int64 {
	for pos < end {
		if !w.seek(pos) {
			return pos
		}
		pos += int64(len(w.b))
	}
	return -1
}

// header is the header of the batch at pos, which is in memory.
func (w *walker) header(pos int64) batch.View {
	w.seek(pos)
	if len(w.b) >= batch.HeaderSize {
		return batch.View(w.b[:batch.HeaderSize])
	}
	n := 0
	for n < batch.HeaderSize {
		w.seek(pos + int64(n))
		n += copy(w.head[n:], w.b)
	}
	return batch.View(w.head[:])
}

// crc is Kafka's, of the batch at pos.
func (w *walker) crc(pos, size int64) uint32 {
	sum := uint32(0)
	end := pos + size
	for pos += batchFirst; pos < end; {
		w.seek(pos)
		b := w.b[:min(int64(len(w.b)), end-pos)]
		sum = crc32.Update(sum, castagnoli, b)
		pos += int64(len(b))
	}
	return sum
}

// copy appends [pos, end).
func (w *walker) copy(dst []byte, pos, end int64) []byte {
	for pos < end {
		w.seek(pos)
		b := w.b[:min(int64(len(w.b)), end-pos)]
		dst = append(dst, b...)
		pos += int64(len(b))
	}
	return dst
}

// extents appends [pos, end) and takes a reference on every piece.
func (w *walker) extents(dst []Extent, pos, end int64) []Extent {
	for pos < end {
		w.seek(pos)
		n := min(int64(len(w.b)), end-pos)
		w.buf.Hold()
		dst = append(dst, Extent{Buf: w.buf, Mem: w.b[:n:n]})
		pos += n
	}
	return dst
}

// walkHead is what a walk needs to know of one batch.
type walkHead struct {
	pos, size   int64
	base, after int64 // offsets: of the first record, and behind the last
	newest      int64 // max timestamp
	crc         uint32
	rule        string // which one the batch breaks, "": none
	unit        int64  // where what must be in memory together begins
	missing     int64  // the first position of it that is not,
	need        int64  // and where it ends
}

// look reads the header of the batch at pos, which is to follow one that ended below
// the offset next (−1: any). False: missing, or against a rule.
func (w *walker) look(pos, next int64) (h walkHead, ok bool) {
	h.pos, h.unit, h.need = pos, pos, pos+batch.HeaderSize
	if h.missing = w.missing(pos, h.need); h.missing >= 0 {
		return h, false
	}
	v := w.header(pos)
	h.size = int64(v.Length()) + batch.LogOverhead
	h.base, h.after, h.newest, h.crc = v.BaseOffset(), v.NextOffset(), v.MaxTimestamp(), v.CRC()
	switch {
	case v.Magic() != batch.Magic2:
		h.rule = "magic"
	case h.size < batch.HeaderSize || h.size > w.seg.size-pos:
		h.rule = "length"
	case h.base < w.seg.base || h.after > w.seg.end || h.after <= h.base:
		h.rule = "offset" // of no batch of this segment
	case next >= 0 && (h.base < next || h.base > next && !w.seg.gaps):
		h.rule = "base offset"
	}
	return h, h.rule == ""
}

// take sees that the whole batch is in memory, and checked since it came from the
// file: with the piece that it belongs to, where sums are known. A position that is not
// known to be exact is no excuse from that.
func (w *walker) take(h *walkHead, exact bool) bool {
	if h.pos < w.mem {
		w.seek(h.pos)
		st := w.st
		if (!exact || h.pos < st.from || h.pos >= st.sure) && !mutant.TrustCold {
			var t seal.Table
			if w.seg.cache != nil {
				t = w.seg.cache.sums
			}
			p, known := w.seg.piece(&t, h.pos)
			if !known {
				p = seal.Piece{Begin: h.pos, End: h.pos + h.size}
			}
			if !w.takePiece(h, &p, known) {
				return false
			}
		}
	}
	h.unit, h.need = h.pos, h.pos+h.size
	h.missing = w.missing(h.pos, h.need)
	return h.missing < 0
}

// takePiece checks a piece, or a batch of which no sum is known.
func (w *walker) takePiece(h *walkHead, p *seal.Piece, known bool) bool {
	h.unit, h.need = p.Begin, p.End
	if h.pos+h.size > p.End || p.End-p.Begin > w.s.pool.Budget()/2 {
		h.rule = "length"
		return false
	}
	if h.missing = w.missing(p.Begin, p.End); h.missing >= 0 {
		return false
	}
	w.s.cold.work -= int(p.Size())
	w.s.stats.ColdChecked += uint64(p.Size())
	run := seal.Begin(w.seg.sealID(), p.Begin)
	var begins [4]int64 // the first batch in every stretch
	n, met := 0, false
	for pos := p.Begin; pos < p.End; {
		v := w.header(pos)
		size := int64(v.Length()) + batch.LogOverhead
		if v.Magic() != batch.Magic2 || size < batch.HeaderSize || size > p.End-pos {
			h.rule = "length"
			return false
		}
		met = met || pos == h.pos
		run.Batch(v)
		sum := v.CRC()
		if pos < w.mem && w.crc(pos, size) != sum {
			h.rule = "crc"
			return false
		}
		if w.seek(pos); n < len(begins) && (n == 0 || w.st != nil && w.st.pos > begins[n-1]) {
			begins[n] = pos
			n++
		}
		pos += size
	}
	switch {
	case known && run.Sum != p.Sum:
		h.rule = "sum"
		return false
	case !met:
		h.rule = "index" // it named no batch
		return false
	}
	for _, pos := range begins[:n] {
		w.vouch(pos, p.End)
	}
	return true
}

// vouch remembers that the batches in [pos, end) are right, as far as the stretch knows
// of them.
func (w *walker) vouch(pos, end int64) {
	if w.seek(pos); w.st == nil {
		return
	}
	switch st := w.st; {
	case st.sure == pos && st.from >= 0:
		st.sure = end
	case st.from == end:
		st.from = pos
	default: // elsewhere: the newer one will be wanted again
		st.from, st.sure = pos, end
	}
}
