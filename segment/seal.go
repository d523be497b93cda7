package segment

import (
	"sort"

	"millrace/segment/seal"
)

// sealing is what is known of a segment's .sums file, and what is not yet in it: the
// sums of its pieces, which reads from the disk are held against (segment/seal).
type sealing struct {
	run     seal.Running // of the piece that the next batch goes to
	seed    seal.Seed
	filed   int64 // entries in .sums
	fresh   []seal.Piece
	closed  bool // the file has its trailer
	unknown bool // no sums: they were lost, or cut, or never made
}

func (l *Log) sealID(base int64) seal.ID {
	return seal.ID{Topic: l.TP.Topic, Partition: l.TP.Partition, Base: base}
}

func (g *seg) sealID() seal.ID { return g.log.sealID(g.base) }

func (x *sealing) init(id seal.ID) {
	x.seed = id.Seed()
	x.run = x.seed.At(0)
}

// batch adds a stamped batch; the segment has it already.
//
//hot:noalloc
func (x *sealing) batch(g *seg, v []byte) {
	x.run.Batch(v)
	if x.run.Full(g.size) {
		x.close(g)
	}
}

// close ends the running piece at the segment's end.
func (x *sealing) close(g *seg) {
	x.fresh = append(x.fresh, seal.Piece{
		Begin: x.run.Begin, End: g.size, Next: g.end, Sum: x.run.Sum,
	})
	x.run = x.seed.At(g.size)
}

// seal ends the last piece: the segment is sealed.
func (x *sealing) seal(g *seg) {
	if x.run.Begin < g.size && !x.unknown {
		x.close(g)
	}
}

// cutTo forgets what is known: the sum of a part of a piece cannot be told from that
// of the whole. A later reader builds it anew from the file.
func (x *sealing) cutTo(pos int64) {
	if pos < x.run.Begin || len(x.fresh) > 0 || x.filed > 0 || x.run.Begin < pos {
		*x = sealing{unknown: true}
	}
}

// pending says whether a sweep has something to add to the file.
func (x *sealing) pending(sealed bool) bool {
	return !x.unknown && (len(x.fresh) > 0 || sealed && !x.closed)
}

// note puts what the file lacks into a sweep's write; iw has the index entries.
func (x *sealing) note(g *seg, iw *indexWrite) {
	id := g.sealID()
	iw.nSums = len(x.fresh)
	if x.filed == 0 {
		iw.sums = seal.Header(id)
	} else {
		iw.sumsAt = seal.HeaderSize + x.filed*seal.EntrySize
	}
	iw.sums = seal.AppendEntries(iw.sums, id, x.filed, x.fresh)
	if !g.sealed {
		return
	}
	iw.closes = true
	iw.sums = seal.AppendTrailer(iw.sums, id, &seal.Trailer{
		Entries: x.filed + int64(len(x.fresh)), Size: g.size, Next: g.end,
		Index: iw.offsetAt + int64(len(iw.offsets)), Times: iw.timeAt + int64(len(iw.times)),
		IndexSum: iw.offsetSum, TimesSum: iw.timeSum,
	})
}

// persisted forgets pieces that are in the file now.
func (x *sealing) persisted(iw *indexWrite) {
	if x.unknown || iw.nSums == 0 && !iw.closes {
		return
	}
	x.fresh = append(x.fresh[:0], x.fresh[iw.nSums:]...)
	x.filed += int64(iw.nSums)
	x.closed = x.closed || iw.closes
}

// pieces is how many there are; −1: unknown.
func (x *sealing) pieces() int64 {
	if x.unknown {
		return -1
	}
	return x.filed + int64(len(x.fresh))
}

// restore takes over what a checkpoint says.
func (x *sealing) restore(id seal.ID, r *segRecord) {
	if r.sums < 0 {
		*x = sealing{unknown: true}
		return
	}
	*x = sealing{
		run: seal.Running{Begin: r.sumBegin, Sum: r.sum}, seed: id.Seed(), filed: r.sums,
		closed: r.finished,
	}
}

// piece is the one that holds a position: from the file's table, from those that are
// not in it yet, or the one that is still growing, as it is now. False when nothing is
// known of it.
func (g *seg) piece(t *seal.Table, pos int64) (seal.Piece, bool) {
	x := &g.sums
	if x.unknown {
		return seal.Piece{}, false
	}
	if pos >= x.run.Begin {
		return seal.Piece{Begin: x.run.Begin, End: g.size, Next: g.end, Sum: x.run.Sum},
			pos < g.size
	}
	if n := len(x.fresh); n > 0 && x.fresh[0].Begin <= pos {
		return x.fresh[sort.Search(n, func(i int) bool { return x.fresh[i].End > pos })], true
	}
	return t.Find(pos)
}

// needTable says whether what a reader needs of the sums is in a file, or has to be made.
func (x *sealing) needTable(g *seg) bool { return x.filed > 0 || x.unknown && g.finished }

// checkPiece says which rule the bytes of a piece break, "" for none.
func (g *seg) checkPiece(p seal.Piece, b []byte) (rule string) {
	return seal.Check(g.sealID(), p, b)
}
