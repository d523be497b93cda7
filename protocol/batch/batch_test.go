package batch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/klauspost/compress/snappy"
	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/protocol"
)

type record struct {
	millis     int64
	key, value []byte
	headers    []Header
}

// someRecords are n records with nulls, empties and headers among them.
func someRecords(r *rand.Rand, n int) []record {
	list := make([]record, n)
	for i := range list {
		list[i] = record{millis: 1_700_000_000_000 + r.Int64N(2000) - 1000, key: maybe(r, 10), value: maybe(r, 300)}
		for range r.IntN(3) {
			list[i].headers = append(list[i].headers, Header{Key: []byte(fmt.Sprint("h", r.IntN(9))), Value: maybe(r, 5)})
		}
	}
	return list
}

func maybe(r *rand.Rand, n int) []byte {
	if r.IntN(5) == 0 {
		return nil
	}
	return bytes.Repeat([]byte{byte('a' + r.IntN(26))}, r.IntN(n))
}

func build(t testing.TB, o Options, list []record) View {
	t.Helper()
	var b Builder
	b.Reset(o)
	for _, r := range list {
		b.Add(r.millis, r.key, r.value, r.headers)
	}
	v, err := b.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func readAllRecords(t testing.TB, v View, plain []byte) (list []record) {
	t.Helper()
	it := v.Records(plain)
	for it.Next() {
		r := &it.Record
		if r.Offset != v.BaseOffset()+int64(len(list)) {
			t.Fatalf("record %d at offset %d", len(list), r.Offset)
		}
		list = append(list, record{r.Timestamp, r.Key, r.Value, r.Headers(nil)})
	}
	if it.Err() != nil {
		t.Fatal(it.Err())
	}
	return list
}

func TestBuilderIsKmsgs(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for n := 1; n < 200; n += 7 {
		list := someRecords(r, n)
		o := Options{BaseOffset: r.Int64N(1 << 40), LeaderEpoch: 7, Idempotent: n%2 == 0, ProducerID: 99,
			ProducerEpoch: 3, BaseSequence: 12, Transactional: n%3 == 0}
		v := build(t, o, list)
		var want kmsg.RecordBatch
		if err := want.ReadFrom(v); err != nil {
			t.Fatal(err)
		}
		have := kmsg.RecordBatch{FirstOffset: v.BaseOffset(), Length: v.Length(), PartitionLeaderEpoch: v.LeaderEpoch(),
			Magic: v.Magic(), CRC: int32(v.CRC()), Attributes: v.Attributes(), LastOffsetDelta: v.LastOffsetDelta(),
			FirstTimestamp: v.BaseTimestamp(), MaxTimestamp: v.MaxTimestamp(), ProducerID: v.ProducerID(),
			ProducerEpoch: v.ProducerEpoch(), FirstSequence: v.BaseSequence(), NumRecords: v.Count(), Records: v.RecordBytes()}
		if !reflect.DeepEqual(have, want) {
			t.Fatalf("%+v\n%+v", have, want)
		}
		if crc := crc32.Checksum(v[21:], crc32.MakeTable(crc32.Castagnoli)); crc != v.CRC() || !v.CheckCRC() {
			t.Fatal("crc")
		}
		checkKmsgRecords(t, v, list)
		if got := readAllRecords(t, v, v.RecordBytes()); !reflect.DeepEqual(got, list) {
			t.Fatalf("%v\n%v", got, list)
		}
	}
}

func checkKmsgRecords(t *testing.T, v View, list []record) {
	t.Helper()
	rest := v.RecordBytes()
	for i, want := range list {
		n, size := binary.Varint(rest)
		var rec kmsg.Record
		if err := rec.ReadFrom(rest[:size+int(n)]); err != nil {
			t.Fatal(err)
		}
		rest = rest[size+int(n):]
		if int(rec.OffsetDelta) != i || v.BaseTimestamp()+rec.TimestampDelta64 != want.millis ||
			!bytes.Equal(rec.Key, want.key) || (rec.Key == nil) != (want.key == nil) ||
			!bytes.Equal(rec.Value, want.value) || len(rec.Headers) != len(want.headers) {
			t.Fatalf("record %d: %+v, want %+v", i, rec, want)
		}
	}
	if len(rest) != 0 {
		t.Fatalf("%d bytes left", len(rest))
	}
}

func TestEveryCodecBack(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 1))
	var b Builder
	for codec := None; codec < codecCount; codec++ {
		for _, n := range []int{1, 3, 500, 3000} {
			list := someRecords(r, n)
			for _, level := range []int{DefaultLevel, 1, 3, 9, 12, 22} {
				b.Reset(Options{Codec: codec, Level: level, BaseOffset: 5})
				for _, x := range list {
					b.Add(x.millis, x.key, x.value, x.headers)
				}
				plainSize := b.Size() - HeaderSize
				v, err := b.Finish()
				if err != nil {
					t.Fatal(err)
				}
				if v.Codec() != codec || !v.CheckCRC() || v.Size() != int(v.Length())+LogOverhead {
					t.Fatalf("%v: header", codec)
				}
				plain, err := v.Inflate(nil, plainSize)
				if err != nil {
					t.Fatalf("%v %d records level %d: %v", codec, n, level, err)
				}
				if got := readAllRecords(t, v, plain); !reflect.DeepEqual(got, list) {
					t.Fatalf("%v: other records", codec)
				}
				if _, err := v.Inflate(nil, plainSize-1); !errors.Is(err, ErrTooBig) {
					t.Fatalf("%v beyond the cap: %v", codec, err)
				}
			}
		}
	}
}

