// Package admin is the broker's HTTP side: is it alive, is it ready, what does it
// count.
//
// Not its job: changing anything. Every route is a GET without side effects, so
// that nothing on this port needs more care than its figures do.
//
// Data in: a status.Source. Data out: /healthz, /readyz, /metrics (Prometheus
// text), /v1/status (JSON), and with Options.Pprof /debug/pprof.
//
// Invariants:
//
//	I1  Answers are bounded: series per group, topic and partition stop at
//	    Options.MaxSeries, and what is left out is counted.
//	I2  Nothing here touches a core's data: a Snapshot is a copy.
//	I3  One snapshot is taken at a time and shared by those who ask meanwhile.
package admin
