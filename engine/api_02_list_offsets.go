package engine

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/protocol"
	"millrace/segment"
)

// Timestamps of ListOffsets that are not times.
const (
	tsLatest        = -1
	tsEarliest      = -2
	tsMax           = -3 // the record with the greatest time (KIP-734)
	tsEarliestLocal = -4 // KIP-405
	tsLatestTiered  = -5 // KIP-1005
	tsPendingUpload = -6 // KIP-1023
)

// timestampSince is the first version that knows each of them.
var timestampSince = map[int64]int16{
	tsLatest: 1, tsEarliest: 1, tsMax: 7, tsEarliestLocal: 8, tsLatestTiered: 9, tsPendingUpload: 11,
}

func knowsTimestamp(version int16, ts int64) bool {
	since, known := timestampSince[ts]
	return known && version >= since
}

// listOffsets finds offsets: the ends, or the first record from a time on.
func (c *Core) listOffsets(rq *Request, req *kmsg.ListOffsetsRequest) {
	resp := kmsg.NewPtrListOffsetsResponse()
	dups := duplicates(req)
	var spots []spot
	var wants []*kmsg.ListOffsetsRequestTopicPartition
	var places []*kmsg.ListOffsetsResponseTopicPartition
	resp.Topics = make([]kmsg.ListOffsetsResponseTopic, len(req.Topics))
	for i := range req.Topics {
		t, rt := &req.Topics[i], &resp.Topics[i]
		rt.Topic = t.Topic
		rt.Partitions = make([]kmsg.ListOffsetsResponseTopicPartition, len(t.Partitions))
		top := c.topics.byName[t.Topic]
		for j := range t.Partitions {
			p, rp := &t.Partitions[j], &rt.Partitions[j]
			rp.Default()
			rp.Partition = p.Partition
			tp, core, ok := c.partitionAt(top, p.Partition)
			switch {
			case dups[namedPartition{t.Topic, p.Partition}] > 1:
				rp.ErrorCode = int16(protocol.InvalidRequest)
			case p.Timestamp < 0 && !knowsTimestamp(rq.Version, p.Timestamp):
				rp.ErrorCode = int16(protocol.UnsupportedVersion)
			case !ok:
				rp.ErrorCode = int16(protocol.UnknownTopicOrPartition)
			default:
				spots = append(spots, spot{tp, core, len(wants)})
				wants, places = append(wants, p), append(places, rp)
			}
		}
	}
	committed := req.IsolationLevel == 1
	c.visit(spots, func(on *Core, part *partition, at int, ok func()) {
		if part == nil {
			places[at].ErrorCode = int16(protocol.UnknownTopicOrPartition)
			ok()
			return
		}
		on.listOffset(part, wants[at], committed, places[at], ok)
	}, func() { rq.Answer(resp) })
}

type namedPartition struct {
	topic string
	index int32
}

func duplicates(req *kmsg.ListOffsetsRequest) map[namedPartition]int {
	seen := make(map[namedPartition]int)
	for i := range req.Topics {
		t := &req.Topics[i]
		for j := range t.Partitions {
			seen[namedPartition{t.Topic, t.Partitions[j].Partition}]++
		}
	}
	return seen
}

// listOffset answers one partition of this core; ok is called when rp is filled.
func (c *Core) listOffset(part *partition, want *kmsg.ListOffsetsRequestTopicPartition, committed bool,
	rp *kmsg.ListOffsetsResponseTopicPartition, ok func()) {
	if code := epochCode(want.CurrentLeaderEpoch, part.epoch); code != protocol.None {
		rp.ErrorCode = int16(code)
		ok()
		return
	}
	m := part.log.Marks()
	limit := m.High
	if committed {
		limit = m.Stable
	}
	var id uint32
	switch want.Timestamp {
	case tsLatest:
		rp.Offset, rp.LeaderEpoch = limit, part.epochAt(limit)
		ok()
		return
	case tsEarliest, tsEarliestLocal:
		rp.Offset, rp.LeaderEpoch = m.Start, part.epochAt(m.Start)
		ok()
		return
	case tsLatestTiered, tsPendingUpload: // nothing is tiered
		ok()
		return
	case tsMax:
		id = c.shard.FindMaxTime(part.log)
	default:
		id = c.shard.FindTime(part.log, want.Timestamp)
	}
	c.fetches.finds[id] = func(_ *Core, r segment.Result) {
		rp.ErrorCode = int16(r.Code)
		if r.Code == protocol.None && r.Offset >= 0 && r.Offset < limit {
			rp.Offset, rp.Timestamp, rp.LeaderEpoch = r.Offset, r.Time, r.Epoch
		}
		ok()
	}
}

// epochAt is the leader epoch of the record at offset, or of the next one to come.
func (p *partition) epochAt(offset int64) int32 {
	if e := p.log.Epochs().At(offset); e >= 0 && offset < p.log.Marks().End {
		return e
	}
	return p.epoch
}
