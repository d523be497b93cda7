package load

import (
	"context"
	"testing"
	"time"

	"millrace/loadgen/raw"
	"millrace/loadgen/stub"
	"millrace/loadgen/workload"
)

// Every kind of load that experiments use gives the figures that they compare.
func TestReportOfEveryLoad(t *testing.T) {
	s, err := stub.Start(stub.Options{Keep: 16 << 20, Partitions: 2, Topics: []string{"load"}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, mode := range []workload.Mode{workload.Produce, workload.Consume, workload.EndToEnd} {
		w := workload.New(mode)
		w.Brokers, w.Partitions = s.Addrs(), 2
		w.Warmup, w.Duration, w.Interval = 0, 300*time.Millisecond, 100*time.Millisecond
		run, err := raw.Run(context.Background(), &w)
		if err != nil {
			t.Fatal(err)
		}
		r, err := reportOf(run)
		if err != nil {
			t.Fatal(err)
		}
		if r.Messages == 0 || r.Bytes == 0 || r.Requests == 0 || r.Seconds < 0.2 || r.Latency.N == 0 ||
			r.Latency.P50 <= 0 || r.Latency.P50 > r.Latency.Max || r.Machine <= 0 {
			t.Errorf("%s: %+v", mode, r)
		}
		if (r.Delay != nil) != (mode == workload.EndToEnd) {
			t.Errorf("%s: delay %+v", mode, r.Delay)
		}
	}
}

func TestCostPerWork(t *testing.T) {
	r := Report{Messages: 2_000_000, Bytes: 4e9, Broker: &Process{CPU: 8}}
	if r.PerMillion() != 4 || r.PerGB() != 2 {
		t.Errorf("%v per million, %v per GB", r.PerMillion(), r.PerGB())
	}
	if none := (&Report{}); none.PerMillion() != 0 || none.PerGB() != 0 {
		t.Error("nothing has a cost")
	}
}
