// Package kafka fetches, starts and stops a real Apache Kafka, and runs its tools.
//
// Not its job: judging what Kafka does; measuring it.
//
// In: a cache directory for the jars, a data directory, ports. Out: a running process.
//
// Invariants:
//
//	K1  The jars are those of pom.xml, resolved once by Maven and marked complete only then.
//	K2  A broker gets the JVM flags of Kafka's own start script and one KRaft node in
//	    combined mode; everything else is Kafka's default but for what Extra says.
//	K3  Stop returns after the process has ended; no process outlives its parent.
package kafka
