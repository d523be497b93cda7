package index

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math/rand/v2"
	"testing"
)

// record batch header with a body of n zero bytes, CRC right.
func batchOf(base int64, count int32, maxTime int64, n int) []byte {
	b := make([]byte, headerSize+n)
	binary.BigEndian.PutUint64(b, uint64(base))
	binary.BigEndian.PutUint32(b[posLength:], uint32(len(b)-overhead))
	b[posMagic] = 2
	binary.BigEndian.PutUint32(b[posDelta:], uint32(count-1))
	binary.BigEndian.PutUint64(b[posMaxTime:], uint64(maxTime))
	binary.BigEndian.PutUint32(b[posCRC:], crc32.Checksum(b[posRest:], castagnoli))
	return b
}

// logOf makes a log with some disorder in its timestamps.
func logOf(seed uint64, base int64, batches int) (log []byte, all []Header, at []int64) {
	rng := rand.New(rand.NewPCG(seed, 0))
	offset, ts := base, int64(1000)
	for range batches {
		count := 1 + rng.Int32N(20)
		ts += rng.Int64N(50) - 15
		b := batchOf(offset, count, ts, rng.IntN(3000))
		at = append(at, int64(len(log)))
		log = append(log, b...)
		all = append(all, Header{offset, offset + int64(count) - 1, ts, int64(len(b))})
		offset += int64(count)
	}
	return log, all, at
}

func TestLookupFindsEveryOffset(t *testing.T) {
	for seed := range uint64(20) {
		const base = 5_000_000_000
		log, all, at := logOf(seed, base, 200)
		b, valid, end := Rebuild(base, 4096, log, true)
		if valid != int64(len(log)) || end != all[len(all)-1].LastOffset+1 {
			t.Fatalf("seed %d: valid %d of %d, end %d", seed, valid, len(log), end)
		}
		if b.Offsets.Entries() < 10 {
			t.Fatalf("only %d entries", b.Offsets.Entries())
		}
		for i, h := range all {
			for offset := h.BaseOffset; offset <= h.LastOffset; offset++ {
				pos := int64(b.Offsets.Lookup(offset))
				if pos > at[i] || at[i]-pos > 3*4096+3*3100 {
					t.Fatalf("seed %d: offset %d is at %d, lookup says %d", seed, offset, at[i], pos)
				}
			}
		}
		if got := b.Offsets.Lookup(base - 1); got != 0 {
			t.Fatalf("before the segment: %d", got)
		}
	}
}

// TestTimeLookup: no record that is young enough lies before what Lookup says.
func TestTimeLookup(t *testing.T) {
	for seed := range uint64(20) {
		log, all, at := logOf(seed, 100, 200)
		b, _, _ := Rebuild(100, 2000, log, true)
		b.Seal()
		for ts := int64(0); ts < 8000; ts += 7 {
			_, offset := b.Times.Lookup(ts)
			from := int64(b.Offsets.Lookup(offset))
			for i, h := range all {
				if h.MaxTimestamp >= ts && at[i] < from {
					t.Fatalf("seed %d: batch at %d has time %d ≥ %d, but looking begins at %d",
						seed, at[i], h.MaxTimestamp, ts, from)
				}
			}
		}
		want, wantOffset := int64(NoTime), int64(100)
		for _, h := range all {
			if h.MaxTimestamp > want {
				want, wantOffset = h.MaxTimestamp, h.LastOffset
			}
		}
		if ts, offset := b.Times.Last(); ts != want || offset != wantOffset {
			t.Fatalf("seed %d: sealed with %d at %d, want %d at %d", seed, ts, offset, want, wantOffset)
		}
		if ts, offset := b.MaxTime(); ts != want || offset != wantOffset {
			t.Fatalf("seed %d: max time %d at %d", seed, ts, offset)
		}
	}
}

// TestGolden holds the file form against bytes worked out by hand.
func TestGolden(t *testing.T) {
	b := NewBuilder(100, 100)
	b.Batch(104, 50, 0, 90)
	b.Batch(109, 70, 90, 20)  // 90 bytes since the last entry: none
	b.Batch(110, 60, 110, 80) // 110 > 100: an entry
	b.Batch(112, 60, 190, 30)
	b.Batch(113, 70, 220, 10) // 110 > 100: an entry, but time has not moved
	b.Batch(120, 80, 230, 10)
	b.Seal()
	offsets := []byte{0, 0, 0, 10, 0, 0, 0, 110, 0, 0, 0, 13, 0, 0, 0, 220}
	times := []byte{0, 0, 0, 0, 0, 0, 0, 70, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 80, 0, 0, 0, 20}
	if !bytes.Equal(b.Offsets.Bytes(), offsets) {
		t.Errorf(".index %v", b.Offsets.Bytes())
	}
	if !bytes.Equal(b.Times.Bytes(), times) {
		t.Errorf(".timeindex %v", b.Times.Bytes())
	}
}

