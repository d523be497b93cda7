package workload

import (
	"fmt"
	"math/rand/v2"
	"os"
	"sort"
)

// Sizer draws the sizes of one producer's messages.
type Sizer struct {
	s      Sizes
	random *rand.Rand
	upTo   []float64 // choices: sums of weights
}

// NewSizer is the sizes of producer i.
func (w *Workload) NewSizer(i int) *Sizer {
	z := &Sizer{s: w.Size}
	if w.Size.Kind != SizeFixed {
		z.random = w.Random("size", i)
	}
	sum := 0.0
	for _, c := range w.Size.Choices {
		sum += c.Weight
		z.upTo = append(z.upTo, sum)
	}
	return z
}

// Next is the next size.
func (z *Sizer) Next() int {
	switch z.s.Kind {
	case SizeUniform:
		return z.s.From + z.random.IntN(z.s.To-z.s.From+1)
	case SizeChoice:
		at := z.random.Float64() * z.upTo[len(z.upTo)-1]
		i := sort.SearchFloat64s(z.upTo, at)
		return z.s.Choices[min(i, len(z.upTo)-1)].Size
	}
	return z.s.From
}

// Keyer draws the keys of one producer's messages.
type Keyer struct {
	k      Keys
	size   int
	step   int64
	next   int64
	random *rand.Rand
	zipf   *rand.Zipf
}

// NewKeyer is the keys of producer i of n: of sequential ones it has every n-th.
func (w *Workload) NewKeyer(i, n int) *Keyer {
	k := &Keyer{k: w.Keys, size: w.KeySize, next: int64(i), step: int64(n)}
	switch w.Keys.Kind {
	case KeysRandom:
		k.random = w.Random("key", i)
	case KeysZipf:
		k.zipf = rand.NewZipf(w.Random("key", i), w.Keys.S, 1, uint64(w.Keys.N-1))
	}
	return k
}

// Next is the number of the next message's key; ok is false where there are no keys.
func (k *Keyer) Next() (n int64, ok bool) {
	switch k.k.Kind {
	case KeysSeq:
		n = k.next
		k.next += k.step
		if k.k.N > 0 {
			n %= k.k.N
		}
	case KeysRandom:
		n = k.random.Int64N(k.k.N)
	case KeysZipf:
		n = int64(k.zipf.Uint64())
	default:
		return 0, false
	}
	return n, true
}

// AppendKey writes the key of a number: its digits with zeros before them, KeySize bytes.
func (w *Workload) AppendKey(dst []byte, n int64) []byte {
	at := len(dst)
	for range w.KeySize {
		dst = append(dst, '0')
	}
	for i := len(dst) - 1; n > 0 && i >= at; i-- {
		dst[i] = byte('0' + n%10)
		n /= 10
	}
	return dst
}

// PartitionOf is where Kafka's own clients put a key: murmur2 without its sign, by partitions.
func PartitionOf(key []byte, partitions int) int {
	return int(murmur2(key)&0x7fffffff) % partitions
}

// murmur2 as Kafka's clients have it (seed 0x9747b28c).
func murmur2(b []byte) uint32 {
	const m = 0x5bd1e995
	h := 0x9747b28c ^ uint32(len(b))
	for ; len(b) >= 4; b = b[4:] {
		k := uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24
		k *= m
		k ^= k >> 24
		h = h*m ^ k*m
	}
	switch len(b) {
	case 3:
		h ^= uint32(b[2]) << 16
		fallthrough
	case 2:
		h ^= uint32(b[1]) << 8
		fallthrough
	case 1:
		h = (h ^ uint32(b[0])) * m
	}
	h ^= h >> 13
	h *= m
	return h ^ h>>15
}

// Pool is the values' contents: a few, made once, used in turn.
type Pool struct {
	values [][]byte // each of the greatest size
	next   int
}

// NewPool makes the contents of producer i; every value is cut to its size when it is used.
func (w *Workload) NewPool(i int) (*Pool, error) {
	size := w.Size.Max()
	if w.Payload.File != "" {
		text, err := os.ReadFile(w.Payload.File)
		if err != nil {
			return nil, fmt.Errorf("loadgen: payload: %w", err)
		}
		if len(text) == 0 {
			return nil, fmt.Errorf("loadgen: payload: %s is empty", w.Payload.File)
		}
		v := make([]byte, size)
		for at := 0; at < size; {
			at += copy(v[at:], text)
		}
		return &Pool{values: [][]byte{v}}, nil
	}
	random := w.Random("payload", i)
	p := &Pool{values: make([][]byte, w.Payload.Pool)}
	for n := range p.values {
		p.values[n] = make([]byte, size)
		w.fill(p.values[n], random)
	}
	return p, nil
}

// fill spreads random bytes over v, as many of each 64 as their share says: a cut value has the
// same share as a whole one.
func (w *Workload) fill(v []byte, random *rand.Rand) {
	const piece = 64
	for at := 0; at < len(v); at += piece {
		part := v[at:min(at+piece, len(v))]
		part = part[:int(w.Payload.Random*float64(len(part))+0.5)]
		for i := 0; i < len(part); i += 8 {
			x := random.Uint64()
			for j := i; j < min(i+8, len(part)); j++ {
				part[j] = byte(x)
				x >>= 8
			}
		}
	}
}

// Next is the next content of a size; it belongs to the pool and must not be written to.
func (p *Pool) Next(size int) []byte {
	v := p.values[p.next]
	if p.next++; p.next == len(p.values) {
		p.next = 0
	}
	return v[:size]
}
