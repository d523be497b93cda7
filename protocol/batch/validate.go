package batch

import "millrace/protocol"

// Limits are what one Produce request and its topic's configuration allow.
type Limits struct {
	MaxBytes      int   // max.message.bytes
	Version       int16 // of the Produce request: zstd needs 7
	Now           int64 // ms
	BeforeMax     int64 // message.timestamp.before.max.ms
	AfterMax      int64 // message.timestamp.after.max.ms
	LogAppendTime bool  // message.timestamp.type: clients' times are not looked at
	Compacted     bool  // cleanup.policy has compact: keys are required (cold check)
	Replicated    bool  // bytes of a leader: control batches are allowed
}

// Validate checks one batch of a Produce request by its header, as Kafka's
// LogValidator does, without looking at records.
func Validate(v View, l *Limits) protocol.Code { panic("not yet") }