func TestParse(t *testing.T) {
	log, all, _ := logOf(3, 100, 300)
	b, _, end := Rebuild(100, 2000, log, true)
	b.Seal()
	last := all[len(all)-1].LastOffset
	x, err := ParseOffsets(100, append(bytes.Clone(b.Offsets.Bytes()), make([]byte, 803)...), int64(len(log)))
	if err != nil || !bytes.Equal(x.Bytes(), b.Offsets.Bytes()) || x.Base() != 100 {
		t.Fatalf("with a zero tail: %v, %d entries", err, x.Entries())
	}
	times, err := ParseTimes(100, append(bytes.Clone(b.Times.Bytes()), make([]byte, 5)...), end)
	if err != nil || !bytes.Equal(times.Bytes(), b.Times.Bytes()) || times.Base() != 100 {
		t.Fatalf("times with a zero tail: %v, %d entries", err, times.Entries())
	}
	x.Append(last+50, int32(len(log))) // goes on behind what was parsed
	times.Append(1<<40, last+50)

	for name, b := range map[string][]byte{
		"offset falls":      {0, 0, 0, 9, 0, 0, 0, 9, 0, 0, 0, 8, 0, 0, 0, 10},
		"position falls":    {0, 0, 0, 9, 0, 0, 0, 9, 0, 0, 0, 10, 0, 0, 0, 8},
		"behind the log":    {0, 0, 0, 9, 1, 0, 0, 0},
		"negative offset":   {0x80, 0, 0, 9, 0, 0, 0, 1},
		"garbage at end":    {0, 0, 0, 9, 0, 0, 0, 9, 7},
		"zeros in between":  {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2},
		"position negative": {0, 0, 0, 9, 0x80, 0, 0, 0},
	} {
		if _, err := ParseOffsets(100, b, 1000); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if x, err := ParseOffsets(0, make([]byte, 64), 1000); err != nil || x.Entries() != 0 {
		t.Errorf("all zero: %d entries, %v", x.Entries(), err)
	}
	if x, err := ParseTimes(0, make([]byte, 60), 1000); err != nil || x.Entries() != 0 {
		t.Errorf("all zero: %d entries, %v", x.Entries(), err)
	}
	if _, err := ParseTimes(0, b.Times.Bytes(), 10); !errors.Is(err, ErrDamaged) {
		t.Errorf("times behind the end of the segment: %v", err)
	}
}

func TestTruncateTo(t *testing.T) {
	log, all, at := logOf(4, 100, 300)
	b, _, _ := Rebuild(100, 2000, log, true)
	for _, i := range []int{299, 200, 117, 1, 0} {
		cut := all[i].BaseOffset
		b.Offsets.TruncateTo(cut)
		b.Times.TruncateTo(cut)
		again, _, _ := Rebuild(100, 2000, log[:at[i]], true)
		if !bytes.Equal(b.Offsets.Bytes(), again.Offsets.Bytes()) {
			t.Fatalf("cut at batch %d: offsets differ from those of the shorter log", i)
		}
		if !bytes.Equal(b.Times.Bytes(), again.Times.Bytes()) {
			t.Fatalf("cut at batch %d: times differ from those of the shorter log", i)
		}
	}
}

func TestRebuildEnds(t *testing.T) {
	log, all, at := logOf(5, 0, 20)
	for name, c := range map[string]struct {
		log  []byte
		want int
	}{
		"zero tail": {append(bytes.Clone(log), make([]byte, 9000)...), 20},
		"torn":      {log[:len(log)-1], 19},
		"flipped":   {flip(log, at[7]+70), 7},
		"offset":    {flip(log, at[7]+6), 7}, // not in the CRC, but out of order
		"magic":     {flip(log, at[7]+posMagic), 7},
		"length":    {flip(log, at[7]+posLength), 7},
		"empty":     {nil, 0},
	} {
		_, valid, end := Rebuild(0, 4096, c.log, true)
		wantValid, wantEnd := int64(len(log)), all[19].LastOffset+1
		if c.want < 20 {
			wantValid, wantEnd = at[c.want], all[c.want].BaseOffset
		}
		if valid != wantValid || end != wantEnd {
			t.Errorf("%s: valid %d end %d, want %d %d", name, valid, end, wantValid, wantEnd)
		}
	}
}

func flip(log []byte, at int64) []byte {
	log = bytes.Clone(log)
	log[at] ^= 0x80
	return log
}

func FuzzParse(f *testing.F) {
	log, _, _ := logOf(1, 0, 100)
	b, _, _ := Rebuild(0, 1000, log, true)
	f.Add(b.Offsets.Bytes(), int64(len(log)))
	f.Add(b.Times.Bytes(), int64(1000))
	f.Add(make([]byte, 100), int64(1))
	f.Add(log[:200], int64(9))
	f.Fuzz(func(t *testing.T, b []byte, limit int64) {
		if x, err := ParseOffsets(7, bytes.Clone(b), limit); err == nil {
			for at := range int64(64) {
				if pos := x.Lookup(7 + at*100); pos < 0 || pos > 0 && int64(pos) >= limit {
					t.Fatalf("position %d in a log of %d bytes", pos, limit)
				}
			}
			x.TruncateTo(500)
		}
		if x, err := ParseTimes(7, bytes.Clone(b), limit); err == nil {
			for at := range int64(64) {
				if _, offset := x.Lookup(at * 100); offset != 7 && offset >= limit {
					t.Fatalf("offset %d in a segment that ends at %d", offset, limit)
				}
			}
			x.TruncateTo(500)
		}
		LookupOffset(b, 0, limit)
		LookupTime(b, 0, limit)
		if _, valid, _ := Rebuild(0, 100, b, true); valid < 0 || valid > int64(len(b)) {
			t.Fatalf("valid %d of %d", valid, len(b))
		}
	})
}
