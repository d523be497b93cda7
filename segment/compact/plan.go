package compact

import "math"

// Source is one segment that may be cleaned.
type Source struct {
	Base, End  int64 // offsets [Base, End)
	Size       int64 // bytes of .log
	IndexBytes int64 // of .index
	TimeBytes  int64 // of .timeindex
}

// Groups says which neighbours become one new segment: as many as fit one, by Kafka's
// rule. Sources are in order; each group is [from, to) of them.
func Groups(sources []Source, segmentBytes, indexBytes int64) (groups [][2]int) {
	for from := 0; from < len(sources); {
		g := sources[from]
		to := from + 1
		for ; to < len(sources); to++ {
			n := &sources[to]
			if g.Size+n.Size > segmentBytes || g.IndexBytes+n.IndexBytes > indexBytes ||
				g.TimeBytes+n.TimeBytes > indexBytes ||
				n.Size > 0 && n.End-1-g.Base > math.MaxInt32 {
				break
			}
			g.Size += n.Size
			g.IndexBytes += n.IndexBytes
			g.TimeBytes += n.TimeBytes
		}
		groups = append(groups, [2]int{from, to})
		from = to
	}
	return groups
}

// Segment is what the choice of a log looks at.
type Segment struct {
	Base, End int64
	Size      int64
	First     int64 // time of its first batch, −1: none
	MaxTime   int64 // −1: none
}

// Policy is the part of a topic's configuration that decides when it is cleaned.
type Policy struct {
	DirtyRatio float64 // min.cleanable.dirty.ratio
	MinLag     int64   // min.compaction.lag.ms
	MaxLag     int64   // max.compaction.lag.ms
}

// State says how dirty a log is.
type State struct {
	Bound int64   // what lies below may be cleaned
	Dirty int64   // bytes below Bound that were not
	Ratio float64 // of them to all bytes below Bound
	Due   bool    // clean it
	Late  bool    // due because of max.compaction.lag.ms
}

// Judge looks at the segments of a log that are not active and lie below its last
// stable offset, in order. A segment that firstDirty lies in counts as clean and as
// dirty.
func Judge(segs []Segment, firstDirty, now int64, p Policy) (s State) {
	clean, earliest := int64(0), int64(math.MaxInt64)
	young := false // from the first young segment on nothing is touched
	for i := range segs {
		g := &segs[i]
		dirty := g.End > firstDirty
		young = young || dirty && p.MinLag > 0 && g.MaxTime > now-p.MinLag
		if dirty && g.First > 0 {
			earliest = min(earliest, g.First)
		}
		if young {
			continue
		}
		s.Bound = g.End
		if g.Base < firstDirty {
			clean += g.Size
		}
		if dirty {
			s.Dirty += g.Size
		}
	}
	if s.Dirty == 0 {
		return s
	}
	s.Ratio = float64(s.Dirty) / float64(s.Dirty+clean)
	s.Late = p.MaxLag < now && earliest < now-max(p.MaxLag, 0)
	s.Due = s.Late || s.Ratio > p.DirtyRatio
	return s
}
