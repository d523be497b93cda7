package hot

import "millrace/protocol"

// FetchResult is the answer for one partition, without its records.
type FetchResult struct {
	Index         int32
	Code          protocol.Code
	HighWatermark int64
	LastStable    int64
	LogStart      int64
	Aborted       []Aborted // nil is null; sorted by FirstOffset
	Preferred     int32     // read replica, −1: none
	Records       int       // bytes that follow, perhaps none

	DivergingEpoch EpochEnd // version 12 and later, as the next two
	Leader         Leader
	Snapshot       EpochEnd
}

// Aborted is an aborted transaction inside the fetched range.
type Aborted struct {
	ProducerID  int64
	FirstOffset int64
}

// EpochEnd is an epoch and the offset where it ends. The zero value is: not said.
type EpochEnd struct {
	Known bool
	Epoch int32
	End   int64
}

// FetchWriter appends one Fetch answer, with its size prefix and header, but
// without records: Begin, then for each topic Topic and its Partitions, then End.
type FetchWriter struct {
	b        []byte
	start    int
	version  int16
	flexible bool
	inTopic  bool // its tag buffer is still to be written
	records  int  // bytes sent from elsewhere so far
}

// The most that parts of a Fetch answer take, beside strings and records.
const (
	FetchAnswerMax    = ResponseHeaderMax + 4 + 2 + 4 + 5 + 1 // header to topics, tags
	FetchTopicMax     = 16 + 5 + 1                            // id or length of a name, partitions, tags
	FetchPartitionMax = 4 + 2 + 3*8 + 5 + 4 + 5 + 1 + (2 + 13) + (2 + 9) + (2 + 13)
	AbortedMax        = 8 + 8 + 1
)

// Begin starts an answer at the end of dst, which should have capacity left for it.
// Code and session need version 7.
func (w *FetchWriter) Begin(dst []byte, version int16, correlation, throttleMillis int32,
	code protocol.Code, session int32, topics int) {
	*w = FetchWriter{start: len(dst), version: version,
		flexible: protocol.Fetch.IsFlexible(version)}
	w.b = AppendResponseHeader(dst, protocol.Fetch, version, correlation)
	w.b = appendInt32(w.b, throttleMillis)
	if version >= 7 {
		w.b = appendInt16(w.b, int16(code))
		w.b = appendInt32(w.b, session)
	}
	w.b = appendCount(w.b, topics, w.flexible)
}

// Topic starts a topic: by name up to version 12, by id after.
func (w *FetchWriter) Topic(name []byte, id protocol.TopicID, partitions int) {
	w.endTopic()
	if w.version >= 13 {
		w.b = append(w.b, id[:]...)
	} else {
		w.b = appendString(w.b, name, w.flexible)
	}
	w.b = appendCount(w.b, partitions, w.flexible)
	w.inTopic = true
}

func (w *FetchWriter) endTopic() {
	if w.inTopic && w.flexible {
		w.b = append(w.b, 0)
	}
	w.inTopic = false
}

// Partition appends one partition's answer up to its records, and says at which
// position of dst p.Records bytes are to be sent from elsewhere (I4).
func (w *FetchWriter) Partition(p *FetchResult) (cut int) {
	b := appendInt32(w.b, p.Index)
	b = appendInt16(b, int16(p.Code))
	b = appendInt64(b, p.HighWatermark)
	b = appendInt64(b, p.LastStable)
	if w.version >= 5 {
		b = appendInt64(b, p.LogStart)
	}
	b = w.aborted(b, p.Aborted)
	if w.version >= 11 {
		b = appendInt32(b, p.Preferred)
	}
	if w.flexible {
		b = appendUvarint(b, uint32(p.Records)+1)
	} else {
		b = appendInt32(b, int32(p.Records))
	}
	cut = len(b)
	w.records += p.Records
	if w.flexible {
		b = appendPartitionTags(b, p)
	}
	w.b = b
	return cut
}

func (w *FetchWriter) aborted(b []byte, list []Aborted) []byte {
	switch {
	case list != nil:
		b = appendCount(b, len(list), w.flexible)
	case w.flexible:
		b = append(b, 0)
	default:
		b = appendInt32(b, -1)
	}
	for i := range list {
		b = appendInt64(b, list[i].ProducerID)
		b = appendInt64(b, list[i].FirstOffset)
		if w.flexible {
			b = append(b, 0)
		}
	}
	return b
}

// appendPartitionTags writes 0 DivergingEpoch, 1 CurrentLeader, 2 SnapshotId.
func appendPartitionTags(b []byte, p *FetchResult) []byte {
	at := len(b)
	b = append(b, 0)
	if p.DivergingEpoch.Known {
		b[at]++
		b = append(b, 0, 4+8+1)
		b = appendInt32(b, p.DivergingEpoch.Epoch)
		b = appendInt64(b, p.DivergingEpoch.End)
		b = append(b, 0)
	}
	if p.Leader.Known {
		b[at]++
		b = appendLeader(b, 1, p.Leader)
	}
	if p.Snapshot.Known {
		b[at]++
		b = append(b, 2, 8+4+1)
		b = appendInt64(b, p.Snapshot.End)
		b = appendInt32(b, p.Snapshot.Epoch)
		b = append(b, 0)
	}
	return b
}

// End completes the frame and returns dst with it. Its size counts the records.
func (w *FetchWriter) End(nodes []Endpoint) []byte {
	w.endTopic()
	if w.flexible {
		w.b = appendEndpoints(w.b, nodes, w.version >= 16)
	}
	SetSize(w.b[w.start:], w.records)
	return w.b
}
