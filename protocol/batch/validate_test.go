package batch

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"testing"

	"millrace/protocol"
)

func limits() Limits {
	return Limits{MaxBytes: 1 << 20, Version: 9, Now: 1_700_000_000_000, BeforeMax: math.MaxInt64, AfterMax: 3600_000}
}

func TestValidate(t *testing.T) {
	v16 := binary.BigEndian.PutUint16
	v32 := binary.BigEndian.PutUint32
	v64 := binary.BigEndian.PutUint64
	for _, c := range []struct {
		name   string
		break_ func(v View, l *Limits)
		want   protocol.Code
	}{
		{"good", func(View, *Limits) {}, protocol.None},
		{"base offset", func(v View, _ *Limits) { v64(v, 1) }, protocol.InvalidRecord},
		{"too large", func(v View, l *Limits) { l.MaxBytes = len(v) - 1 }, protocol.MessageTooLarge},
		{"as large as allowed", func(v View, l *Limits) { l.MaxBytes = len(v) }, protocol.None},
		{"crc", func(v View, _ *Limits) { v[len(v)-1]++; v[posCRC]++ }, protocol.CorruptMessage},
		{"fewer records than counted", func(v View, _ *Limits) { v32(v[posCount:], 4); v32(v[posLastDelta:], 3) }, protocol.InvalidRecord},
		{"more records than counted", func(v View, _ *Limits) { v32(v[posCount:], 2); v32(v[posLastDelta:], 1) }, protocol.InvalidRecord},
		{"very many counted", func(v View, _ *Limits) { v32(v[posCount:], 1<<31-1); v32(v[posLastDelta:], 1<<31-2) }, protocol.InvalidRecord},
		{"length of a record", func(v View, _ *Limits) { v[HeaderSize] += 2 }, protocol.InvalidRecord},
		{"codec 5", func(v View, _ *Limits) { v[posAttributes+1] |= 5 }, protocol.UnsupportedCompressionType},
		{"a compressed count", func(v View, _ *Limits) { v[posAttributes+1] |= 1; v32(v[posCount:], 4); v32(v[posLastDelta:], 3) }, protocol.None},
		{"zstd too early", func(v View, l *Limits) { v[posAttributes+1] |= 4; l.Version = 6 }, protocol.UnsupportedCompressionType},
		{"count 0", func(v View, _ *Limits) { v32(v[posCount:], 0) }, protocol.InvalidRecord},
		{"count negative", func(v View, _ *Limits) { v32(v[posCount:], 1<<31) }, protocol.InvalidRecord},
		{"count and delta", func(v View, _ *Limits) { v32(v[posLastDelta:], 7) }, protocol.InvalidRecord},
		{"delta negative", func(v View, _ *Limits) { v32(v[posLastDelta:], 1<<31) }, protocol.InvalidRecord},
		{"control", func(v View, _ *Limits) { v[posAttributes+1] |= attrControl }, protocol.InvalidRecord},
		{"delete horizon", func(v View, _ *Limits) { v[posAttributes+1] |= attrDeleteHorizon }, protocol.InvalidRecord},
		{"producer without sequence", func(v View, _ *Limits) { v64(v[posProducerID:], 9) }, protocol.InvalidRecord},
		{"producer −2", func(v View, _ *Limits) { v64(v[posProducerID:], 1<<64-2) }, protocol.InvalidRecord},
		{"transaction", func(v View, _ *Limits) { v[posAttributes+1] |= attrTransactional }, protocol.TransactionalIdAuthorizationFailed},
		{"producer without epoch", func(v View, _ *Limits) { v64(v[posProducerID:], 9); v32(v[posBaseSequence:], 0) }, protocol.InvalidRecord},
		{"idempotent", func(v View, _ *Limits) {
			v64(v[posProducerID:], 9)
			v16(v[posProducerEpoch:], 0)
			v32(v[posBaseSequence:], 0)
		}, protocol.None},
		{"client says LogAppendTime", func(v View, _ *Limits) { v[posAttributes+1] |= attrLogAppendTime }, protocol.InvalidTimestamp},
		{"the topic says LogAppendTime", func(v View, l *Limits) { l.LogAppendTime = true; v64(v[posMaxTimestamp:], 1<<62) }, protocol.None},
		{"too new", func(v View, l *Limits) { v64(v[posMaxTimestamp:], uint64(l.Now+l.AfterMax+1)) }, protocol.InvalidTimestamp},
		{"new", func(v View, l *Limits) { v64(v[posMaxTimestamp:], uint64(l.Now+l.AfterMax)) }, protocol.None},
		{"any age", func(v View, _ *Limits) { v64(v[posBaseTimestamp:], 0) }, protocol.None},
		{"too old", func(v View, l *Limits) { l.BeforeMax = 5000; v64(v[posBaseTimestamp:], uint64(l.Now-5001)) }, protocol.InvalidTimestamp},
		{"no time", func(v View, l *Limits) {
			l.BeforeMax = 0
			v64(v[posBaseTimestamp:], 1<<64-1)
			v64(v[posMaxTimestamp:], 1<<64-1)
		}, protocol.None},
		{"time −2", func(v View, _ *Limits) { v64(v[posBaseTimestamp:], 1<<64-2) }, protocol.InvalidTimestamp},
	} {
		v := bytes.Clone(build(t, Options{}, someRecords(rand.New(rand.NewPCG(1, 1)), 3)))
		l := limits()
		c.break_(v, &l)
		if c.name != "crc" {
			View(v).rehash()
		}
		if got := Validate(v, &l); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
		if n := testing.AllocsPerRun(3, func() { Validate(v, &l) }); n != 0 {
			t.Errorf("%s: %v allocations", c.name, n)
		}
	}
}

