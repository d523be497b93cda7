package seal

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"millrace/protocol"
)

var testID = ID{Topic: protocol.TopicID{1, 2, 3}, Partition: 4, Base: 5_000_000_000}

// batchOf has the form that matters here: base offset, length, last offset delta.
func batchOf(rng *rand.Rand, base int64, count int32, n int) []byte {
	b := make([]byte, minBatch+n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	binary.BigEndian.PutUint64(b, uint64(base))
	binary.BigEndian.PutUint32(b[lengthAt:], uint32(len(b)-overhead))
	binary.BigEndian.PutUint32(b[23:], uint32(count-1))
	return b
}

// logOf makes a log and its sums.
func logOf(seed uint64, batches, size int) (log []byte, at, next []int64, b *Builder) {
	rng := rand.New(rand.NewPCG(seed, 1))
	b = NewBuilder(testID)
	offset := testID.Base
	for range batches {
		count := 1 + rng.Int32N(20)
		v := batchOf(rng, offset, count, rng.IntN(size))
		offset += int64(count)
		at, next = append(at, int64(len(log))), append(next, offset)
		log = append(log, v...)
		b.Batch(v, offset)
	}
	return log, at, next, b
}

func TestPiecesCoverTheLog(t *testing.T) {
	for seed := range uint64(20) {
		log, at, next, b := logOf(seed, 300, []int{100, 3000, 200_000}[seed%3])
		file := b.File([]byte("index"), []byte("times"), next[len(next)-1])
		table, tr, rule := ParseSealed(testID, file)
		if rule != "" || tr.Size != int64(len(log)) || tr.Next != next[len(next)-1] ||
			tr.IndexSum != Sum(0, []byte("index")) || tr.Times != 5 {
			t.Fatalf("seed %d: %+v %s", seed, tr, rule)
		}
		if table.End() != int64(len(log)) {
			t.Fatalf("seed %d: ends at %d of %d", seed, table.End(), len(log))
		}
		end := int64(0)
		for i := range table.Len() {
			p := table.At(i)
			if p.Begin != end || i < table.Len()-1 && p.Size() < PieceBytes {
				t.Fatalf("seed %d: piece %d is %+v, the one before ends at %d", seed, i, p, end)
			}
			end = p.End
			if rule := Check(testID, p, log[p.Begin:p.End]); rule != "" {
				t.Fatalf("seed %d: piece %d: %s", seed, i, rule)
			}
		}
		for i, pos := range at {
			p, ok := table.Find(pos)
			q, ok2 := table.FindOffset(next[i] - 1)
			if !ok || !ok2 || p != q || pos < p.Begin || pos >= p.End || next[i] > p.Next {
				t.Fatalf("seed %d: batch %d at %d is in %+v and %+v", seed, i, pos, p, q)
			}
		}
		if _, ok := table.Find(int64(len(log))); ok {
			t.Fatal("found behind the end")
		}
	}
}

// TestEveryBitOfAHeader: no bit of what the batch CRC leaves out changes unseen.
func TestEveryBitOfAHeader(t *testing.T) {
	log, at, _, b := logOf(1, 40, 300)
	b.Seal()
	table := b.Table()
	p := table.At(0)
	for _, pos := range at {
		for bit := range 8 * HeadBytes {
			log[pos+int64(bit/8)] ^= 1 << (bit % 8)
			if Check(testID, p, log) == "" {
				t.Fatalf("bit %d of the batch at %d", bit, pos)
			}
			log[pos+int64(bit/8)] ^= 1 << (bit % 8)
		}
	}
	for _, id := range []ID{
		{Topic: protocol.TopicID{1}, Partition: 4, Base: testID.Base},
		{Topic: testID.Topic, Partition: 5, Base: testID.Base},
		{Topic: testID.Topic, Partition: 4, Base: testID.Base + 1},
	} {
		if Check(id, p, log) == "" {
			t.Fatalf("%+v passes for another segment", id)
		}
	}
}

func TestEveryBitOfTheFile(t *testing.T) {
	_, _, next, b := logOf(2, 300, 3000)
	file := b.File(nil, nil, next[len(next)-1])
	for i := range 8 * len(file) {
		file[i/8] ^= 1 << (i % 8)
		if _, _, rule := ParseSealed(testID, file); rule == "" {
			t.Fatalf("bit %d of byte %d", i%8, i/8)
		}
		file[i/8] ^= 1 << (i % 8)
	}
	other := testID
	other.Partition++
	if _, rule := Parse(other, file, 1); rule != "segment" {
		t.Fatal(rule)
	}
	for n := range file {
		if _, _, rule := ParseSealed(testID, file[:n]); rule == "" {
			t.Fatalf("the first %d bytes pass", n)
		}
	}
}

// TestPartsGiveTheWhole: what a running log appends to its file is what a builder
// makes of the log at once.
func TestPartsGiveTheWhole(t *testing.T) {
	_, _, next, b := logOf(3, 500, 3000)
	end := next[len(next)-1]
	want := b.File([]byte("i"), nil, end)
	pieces, _ := b.Pieces()
	got := Header(testID)
	for i := 0; i < len(pieces); i += 3 {
		got = AppendEntries(got, testID, int64(i), pieces[i:min(i+3, len(pieces))])
	}
	last := pieces[len(pieces)-1]
	got = AppendTrailer(got, testID, &Trailer{
		Entries: int64(len(pieces)), Size: last.End, Next: end, Index: 1, IndexSum: Sum(0, []byte("i")),
	})
	if !bytes.Equal(got, want) {
		t.Fatalf("%d bytes, want %d", len(got), len(want))
	}
	if table, rule := Parse(testID, got, int64(len(pieces)-2)); rule != "" || table.Len() != len(pieces)-2 {
		t.Fatal(table.Len(), rule)
	}
	if run := Begin(testID, 0); run.Sum == Begin(testID, 1).Sum {
		t.Fatal("a sum does not know its place")
	}
}

func FuzzParse(f *testing.F) {
	_, _, next, b := logOf(4, 60, 3000)
	f.Add(b.File(nil, nil, next[len(next)-1]), int64(2))
	f.Add(Header(testID), int64(0))
	f.Fuzz(func(t *testing.T, b []byte, n int64) {
		if table, rule := Parse(testID, b, n); rule == "" {
			if int64(table.Len()) != n {
				t.Fatalf("%d pieces of %d", table.Len(), n)
			}
			for i := range table.Len() {
				p := table.At(i)
				if p.Size() <= 0 {
					t.Fatalf("piece %d: %+v", i, p)
				}
				Check(testID, p, b[:min(int64(len(b)), p.Size())])
			}
		}
		if table, tr, rule := ParseSealed(testID, b); rule == "" && table.Len() > 0 && table.End() != tr.Size {
			t.Fatalf("ends at %d, the trailer says %d", table.End(), tr.Size)
		}
	})
}
