package hraft

import (
	"bytes"
	"errors"
	"testing"

	"github.com/hashicorp/raft"
)

// TestEveryBitOfAnEntry: no changed bit of an entry is believed, nor one in another place.
func TestEveryBitOfAnEntry(t *testing.T) {
	e := &raft.Log{Index: 7, Term: 3, Type: raft.LogCommand, Data: []byte("create a topic")}
	s := sealed(e)
	if e.Extensions != nil || !bytes.Equal(s.Data, e.Data) {
		t.Fatal("the entry itself was changed")
	}
	copyOf := func() *raft.Log {
		c := *s
		c.Data, c.Extensions = bytes.Clone(s.Data), bytes.Clone(s.Extensions)
		return &c
	}
	if c := copyOf(); unseal(7, c) != nil || c.Extensions != nil {
		t.Fatal("a right entry is refused")
	}
	for i := range 8 * len(s.Data) {
		c := copyOf()
		c.Data[i/8] ^= 1 << (i % 8)
		if !errors.Is(unseal(7, c), ErrDamaged) {
			t.Fatalf("bit %d of the data", i)
		}
	}
	for i := range 8 * len(s.Extensions) {
		c := copyOf()
		c.Extensions[i/8] ^= 1 << (i % 8)
		if !errors.Is(unseal(7, c), ErrDamaged) {
			t.Fatalf("bit %d of the checksum", i)
		}
	}
	for _, change := range []func(*raft.Log){
		func(e *raft.Log) { e.Index++ },
		func(e *raft.Log) { e.Term++ },
		func(e *raft.Log) { e.Type = raft.LogBarrier },
		func(e *raft.Log) { e.Extensions = e.Extensions[:7] },
	} {
		c := copyOf()
		change(c)
		if !errors.Is(unseal(7, c), ErrDamaged) {
			t.Fatalf("%+v", c)
		}
	}
	if !errors.Is(unseal(8, copyOf()), ErrDamaged) {
		t.Fatal("an entry of another place is believed")
	}
	if old := (&raft.Log{Index: 7, Data: []byte("x")}); unseal(7, old) != nil {
		t.Fatal("an entry from before there were checksums is refused")
	}
}
