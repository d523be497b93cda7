package checker

import (
	"slices"
	"testing"
)

// step is one thing that happens to key 1 of a compacted log.
type step struct {
	what   string // value, tombstone: sent; acked; read; readDead; readBad
	seq    int
	offset int64
}

func TestCompacted(t *testing.T) {
	three := []step{{"value", 0, 0}, {"value", 1, 0}, {"value", 2, 0}, {"acked", 0, 5}, {"acked", 1, 6}, {"acked", 2, 7}}
	deleted := []step{{"value", 0, 0}, {"tombstone", 1, 0}, {"acked", 0, 5}, {"acked", 1, 6}}
	for _, x := range []struct {
		name  string
		steps []step
		want  []Kind
	}{
		{"whole", append(slices.Clone(three), step{"read", 0, 5}, step{"read", 1, 6}, step{"read", 2, 7}), nil},
		{"cleaned", append(slices.Clone(three), step{"read", 2, 7}), nil},
		{"lost", three, []Kind{Lost}},
		{"an old one instead", append(slices.Clone(three), step{"read", 1, 6}), []Kind{Lost}},
		{"moved", append(slices.Clone(three), step{"read", 2, 9}), []Kind{Misplaced}},
		{"never sent", append(slices.Clone(three), step{"read", 2, 7}, step{"read", 3, 8}), []Kind{Phantom}},
		{"out of order", append(slices.Clone(three), step{"read", 2, 7}, step{"read", 1, 8}, step{"read", 2, 9}),
			[]Kind{Reordered, Misplaced}},
		{"offsets back", append(slices.Clone(three), step{"read", 1, 8}, step{"read", 2, 7}), []Kind{Reordered}},
		{"damaged", append(slices.Clone(three), step{"readBad", 2, 7}), []Kind{Corrupt, Lost}},
		{"deleted, all gone", deleted, nil},
		{"deleted, with its tombstone", append(slices.Clone(deleted), step{"readDead", 1, 6}), nil},
		{"revived", append(slices.Clone(deleted), step{"read", 0, 5}), []Kind{Revived}},
		{"not acknowledged", []step{{"value", 0, 0}}, nil},
		{"tombstone for a value", append(slices.Clone(three), step{"readDead", 2, 7}), []Kind{Corrupt, Lost}},
	} {
		t.Run(x.name, func(t *testing.T) {
			c, place := NewCompacted(), Place{Topic: "t", Partition: 2}
			var pass *Pass
			for _, s := range append(x.steps, step{"end", 0, 0}) {
				o := Origin{Place: place, Producer: 1, Seq: uint64(s.seq)}
				if pass == nil && (s.what == "end" || s.what[:2] == "re") {
					pass = c.Begin(place)
				}
				switch s.what {
				case "value", "tombstone":
					if got := c.Intend(place, 1, s.what == "tombstone"); got != o {
						t.Fatalf("origin %v, want %v", got, o)
					}
				case "acked":
					c.Ack(o, s.offset)
				case "read":
					pass.Read(s.offset, KeyName(1), o, Payload(o, 100))
				case "readDead":
					pass.Read(s.offset, KeyName(1), o, nil)
				case "readBad":
					pass.Read(s.offset, KeyName(1), o, append(Payload(o, 100), 1))
				case "end":
					pass.End()
				}
			}
			var got []Kind
			for _, a := range c.Anomalies() {
				got = append(got, a.Kind)
			}
			if !slices.Equal(got, x.want) {
				t.Errorf("found %v, want %v", got, x.want)
			}
			if len(c.Anomalies()) != 0 {
				t.Error("told twice")
			}
		})
	}
}
