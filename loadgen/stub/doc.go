// Package stub is a broker that does nothing: it answers what load generators ask, so that their
// own cost and their own latency can be measured, and their behaviour towards brokers that stall,
// refuse, lose or mix up messages, move leaders, or die.
//
// Not its job: being a broker. Nothing is durable, nothing is checked but the form of requests,
// there are no groups and no transactions.
//
// In: connections to one or more addresses, which act as the brokers of one cluster. Out: answers;
// with Keep the newest messages of each partition, in memory.
//
// Limits: a frame of 256 MiB; Produce and Fetch up to version 12, which name topics by name.
package stub