func TestRawSnappyAndManyFrames(t *testing.T) {
	list := someRecords(rand.New(rand.NewPCG(3, 1)), 50)
	v := build(t, Options{}, list)
	raw := append(bytes.Clone(v[:HeaderSize]), snappy.Encode(nil, v.RecordBytes())...)
	raw[posAttributes+1] = byte(Snappy)
	plain, err := View(raw).Inflate(nil, 1<<20)
	if err != nil || !bytes.Equal(plain, v.RecordBytes()) {
		t.Fatalf("raw snappy: %v", err)
	}
	for _, codec := range []Codec{Gzip, LZ4, Zstd} { // the formats allow several frames in a row
		half := len(v.RecordBytes()) / 2
		two := bytes.Clone(v[:HeaderSize])
		for _, part := range [][]byte{v.RecordBytes()[:half], v.RecordBytes()[half:]} {
			if two, err = deflate(two, part, codec, DefaultLevel); err != nil {
				t.Fatal(err)
			}
		}
		two[posAttributes+1] = byte(codec)
		plain, err := View(two).Inflate(nil, 1<<20)
		if err != nil || !bytes.Equal(plain, v.RecordBytes()) {
			t.Errorf("%v of two frames: %v", codec, err)
		}
	}
}

// A few bytes that claim to be very many must not make anything allocate as many.
func TestBombs(t *testing.T) {
	zeros := make([]byte, 64<<20)
	for _, codec := range []Codec{Gzip, Snappy, LZ4, Zstd} {
		bomb, err := deflate(make([]byte, HeaderSize), zeros, codec, DefaultLevel)
		if err != nil {
			t.Fatal(err)
		}
		bomb[posAttributes+1] = byte(codec)
		if _, err := View(bomb).Inflate(nil, 1<<20); !errors.Is(err, ErrTooBig) {
			t.Errorf("%v: %v", codec, err)
		}
	}
	lie := append(make([]byte, HeaderSize), binary.AppendUvarint(nil, 1<<30)...)
	lie[posAttributes+1] = byte(Snappy)
	if _, err := View(lie).Inflate(nil, math.MaxInt32); !errors.Is(err, ErrInflate) {
		t.Errorf("snappy length that lies: %v", err)
	}
	unknown := make([]byte, HeaderSize)
	unknown[posAttributes+1] = 6
	if _, err := View(unknown).Inflate(nil, 100); !errors.Is(err, ErrCodec) {
		t.Errorf("codec 6: %v", err)
	}
}

