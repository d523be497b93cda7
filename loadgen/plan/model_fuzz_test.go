package plan

import "testing"

// Whatever is in a model file: an error or figures, never a panic.
func FuzzModel(f *testing.F) {
	f.Add([]byte(`{"format":"loadgen-model/1","objectives":[{"kind":"response","q":0.99,"us":5000}],` +
		`"search":{"ratio":1.08,"turns":6,"max_steps":40},"measured":[` +
		`{"size":100,"records":1,"partitions":1,"acks":"1","connections":1,"in_flight":1,"done":true,"capacity":{"value":5,"low":4,"high":6}},` +
		`{"size":200,"records":1,"partitions":1,"acks":"1","connections":1,"in_flight":1,"done":true,"capacity":{"value":4,"low":3,"high":6}},` +
		`{"size":400,"records":2,"partitions":2,"acks":"1","connections":1,"in_flight":1,"done":true,"capacity":{"value":5,"low":4,"high":6}}]}`))
	f.Add([]byte(`{"format":"loadgen-model/1"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := parseModel(data)
		if err != nil {
			return
		}
		_ = m.Text(discard{})
		if a, err := m.Plan(demand()); err == nil {
			_ = a.Text(discard{})
		}
	})
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
