package hot

import "millrace/protocol"

// ProduceResult is what happened to one partition of a Produce request.
type ProduceResult struct {
	Index        int32
	Code         protocol.Code
	BaseOffset   int64
	AppendMillis int64 // −1 unless the topic has LogAppendTime
	LogStart     int64
	RecordErrors []RecordError // version 8 and later
	Message      string        // version 8 and later; "" is null
	Leader       Leader        // version 10 and later, with NotLeaderOrFollower
}

// RecordError names a record because of which its batch was dropped (KIP-467).
type RecordError struct {
	Index   int32
	Message string // "" is null
}

// Leader is a partition's current leader (KIP-951). The zero value is: not said.
type Leader struct {
	Known bool
	ID    int32
	Epoch int32
}

// Endpoint is where a broker listens (KIP-951).
type Endpoint struct {
	ID   int32
	Host string
	Port int32
	Rack string // "" is null
}

// ProduceWriter appends one Produce answer, with its size prefix and header:
// Begin, then for each topic Topic and its Partitions, then End.
type ProduceWriter struct {
	b        []byte
	start    int
	version  int16
	flexible bool
	inTopic  bool // its tag buffer is still to be written
}

// The most that parts of a Produce answer take, beside strings.
const (
	ProduceAnswerMax    = ResponseHeaderMax + 5 + 4 + 1 // header, topics, throttle, tags
	ProduceTopicMax     = 16 + 5 + 1                    // id or length of a name, partitions, tags
	ProducePartitionMax = 4 + 2 + 8 + 8 + 8 + 5 + 5 + 1 + 2 + 9 + 1
	RecordErrorMax      = 4 + 5 + 1
	EndpointMax         = 4 + 5 + 4 + 5 + 1
	EndpointsMax        = 2 + 5 + 5 // tag, size, count
)

// Begin starts an answer at the end of dst, which should have capacity left for it.
func (w *ProduceWriter) Begin(dst []byte, version int16, correlation int32, topics int) {
	*w = ProduceWriter{start: len(dst), version: version,
		flexible: protocol.Produce.IsFlexible(version)}
	w.b = AppendResponseHeader(dst, protocol.Produce, version, correlation)
	w.b = appendCount(w.b, topics, w.flexible)
}

// Topic starts a topic: by name up to version 12, by id after.
func (w *ProduceWriter) Topic(name []byte, id protocol.TopicID, partitions int) {
	w.endTopic()
	if w.version >= 13 {
		w.b = append(w.b, id[:]...)
	} else {
		w.b = appendString(w.b, name, w.flexible)
	}
	w.b = appendCount(w.b, partitions, w.flexible)
	w.inTopic = true
}

func (w *ProduceWriter) endTopic() {
	if w.inTopic && w.flexible {
		w.b = append(w.b, 0)
	}
	w.inTopic = false
}

// Partition appends one partition's result.
func (w *ProduceWriter) Partition(p *ProduceResult) {
	b := appendInt32(w.b, p.Index)
	b = appendInt16(b, int16(p.Code))
	b = appendInt64(b, p.BaseOffset)
	b = appendInt64(b, p.AppendMillis)
	if w.version >= 5 {
		b = appendInt64(b, p.LogStart)
	}
	if w.version >= 8 {
		b = appendCount(b, len(p.RecordErrors), w.flexible)
		for i := range p.RecordErrors {
			e := &p.RecordErrors[i]
			b = appendInt32(b, e.Index)
			b = appendNullable(b, e.Message, w.flexible)
			if w.flexible {
				b = append(b, 0)
			}
		}
		b = appendNullable(b, p.Message, w.flexible)
	}
	switch {
	case w.version >= 10 && p.Leader.Known:
		b = append(b, 1)
		b = appendLeader(b, 0, p.Leader)
	case w.flexible:
		b = append(b, 0)
	}
	w.b = b
}

// End completes the frame and returns dst with it.
func (w *ProduceWriter) End(throttleMillis int32, nodes []Endpoint) []byte {
	w.endTopic()
	w.b = appendInt32(w.b, throttleMillis)
	if w.flexible {
		w.b = appendEndpoints(w.b, nodes, w.version >= 10)
	}
	SetSize(w.b[w.start:], 0)
	return w.b
}