func TestOne(t *testing.T) {
	l := limits()
	good := bytes.Clone(build(t, Options{}, someRecords(rand.New(rand.NewPCG(1, 1)), 3)))
	zstd := bytes.Clone(build(t, Options{Codec: Zstd}, someRecords(rand.New(rand.NewPCG(1, 1)), 3)))
	old := bytes.Clone(good)
	old[posMagic] = 1
	later := bytes.Clone(good)
	later[posMagic] = 3
	length := bytes.Clone(good)
	binary.BigEndian.PutUint32(length[posLength:], 3)
	for _, c := range []struct {
		name string
		b    []byte
		want protocol.Code
	}{
		{"one", good, protocol.None},
		{"none", nil, protocol.InvalidRecord},
		{"two", append(bytes.Clone(good), good...), protocol.InvalidRecord},
		{"part", good[:len(good)-1], protocol.InvalidRecord},
		{"magic 1", old, protocol.InvalidRecord},
		{"magic 3", later, protocol.CorruptMessage},
		{"bytes behind", append(bytes.Clone(good), 1, 2, 3), protocol.None},
		{"part of a batch behind", append(bytes.Clone(good), good[:50]...), protocol.None},
		{"an old batch behind", append(bytes.Clone(good), old...), protocol.InvalidRecord},
		{"length", length, protocol.CorruptMessage},
		{"zstd", zstd, protocol.None},
	} {
		if _, got := One(c.b, &l); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	l.Version = 6
	if _, got := One(zstd, &l); got != protocol.UnsupportedCompressionType {
		t.Errorf("zstd in version 6: %v", got)
	}
}

func TestInspect(t *testing.T) {
	l := limits()
	list := []record{{millis: l.Now, key: []byte("k")}, {millis: l.Now}, {millis: l.Now + 2*l.AfterMax, key: []byte("k")}}
	for _, codec := range []Codec{None, Zstd} {
		v := build(t, Options{Codec: codec}, list)
		if code, _ := Inspect(v, &l, 1<<20); code != protocol.InvalidTimestamp {
			t.Errorf("time: %v", code)
		}
		m := l
		m.LogAppendTime, m.Compacted = true, true
		code, faults := Inspect(v, &m, 1<<20)
		if code != protocol.InvalidRecord || len(faults) != 1 || faults[0].Index != 1 {
			t.Errorf("key: %v %v", code, faults)
		}
		m.Compacted = false
		if code, _ := Inspect(v, &m, 1<<20); code != protocol.None {
			t.Errorf("good: %v", code)
		}
		if code, _ := Inspect(v, &m, 3); code != protocol.MessageTooLarge {
			t.Errorf("cap: %v", code)
		}
	}
	v := bytes.Clone(build(t, Options{}, list))
	binary.BigEndian.PutUint32(v[posCount:], 4)
	if code, _ := Inspect(v, &l, 1<<20); code != protocol.InvalidRecord {
		t.Errorf("count: %v", code)
	}
}

func FuzzBatch(f *testing.F) {
	r := rand.New(rand.NewPCG(9, 9))
	for codec := None; codec < codecCount; codec++ {
		f.Add([]byte(bytes.Clone(build(f, Options{Codec: codec}, someRecords(r, 4)))))
	}
	l := limits()
	f.Fuzz(func(t *testing.T, b []byte) {
		for {
			v, rest, err := Next(b)
			if err != nil {
				return
			}
			if len(v)+len(rest) != len(b) || len(v) < HeaderSize {
				t.Fatal("I1")
			}
			b = rest
			v.rehash()
			Validate(v, &l)
			Inspect(v, &l, 1<<16)
			if w, code := Recompress(v, Zstd, DefaultLevel, 1<<16); code == protocol.None {
				if u, code := Recompress(w, v.Codec(), DefaultLevel, 1<<16); code != protocol.None || u.Count() != v.Count() {
					t.Fatalf("there and back: %v", code)
				}
			}
		}
	})
}

func FuzzRecords(f *testing.F) {
	v := build(f, Options{}, someRecords(rand.New(rand.NewPCG(9, 8)), 4))
	f.Add([]byte(v.RecordBytes()), int32(4))
	f.Fuzz(func(t *testing.T, plain []byte, count int32) {
		v := make(View, HeaderSize)
		binary.BigEndian.PutUint32(v[posCount:], uint32(count))
		it := v.Records(plain)
		n, size, dense := 0, 0, true
		for ; it.Next(); n++ {
			size += it.Record.Size()
			dense = dense && int(it.Record.Delta) == n
			if len(it.Record.Headers(nil)) != it.Record.HeaderCount() {
				t.Fatal("headers")
			}
		}
		if it.Err() == nil && dense && !plainFits(plain, max(count, 0)) {
			t.Fatal("good records do not fit")
		}
		if it.Err() == nil && (size != len(plain) || n != max(int(count), 0)) {
			t.Fatalf("%d records of %d bytes in %d", n, size, len(plain))
		}
	})
}

func BenchmarkValidate1MB(b *testing.B) {
	var list []record
	for range 1000 {
		list = append(list, record{value: make([]byte, 1000)})
	}
	v := bytes.Clone(build(b, Options{}, list))
	l := limits()
	l.MaxBytes = len(v)
	b.SetBytes(int64(len(v)))
	for b.Loop() {
		if Validate(v, &l) != protocol.None {
			b.Fatal("bad")
		}
	}
}

func BenchmarkValidate64x100(b *testing.B) {
	var list []record
	for range 64 {
		list = append(list, record{millis: 1_700_000_000_000, value: make([]byte, 100)})
	}
	v := bytes.Clone(build(b, Options{}, list))
	l := limits()
	b.SetBytes(int64(len(v)))
	b.ReportAllocs()
	for b.Loop() {
		if Validate(v, &l) != protocol.None {
			b.Fatal("bad")
		}
	}
}