func TestStampsAndSequences(t *testing.T) {
	v := build(t, Options{Idempotent: true, ProducerID: 1, BaseSequence: math.MaxInt32 - 1},
		someRecords(rand.New(rand.NewPCG(4, 1)), 5))
	crc := v.CRC()
	v.Stamp(1<<40, 17)
	if v.BaseOffset() != 1<<40 || v.LeaderEpoch() != 17 || v.CRC() != crc || !v.CheckCRC() {
		t.Error("Stamp")
	}
	if v.LastOffset() != 1<<40+4 || v.NextOffset() != 1<<40+5 || v.LastSequence() != 2 {
		t.Errorf("last offset %d, sequence %d", v.LastOffset(), v.LastSequence())
	}
	v.StampLogAppendTime(777)
	if !v.IsLogAppendTime() || v.TimestampType() != 1 || v.MaxTimestamp() != 777 || !v.CheckCRC() || v.CRC() == crc {
		t.Error("StampLogAppendTime")
	}
	for _, r := range readAllRecords(t, v, v.RecordBytes()) {
		if r.millis != 777 {
			t.Errorf("record of %d ms", r.millis)
		}
	}
	if AddSequence(math.MaxInt32, 1) != 0 || AddSequence(5, 3) != 8 || AddSequence(math.MaxInt32, math.MaxInt32) != math.MaxInt32-1 {
		t.Error("AddSequence")
	}
}

func TestNext(t *testing.T) {
	a := bytes.Clone(build(t, Options{}, someRecords(rand.New(rand.NewPCG(5, 1)), 3)))
	b := build(t, Options{Codec: Gzip}, someRecords(rand.New(rand.NewPCG(5, 2)), 3))
	both := append(bytes.Clone(a), b...)
	v, rest, err := Next(both)
	if err != nil || !bytes.Equal(v, a) || !bytes.Equal(rest, b) || cap(v) != len(v) {
		t.Fatal("first of two")
	}
	for cut := range len(a) {
		if _, _, err := Next(a[:cut]); err != ErrShort {
			t.Fatalf("%d of %d bytes: %v", cut, len(a), err)
		}
	}
	for length, want := range map[int32]error{48: ErrLength, 0: ErrLength, -1: ErrLength, math.MinInt32: ErrLength,
		49: nil, math.MaxInt32: ErrShort} {
		c := bytes.Clone(a)
		binary.BigEndian.PutUint32(c[posLength:], uint32(length))
		if _, _, err := Next(c); err != want {
			t.Errorf("length %d: %v", length, err)
		}
	}
	for _, magic := range []byte{0, 1, 3, 255} {
		c := bytes.Clone(a)
		c[posMagic] = magic
		if _, _, err := Next(c); err != ErrMagic {
			t.Errorf("magic %d: %v", magic, err)
		}
	}
}

func TestRecompress(t *testing.T) {
	list := someRecords(rand.New(rand.NewPCG(6, 1)), 300)
	for from := None; from < codecCount; from++ {
		for to := None; to < codecCount; to++ {
			v := build(t, Options{Codec: from, BaseOffset: 3, LeaderEpoch: 4, Idempotent: true, ProducerID: 5,
				ProducerEpoch: 6, BaseSequence: 7}, list)
			w, code := Recompress(v, to, DefaultLevel, 1<<20)
			if code != protocol.None || w.Codec() != to || !w.CheckCRC() {
				t.Fatalf("%v to %v: %v", from, to, code)
			}
			if u, rest, err := Next(w); err != nil || len(rest) != 0 || len(u) != len(w) {
				t.Fatal(err)
			}
			if w.BaseOffset() != 3 || w.LeaderEpoch() != 4 || w.ProducerID() != 5 || w.ProducerEpoch() != 6 ||
				w.BaseSequence() != 7 || w.MaxTimestamp() != v.MaxTimestamp() || w.Count() != v.Count() {
				t.Fatalf("%v to %v: header", from, to)
			}
			plain, err := w.Inflate(nil, 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			if got := readAllRecords(t, w, plain); !reflect.DeepEqual(got, list) {
				t.Fatalf("%v to %v: records", from, to)
			}
			if _, code := Recompress(v, to, DefaultLevel, 100); code != protocol.MessageTooLarge {
				t.Fatalf("beyond the cap: %v", code)
			}
		}
	}
}
