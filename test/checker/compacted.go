package checker

import (
	"fmt"
	"sync"
)

// What a compacted log must never do, besides the kinds of other logs.
const (
	Revived Kind = "revived" // a key's value that a later one had replaced, as the newest
)

// Compacted judges logs of which only the newest record of every key has to stay. A key
// is written by one producer, one record after the other, numbered from 0.
type Compacted struct {
	mu    sync.Mutex
	keys  map[keyOf]*keyed
	found []Anomaly
	sent  int
	acked int
	left  map[Place]int
}

type keyOf struct {
	place Place
	key   uint32
}

// keyed is what the writer knows of a key.
type keyed struct {
	tombstones []bool // by number
	acked      int    // the highest number acknowledged, −1: none
	offset     int64  // that its acknowledgement named
}

// NewCompacted gives an empty one.
func NewCompacted() *Compacted {
	return &Compacted{keys: map[keyOf]*keyed{}, left: map[Place]int{}}
}

// KeyName is how a key is written.
func KeyName(key uint32) string { return fmt.Sprintf("key-%05d", key) }

// Intend notes that the next record of a key is about to be sent; the value's payload is
// that of the origin.
func (c *Compacted) Intend(p Place, key uint32, tombstone bool) Origin {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := c.keys[keyOf{p, key}]
	if k == nil {
		k = &keyed{acked: -1}
		c.keys[keyOf{p, key}] = k
	}
	k.tombstones = append(k.tombstones, tombstone)
	c.sent++
	return Origin{Place: p, Producer: key, Seq: uint64(len(k.tombstones) - 1)}
}

// Ack notes that the broker acknowledged a record.
func (c *Compacted) Ack(o Origin, offset int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.acked++
	if k := c.keys[keyOf{o.Place, o.Producer}]; int(o.Seq) > k.acked {
		k.acked, k.offset = int(o.Seq), offset
	}
}

// Counts gives how many records were sent and acknowledged, and how many the last reading
// of every place found.
func (c *Compacted) Counts() (sent, acked, left int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, n := range c.left {
		left += n
	}
	return c.sent, c.acked, left
}

// Anomalies gives what was found, and forgets it.
func (c *Compacted) Anomalies() []Anomaly {
	c.mu.Lock()
	defer c.mu.Unlock()
	found := c.found
	c.found = nil
	return found
}

// Pass is one reading of a place from its start to its end.
type Pass struct {
	c      *Compacted
	place  Place
	owed   map[uint32]keyed // acknowledged when it began
	newest map[uint32]newest
	last   int64
	reads  int
}

type newest struct {
	seq    int
	offset int64
}

// Begin begins a reading: what was acknowledged by now, it must find.
func (c *Compacted) Begin(p Place) *Pass {
	c.mu.Lock()
	defer c.mu.Unlock()
	pass := &Pass{c: c, place: p, owed: map[uint32]keyed{}, newest: map[uint32]newest{}, last: unknown}
	for of, k := range c.keys {
		if of.place == p && k.acked >= 0 {
			pass.owed[of.key] = *k
		}
	}
	return pass
}

func (p *Pass) report(k Kind, format string, args ...any) {
	if len(p.c.found) < maxAnomalies {
		p.c.found = append(p.c.found, Anomaly{Kind: k, Place: p.place, Words: fmt.Sprintf(format, args...)})
	}
}

// Read notes a record: o is what its headers say it is, value nil for a tombstone.
func (p *Pass) Read(offset int64, key string, o Origin, value []byte) {
	p.c.mu.Lock()
	defer p.c.mu.Unlock()
	p.reads++
	if offset <= p.last {
		p.report(Reordered, "offset %d after %d", offset, p.last)
	}
	p.last = offset
	k := p.c.keys[keyOf{p.place, o.Producer}]
	seq := int(o.Seq)
	switch {
	case k == nil || o.Seq >= uint64(len(k.tombstones)):
		p.report(Phantom, "offset %d: record %d of key %d was never sent", offset, o.Seq, o.Producer)
		return
	case o.Place != p.place || key != KeyName(o.Producer):
		p.report(Foreign, "offset %d: %q is of %v", offset, key, o)
		return
	case k.tombstones[seq] != (value == nil):
		p.report(Corrupt, "offset %d: %d bytes, a tombstone was sent: %v", offset, len(value), k.tombstones[seq])
		return
	}
	if value != nil {
		if in, err := ParsePayload(value); err != nil || in != o {
			p.report(Corrupt, "offset %d: bytes that nobody sent: %v", offset, in)
			return
		}
	}
	if was, seen := p.newest[o.Producer]; seen && was.seq >= seq {
		p.report(Reordered, "offset %d: record %d of key %d after record %d", offset, seq, o.Producer, was.seq)
	}
	p.newest[o.Producer] = newest{seq, offset}
}

// End judges the reading: of every key the newest record is one acknowledged or a later
// one, or it is deleted.
func (p *Pass) End() {
	p.c.mu.Lock()
	defer p.c.mu.Unlock()
	p.c.left[p.place] = p.reads
	for key, owed := range p.owed {
		got, seen := p.newest[key]
		k := p.c.keys[keyOf{p.place, key}]
		switch {
		case !seen && !deletedSince(k, owed.acked):
			p.report(Lost, "key %d: record %d was acknowledged at offset %d, none is there", key, owed.acked,
				owed.offset)
		case seen && got.seq < owed.acked && deletedSince(k, owed.acked):
			p.report(Revived, "key %d: record %d at offset %d, record %d was acknowledged", key, got.seq,
				got.offset, owed.acked)
		case seen && got.seq < owed.acked:
			p.report(Lost, "key %d: record %d was acknowledged at offset %d, record %d is the newest", key,
				owed.acked, owed.offset, got.seq)
		case seen && got.seq == owed.acked && owed.offset >= 0 && got.offset != owed.offset:
			p.report(Misplaced, "key %d: record %d is at offset %d, acknowledged at %d", key, got.seq,
				got.offset, owed.offset)
		}
	}
}

// deletedSince says whether a tombstone was sent with number seq or later.
func deletedSince(k *keyed, seq int) bool {
	for _, t := range k.tombstones[seq:] {
		if t {
			return true
		}
	}
	return false
}
