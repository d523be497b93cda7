// Package kafkadir takes over the log directory of a stopped Apache Kafka.
//
// Not its job: agreeing on topics (the caller proposes what Source says to its quorum),
// and formats older than record batches v2.
//
// Data in: a directory that Kafka stopped cleanly. It is only read. Data out: a data
// directory with copies of its segments, side files made from them, and a checkpoint that
// describes them; and what the cluster has to know: topics, their ids and configs.
//
// Invariants:
//
//	I1  Every batch is read and its CRC checked before the copy counts.
//	I2  The source is never written to, and shares no file with the copy.
//	I3  A copy that was cut short is no data directory: meta.properties comes last.
package kafkadir
