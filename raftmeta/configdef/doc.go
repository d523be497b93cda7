// Package configdef knows every config name of Kafka 4.3.1: its type, default and rule, where
// it may be set, what it falls back to, and what this broker makes of it.
//
// Not its job: storing values (raftmeta's image does), deciding who may change them, acting
// on them.
//
// Data in: names and values as strings, from a properties file, the environment, or a client;
// images. Data out: edits for raftmeta.SetConfigs, refusals in Kafka's words, TopicConfig for
// the engine, entries for DescribeConfigs.
//
// Invariants:
//
//	I1  What is read out of an image never fails: a value that this binary would not accept
//	    any more counts as not set.
//	I2  Precedence: topic, this broker's dynamic, cluster-wide dynamic, static file, default.
//	I3  A sensitive value never leaves the package but to the one who asks for it by name.
//
// The tables were written from the ConfigDefs of the released jars and are held against the
// answers of a real broker in testdata.
package configdef
