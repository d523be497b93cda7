package compact

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"testing"
)

func TestOffsetMap(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	m := NewOffsetMap(make([]byte, 1000*SlotSize), 0.9)
	want := map[string]int64{}
	for i := range int64(20_000) {
		key := fmt.Sprint(rng.IntN(1200))
		_, known := want[key]
		if ok := m.Put([]byte(key), i); ok != (known || len(want) < 900) {
			t.Fatalf("put %d of %q with %d keys: %v", i, key, len(want), ok)
		} else if ok {
			want[key] = i
		}
	}
	if m.Len() != int64(len(want)) {
		t.Fatalf("%d keys, want %d", m.Len(), len(want))
	}
	for i := range 1500 {
		key := fmt.Sprint(i)
		offset, ok := want[key]
		if !ok {
			offset = -1
		}
		if got := m.Get([]byte(key)); got != offset {
			t.Fatalf("%q at %d, want %d", key, got, offset)
		}
	}
}

func TestGroups(t *testing.T) {
	src := func(base, end, size, index int64) Source {
		return Source{Base: base, End: end, Size: size, IndexBytes: index, TimeBytes: index}
	}
	for name, c := range map[string]struct {
		sources []Source
		want    [][2]int
	}{
		"one":   {[]Source{src(0, 5, 900, 0)}, [][2]int{{0, 1}}},
		"small": {[]Source{src(0, 5, 300, 8), src(5, 9, 300, 8), src(9, 12, 400, 8)}, [][2]int{{0, 3}}},
		"bytes": {[]Source{src(0, 5, 300, 8), src(5, 9, 300, 8), src(9, 12, 401, 8)}, [][2]int{{0, 2}, {2, 3}}},
		"index": {[]Source{src(0, 5, 3, 60), src(5, 9, 3, 60), src(9, 12, 4, 8)}, [][2]int{{0, 1}, {1, 3}}},
		"range": {[]Source{src(0, 5, 3, 0), src(5, math.MaxInt32+1, 3, 0),
			src(math.MaxInt32+1, math.MaxInt32+2, 4, 0)}, [][2]int{{0, 2}, {2, 3}}},
		"empty":     {[]Source{src(0, 5, 3, 0), src(5, 1<<33, 0, 0), src(1<<33, 1<<33+1, 4, 0)}, [][2]int{{0, 2}, {2, 3}}},
		"too large": {[]Source{src(0, 5, 5000, 0), src(5, 9, 1, 0)}, [][2]int{{0, 1}, {1, 2}}},
	} {
		if got := Groups(c.sources, 1000, 100); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestJudge(t *testing.T) {
	segs := []Segment{
		{Base: 0, End: 10, Size: 100, First: 1000, MaxTime: 1500},
		{Base: 10, End: 20, Size: 100, First: 2000, MaxTime: 2500},
		{Base: 20, End: 30, Size: 200, First: 3000, MaxTime: 3500},
	}
	for name, c := range map[string]struct {
		dirty int64
		p     Policy
		want  State
	}{
		"all dirty":   {0, Policy{0.5, 0, math.MaxInt64}, State{30, 400, 1, true, false}},
		"half":        {20, Policy{0.5, 0, math.MaxInt64}, State{30, 200, 0.5, false, false}},
		"over":        {20, Policy{0.4, 0, math.MaxInt64}, State{30, 200, 0.5, true, false}},
		"within one":  {15, Policy{0.5, 0, math.MaxInt64}, State{30, 300, 0.6, true, false}},
		"clean":       {30, Policy{0, 0, 1}, State{30, 0, 0, false, false}},
		"young":       {0, Policy{0.5, 1501, math.MaxInt64}, State{10, 100, 1, true, false}},
		"young clean": {10, Policy{0.5, 1501, math.MaxInt64}, State{10, 0, 0, false, false}},
		"late":        {20, Policy{0.9, 0, 900}, State{30, 200, 0.5, true, true}},
		"not late":    {20, Policy{0.9, 0, 1000}, State{30, 200, 0.5, false, false}},
	} {
		if got := Judge(segs, c.dirty, 4000, c.p); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}
