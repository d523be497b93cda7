package hot

import "millrace/protocol"

// ProduceRequest is a Produce request of version 3 to 13 over its bytes. It may be
// reused; Parse overwrites everything.
//
//	for r.NextTopic() {
//		for r.NextPartition() {
//			use(r.Topic, r.Partition)
//		}
//	}
type ProduceRequest struct {
	TransactionalID []byte // nil is null
	Acks            int16
	TimeoutMillis   int32

	Topics     int // how many there are
	Partitions int // in all topics together
	NameBytes  int // of all topic names
	Records    int // bytes of all partitions

	Topic     ProduceTopic     // after NextTopic
	Partition ProducePartition // after NextPartition

	version  int16
	flexible bool
	start    reader // at the first topic
	r        reader
	topics   int // left
	parts    int // left in the topic
}

// ProduceTopic is one topic of the request: a name up to version 12, an id after.
type ProduceTopic struct {
	Name       []byte
	ID         protocol.TopicID
	Partitions int
}

// ProducePartition is one partition's records: usually one batch. Nil is null.
type ProducePartition struct {
	Index   int32
	Records []byte
}

// Parse checks the whole body and leaves the iteration before the first topic.
func (q *ProduceRequest) Parse(version int16, body []byte) error { panic("not yet") }

// Rewind goes back before the first topic.
func (q *ProduceRequest) Rewind() { panic("not yet") }

// NextTopic moves to the next topic, leaving out partitions that were not visited.
func (q *ProduceRequest) NextTopic() bool { panic("not yet") }

// NextPartition moves to the next partition of the topic.
func (q *ProduceRequest) NextPartition() bool { panic("not yet") }

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
	version  int16
	flexible bool
	open     bool // a topic's tag buffer is still to be written
}

// Begin starts an answer at the end of dst, which should have capacity left for it.
func (w *ProduceWriter) Begin(dst []byte, version int16, correlation int32, topics int) {
	panic("not yet")
}

// Topic starts a topic: by name up to version 12, by id after.
func (w *ProduceWriter) Topic(name []byte, id protocol.TopicID, partitions int) { panic("not yet") }

// Partition appends one partition's result.
func (w *ProduceWriter) Partition(p *ProduceResult) { panic("not yet") }

// End completes the frame and returns dst with it.
func (w *ProduceWriter) End(throttleMillis int32, nodes []Endpoint) []byte { panic("not yet") }
