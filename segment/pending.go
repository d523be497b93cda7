package segment

import (
	"millrace/segment/seal"
)

// A few index entries and sums of an active segment are not worth three writes of files: with
// thousands of partitions these would cost more than the data. They stay in memory, and
// travel in the checkpoint until there are more of them:
//
//	offsets u32, times u32, pieces u32, then offset i64 and position u32 of each,
//	time i64 and offset i64, begin i64, end i64, next offset i64 and sum u32

const (
	pendingHead   = 12
	pendingOffset = 12
	pendingTime   = 16
	pendingPiece  = 28
	// leastPending is how much of it a segment may have: that of about 100 KiB of small
	// batches, and up to pendingSteps times as much. Otherwise thousands of partitions that
	// grow alike would get their files in the same sweep.
	leastPending = 512
	pendingSteps = 16
)

// pendingSize is what a segment's entries that are not in its files would take.
func (g *seg) pendingSize() int {
	return pendingHead + len(g.index.fresh)*pendingOffset + len(g.index.freshT)*pendingTime +
		len(g.sums.fresh)*pendingPiece
}

// staysPending says whether a sweep leaves them where they are.
func (g *seg) staysPending(final bool) bool {
	return !g.sealed && !final && g.pendingSize() <= leastPending*(1+g.log.slot%pendingSteps)
}

func (g *seg) appendPending(b []byte) []byte {
	x := &g.index
	if g.pendingSize() == pendingHead {
		return b
	}
	b = le.AppendUint32(b, uint32(len(x.fresh)))
	b = le.AppendUint32(b, uint32(len(x.freshT)))
	b = le.AppendUint32(b, uint32(len(g.sums.fresh)))
	for _, e := range x.fresh {
		b = le.AppendUint32(le.AppendUint64(b, uint64(e.offset)), uint32(e.pos))
	}
	for _, e := range x.freshT {
		b = le.AppendUint64(le.AppendUint64(b, uint64(e.time)), uint64(e.offset))
	}
	for _, p := range g.sums.fresh {
		for _, v := range [...]int64{p.Begin, p.End, p.Next} {
			b = le.AppendUint64(b, uint64(v))
		}
		b = le.AppendUint32(b, p.Sum)
	}
	return b
}

// restorePending takes over what appendPending wrote. False: it cannot be of this segment.
func (g *seg) restorePending(b []byte) bool {
	if len(b) == 0 {
		return true
	}
	if len(b) < pendingHead || g.sealed {
		return false
	}
	n, times, pieces := uint64(le.Uint32(b)), uint64(le.Uint32(b[4:])), uint64(le.Uint32(b[8:]))
	b = b[pendingHead:]
	if uint64(len(b)) != n*pendingOffset+times*pendingTime+pieces*pendingPiece {
		return false
	}
	last := offsetEntry{offset: g.base - 1, pos: -1}
	for ; n > 0; n-- {
		e := offsetEntry{int64(le.Uint64(b)), int32(le.Uint32(b[8:]))}
		if e.offset <= last.offset || e.pos <= last.pos || e.offset >= g.end || int64(e.pos) >= g.size {
			return false
		}
		g.index.fresh, last, b = append(g.index.fresh, e), e, b[pendingOffset:]
	}
	for ; times > 0; times-- {
		e := timeEntry{int64(le.Uint64(b)), int64(le.Uint64(b[8:]))}
		if e.offset < g.base || e.offset >= g.end {
			return false
		}
		g.index.freshT, b = append(g.index.freshT, e), b[pendingTime:]
	}
	for ; pieces > 0; pieces-- {
		p := seal.Piece{Begin: int64(le.Uint64(b)), End: int64(le.Uint64(b[8:])),
			Next: int64(le.Uint64(b[16:])), Sum: le.Uint32(b[24:])}
		if p.Begin >= p.End || p.End > g.sums.run.Begin || p.Next > g.end {
			return false
		}
		g.sums.fresh, b = append(g.sums.fresh, p), b[pendingPiece:]
	}
	return true
}
