package batch

// Header is one header of a record.
type Header struct {
	Key   []byte
	Value []byte // nil is null
}

// Options describe the batch that a Builder makes.
type Options struct {
	Codec         Codec
	Level         int // of the codec; 0 is its default
	BaseOffset    int64
	LeaderEpoch   int32
	LogAppendTime bool
	Transactional bool
	Control       bool
	ProducerID    int64 // used only when Idempotent
	ProducerEpoch int16
	BaseSequence  int32
	Idempotent    bool
}

// Builder makes one batch of records. Its memory is reused after Reset.
type Builder struct {
	o   Options
	buf []byte
}

// Reset begins a batch.
func (b *Builder) Reset(o Options) { panic("not yet") }

// Add appends one record. Nil key or value is null. Its bytes are copied.
func (b *Builder) Add(millis int64, key, value []byte, headers []Header) { panic("not yet") }

// Count is how many records were added.
func (b *Builder) Count() int { panic("not yet") }

// Size is the bytes so far, before compression.
func (b *Builder) Size() int { panic("not yet") }

// Finish writes the header and returns the batch, valid until the next Reset.
func (b *Builder) Finish() (View, error) { panic("not yet") }
