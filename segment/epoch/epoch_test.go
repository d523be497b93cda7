package epoch

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"
)

func of(pairs ...Entry) *Cache {
	c := new(Cache)
	for _, e := range pairs {
		c.Assign(e.Epoch, e.Start)
	}
	return c
}

func TestAssign(t *testing.T) {
	for _, c := range []struct {
		name     string
		epoch    int32
		start    int64
		expected []Entry
	}{
		{"next", 7, 30, []Entry{{1, 0}, {3, 10}, {5, 20}, {7, 30}}},
		{"same epoch goes on", 5, 25, []Entry{{1, 0}, {3, 10}, {5, 20}}},
		{"same epoch, earlier", 5, 15, []Entry{{1, 0}, {3, 10}, {5, 15}}},
		{"new epoch before it", 6, 10, []Entry{{1, 0}, {6, 10}}},
		{"older epoch", 2, 40, []Entry{{1, 0}, {2, 40}}},
		{"an epoch without records", 6, 20, []Entry{{1, 0}, {3, 10}, {6, 20}}},
	} {
		cache := of(Entry{1, 0}, Entry{3, 10}, Entry{5, 20})
		cache.Assign(c.epoch, c.start)
		if !slices.Equal(cache.Entries(), c.expected) {
			t.Errorf("%s: %v, want %v", c.name, cache.Entries(), c.expected)
		}
	}
}

func TestEndOffset(t *testing.T) {
	cache := of(Entry{2, 5}, Entry{4, 10}, Entry{7, 20})
	for _, c := range []struct {
		requested int32
		epoch     int32
		end       int64
	}{
		{-1, -1, -1}, {0, 0, 5}, {1, 1, 5}, {2, 2, 10}, {3, 2, 10}, {4, 4, 20}, {6, 4, 20},
		{7, 7, 33}, {8, -1, -1},
	} {
		if e, end := cache.EndOffset(c.requested, 33); e != c.epoch || end != c.end {
			t.Errorf("EndOffset(%d) = %d, %d, want %d, %d", c.requested, e, end, c.epoch, c.end)
		}
	}
	if e, end := new(Cache).EndOffset(0, 33); e != -1 || end != -1 {
		t.Errorf("of an empty cache: %d, %d", e, end)
	}
}

func TestAt(t *testing.T) {
	cache := of(Entry{2, 5}, Entry{4, 10})
	for offset, want := range map[int64]int32{0: -1, 4: -1, 5: 2, 9: 2, 10: 4, 99: 4} {
		if got := cache.At(offset); got != want {
			t.Errorf("At(%d) = %d, want %d", offset, got, want)
		}
	}
	if cache.Latest() != 4 || new(Cache).Latest() != -1 {
		t.Error("Latest")
	}
}

func TestTruncate(t *testing.T) {
	for _, c := range []struct {
		end      int64
		expected []Entry
	}{{21, []Entry{{1, 0}, {3, 10}, {5, 20}}}, {20, []Entry{{1, 0}, {3, 10}}}, {0, nil}} {
		cache := of(Entry{1, 0}, Entry{3, 10}, Entry{5, 20})
		cache.TruncateEnd(c.end)
		if !slices.Equal(cache.Entries(), c.expected) {
			t.Errorf("TruncateEnd(%d): %v", c.end, cache.Entries())
		}
	}
	for _, c := range []struct {
		start    int64
		expected []Entry
	}{
		{0, []Entry{{1, 0}, {3, 10}, {5, 20}}}, {5, []Entry{{1, 5}, {3, 10}, {5, 20}}},
		{10, []Entry{{3, 10}, {5, 20}}}, {15, []Entry{{3, 15}, {5, 20}}}, {90, []Entry{{5, 90}}},
	} {
		cache := of(Entry{1, 0}, Entry{3, 10}, Entry{5, 20})
		cache.TruncateStart(c.start)
		if !slices.Equal(cache.Entries(), c.expected) {
			t.Errorf("TruncateStart(%d): %v", c.start, cache.Entries())
		}
	}
}

// TestModel keeps the epoch of every offset in a plain slice and compares.
func TestModel(t *testing.T) {
	for seed := range uint64(50) {
		rng := rand.New(rand.NewPCG(seed, 0))
		var cache Cache
		var log []int32
		epoch := int32(0)
		for range 200 {
			switch rng.IntN(8) {
			case 0:
				epoch += 1 + rng.Int32N(2)
			case 1:
				log = log[:rng.IntN(len(log)+1)]
				cache.TruncateEnd(int64(len(log)))
			default:
				cache.Assign(epoch, int64(len(log)))
				log = append(log, epoch)
			}
			for offset, want := range log {
				if got := cache.At(int64(offset)); got != want {
					t.Fatalf("seed %d: At(%d) = %d, want %d", seed, offset, got, want)
				}
			}
			for e := range epoch + 1 {
				want := 0 // where epochs above e begin
				for want < len(log) && log[want] <= e {
					want++
				}
				_, end := cache.EndOffset(e, int64(len(log)))
				if end != int64(want) && end != Unknown {
					t.Fatalf("seed %d: EndOffset(%d) = %d, want %d", seed, e, end, want)
				}
				if end == Unknown && len(log) > 0 && e <= log[len(log)-1] {
					t.Fatalf("seed %d: EndOffset(%d) is unknown", seed, e)
				}
			}
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(new(Cache).Encode(nil))
	f.Add(of(Entry{1, 0}, Entry{3, 10}).Encode(nil))
	f.Add([]byte{version, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		var c Cache
		if c.Decode(b) != nil {
			return
		}
		if !bytes.Equal(c.Encode(nil), b) {
			t.Fatal("encodes to other bytes")
		}
		c.TruncateStart(5)
		c.TruncateEnd(50)
		c.Assign(9, 60)
	})
}
