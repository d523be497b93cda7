package segment

import (
	"bytes"
	"reflect"
	"testing"

	"millrace/protocol"
)

func someBook() cleanBook {
	tp := func(n byte, p int32) protocol.TopicPartition {
		return protocol.TopicPartition{Topic: topicID(n), Partition: p}
	}
	swap := func(gen uint64, base int64) swapRecord {
		return swapRecord{gen, segRecord{base: base, end: base + 10, size: 4000, created: 1, firstMax: -1,
			maxTime: 7, maxAt: base + 2, lastTime: -1, offsets: 3, times: 1, sealed: true, finished: true,
			onDisk: true, gaps: true, sums: 2, sumBegin: 4000, sum: 9, offsetSum: 8, timeSum: 7}}
	}
	return cleanBook{
		tp(1, 0): {dirty: 50, plain: true, swaps: []swapRecord{swap(3, 0), swap(4, 10), swap(9, 0)}},
		tp(1, 1): {dirty: 0},
		tp(2, 7): {dirty: 1 << 40, swaps: []swapRecord{swap(5, 1<<33)}},
	}
}

func TestCleanBook(t *testing.T) {
	id := [16]byte{1, 2, 3}
	b := someBook().encode(id)
	if again := someBook().encode(id); !bytes.Equal(b, again) {
		t.Fatal("two encodings differ")
	}
	book, rule := parseCleanBook(b, id)
	if rule != "" || !reflect.DeepEqual(book, someBook()) {
		t.Fatalf("%s: %+v", rule, book)
	}
	if _, rule := parseCleanBook(b, [16]byte{9}); rule != "directory id" {
		t.Errorf("of another directory: %q", rule)
	}
	for at := range b {
		for bit := range 8 {
			b[at] ^= 1 << bit
			if _, rule := parseCleanBook(b, id); rule == "" {
				t.Fatalf("a flip at %d, bit %d, is not seen", at, bit)
			}
			b[at] ^= 1 << bit
		}
		if _, rule := parseCleanBook(b[:at], id); rule == "" {
			t.Fatalf("%d of %d bytes are taken for a book", at, len(b))
		}
	}
}

func TestCleanedNames(t *testing.T) {
	name := cleanedName(4711, endTime, 12)
	if base, ending, gen, ok := parseCleanedName(name); !ok || base != 4711 || ending != endTime || gen != 12 {
		t.Fatalf("%s: %d %s %d %v", name, base, ending, gen, ok)
	}
	for _, n := range []string{"x.cleaned", ".cleaned", "0.log.x.cleaned", "0.log.cleaned"} {
		if _, _, gen, ok := parseCleanedName(n); !ok || gen != 0 {
			t.Errorf("%s: generation %d, %v", n, gen, ok)
		}
	}
	if _, _, _, ok := parseCleanedName("00000000000000004711.log"); ok {
		t.Error("a log is taken for a cleaned one")
	}
}

func FuzzCleanBook(f *testing.F) {
	id := [16]byte{1, 2, 3}
	f.Add(someBook().encode(id))
	f.Add(cleanBook{}.encode(id))
	f.Fuzz(func(t *testing.T, b []byte) {
		book, rule := parseCleanBook(b, id)
		if rule != "" {
			return
		}
		again, rule := parseCleanBook(book.encode(id), id)
		if rule != "" || !reflect.DeepEqual(again, book) {
			t.Fatalf("%q: %+v", rule, again)
		}
	})
}
