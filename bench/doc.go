// Package bench measures Millrace side by side with a real Apache Kafka.
//
// Not its job: making load (loadgen does), starting Kafka (bench/kafka does), passing judgement
// in tests: it prints figures, with what is required of them, and a human reads them.
//
// In: contestants, loads. Out: every raw figure, medians of pairs, ratios with their spread; the
// same as JSON in bench/results.
//
// Invariants:
//
//	B1  Only one contestant has load at a time; the others sit idle.
//	B2  Contestants take turns in ABBA order, each with a new topic, on one filesystem; the
//	    topic is deleted and the disk synced before the next.
//	B3  A JVM is warm: it has been under load for a minute before its first figure.
//	B4  The client, its requests, acks and batch sizes are the same for all.
//	B5  Durability is named: ours is fsync before every ack; Kafka's is its page cache unless it
//	    is told to flush.
package bench
