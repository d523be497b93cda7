// Package loadgen runs loads on brokers that speak Kafka's protocol and measures them.
//
// Its rooms: workload says what a load is; raw (pre-encoded requests, nearly free) and franz (a
// client library as users have it) make it; measure turns what their threads see into figures;
// ledger accounts for every message; result is the figures and their files; view shows them;
// limits is what the host can do at all; plan makes capacity of many results; stub is a broker
// that does nothing, to measure the generator with.
//
// Not its job here: any of that. This package chooses the client, makes and removes topics around
// a load, and says where and on what it ran.
//
// In: a checked workload.Workload. Out: a result.Run, also of a load that ended early.
package loadgen
