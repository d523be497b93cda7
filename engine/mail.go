package engine

import (
	"sync"
	"sync/atomic"
)

// mailSlots is the size of one single-producer ring between two cores. What does not
// fit waits with the sender, whose requests in flight bound it.
const mailSlots = 512

// letter is what one core tells another.
type letter struct {
	kind  letterKind
	fd    int32 // letterConn
	lsn   int32
	host  string // letterConn: the client's address, as it was counted
	call  func(c *Core)
	prod  *produceShare
	share *fetchShare
}

type letterKind uint8

const (
	letterCall        letterKind = iota // run call on the receiver
	letterConn                          // a new connection: fd, lsn, host
	letterProduce                       // append the parts of prod that are the receiver's
	letterProduced                      // they are durable
	letterFetch                         // read the parts of share
	letterFetched                       // here they are
	letterFetchPark                     // the task waits: give the memory back
	letterFetchDone                     // the answer is out: give the memory back
	letterFetchFree                     // share may be used again
	letterFetchNotify                   // a watched partition moved on
)

// mailbox is a ring from one core to another: one writer, one reader, no lock.
type mailbox struct {
	head  atomic.Uint32 // next to read; written by the receiver
	_     [60]byte
	tail  atomic.Uint32 // next to write; written by the sender
	_     [60]byte
	slots [mailSlots]letter
	wait  []letter // the sender's own: did not fit
}

// put is the sender's.
func (m *mailbox) put(l letter) {
	if len(m.wait) > 0 || !m.push(l) {
		m.wait = append(m.wait, l)
	}
}

func (m *mailbox) push(l letter) bool {
	t := m.tail.Load()
	if t-m.head.Load() == mailSlots {
		return false
	}
	m.slots[t%mailSlots] = l
	m.tail.Store(t + 1)
	return true
}

// retry moves what waited into the ring; true when nothing waits any more.
func (m *mailbox) retry() bool {
	n := 0
	for n < len(m.wait) && m.push(m.wait[n]) {
		n++
	}
	m.wait = append(m.wait[:0], m.wait[n:]...)
	return len(m.wait) == 0
}

// take is the receiver's: the letter at position at, which the caller knows to be
// there.
func (m *mailbox) take() letter {
	h := m.head.Load()
	l := m.slots[h%mailSlots]
	m.slots[h%mailSlots] = letter{} // drop references
	m.head.Store(h + 1)
	return l
}

// Event is something from outside the cores: a new image, a job's result, a question
// of the admin server. It runs on the core.
type Event func(c *Core)

// inbox takes events from any thread. Cold: a mutex, never held for long.
type inbox struct {
	mu     sync.Mutex
	events []Event
	full   atomic.Bool
	wake   func()
}

// Post hands an event to the core and wakes it.
func (b *inbox) Post(e Event) {
	b.mu.Lock()
	b.events = append(b.events, e)
	first := len(b.events) == 1
	b.full.Store(true)
	wake := b.wake
	b.mu.Unlock()
	if first && wake != nil {
		wake()
	}
}

// drain moves all events to dst.
func (b *inbox) drain(dst []Event) []Event {
	if !b.full.Load() {
		return dst
	}
	b.mu.Lock()
	dst = append(dst, b.events...)
	clear(b.events)
	b.events = b.events[:0]
	b.full.Store(false)
	b.mu.Unlock()
	return dst
}
