// Package producer is the idempotent producers' state of one partition.
package producer

// Code is the verdict on a batch.
type Code uint8

const (
	Accept       Code = iota
	Duplicate         // one of the last five: answer success with the original BaseOffset, once LastOffset is durable
	StaleEpoch        // INVALID_PRODUCER_EPOCH
	OutOfOrder        // OUT_OF_ORDER_SEQUENCE_NUMBER
	OldDuplicate      // DUPLICATE_SEQUENCE_NUMBER: older than the window
)

// Verdict of Check.
type Verdict struct {
	Code       Code
	BaseOffset int64 // of the original, for Duplicate
	LastOffset int64 // of the original, for Duplicate: wait until it is durable
	Timestamp  int64 // of the original, for Duplicate
}

// State is one partition's producers. The zero value is empty and ready.
type State struct{}

// Check judges a batch with a producer id, against staged batches too.
func (s *State) Check(pid int64, epoch int16, baseSeq, count int32, now int64) Verdict { panic("soon") }

// Batch is what Note remembers.
type Batch struct {
	PID        int64
	Epoch      int16
	BaseSeq    int32
	Count      int32
	BaseOffset int64
	Timestamp  int64 // the batch's max timestamp
}

// Note remembers an appended batch; one at or below the last noted offset is skipped (replay).
func (s *State) Note(b Batch, now int64) { panic("soon") }

// Expire forgets producers not seen for longer than expirationMillis.
func (s *State) Expire(now, expirationMillis int64) { panic("soon") }

// TruncateTo forgets batches at or beyond end.
func (s *State) TruncateTo(end int64) { panic("soon") }

// Len is the number of producers known.
func (s *State) Len() int { panic("soon") }

// Info is one producer for DescribeProducers.
type Info struct {
	PID              int64
	Epoch            int16
	CoordinatorEpoch int32
	LastSeq          int32
	LastTimestamp    int64
	TxnStartOffset   int64 // -1: none
}

// Each calls f for every producer, in order of id.
func (s *State) Each(f func(Info)) { panic("soon") }

// Encode appends the state to dst.
func (s *State) Encode(dst []byte) []byte { panic("soon") }

// Decode replaces the state by what Encode wrote; b must be used up exactly.
func (s *State) Decode(b []byte) error { panic("soon") }
