package netio

// fifo holds completions that are known before Reap asks. It grows to the most
// that ever waited, then allocates no more.
type fifo struct {
	ring []Completion // a power of two
	head uint32
	tail uint32
}

const fifoStart = 256

func (f *fifo) len() int { return int(f.tail - f.head) }

func (f *fifo) push(c Completion) {
	if int(f.tail-f.head) == len(f.ring) {
		f.grow()
	}
	f.ring[f.tail&uint32(len(f.ring)-1)] = c
	f.tail++
}

// pop moves as many as fit into dst and returns how many.
func (f *fifo) pop(dst []Completion) int {
	n := 0
	for f.head != f.tail && n < len(dst) {
		dst[n] = f.ring[f.head&uint32(len(f.ring)-1)]
		f.head++
		n++
	}
	return n
}

func (f *fifo) grow() {
	ring := make([]Completion, max(fifoStart, 2*len(f.ring)))
	n := f.pop(ring)
	f.ring, f.head, f.tail = ring, 0, uint32(n)
}
