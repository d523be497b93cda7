package plan

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
)

// Config is one configuration of a sweep: a shape of load and what the broker was set to.
type Config struct {
	Size        int    `json:"size"`        // bytes of a value
	Records     int    `json:"records"`     // messages of a batch; one batch is one request
	Partitions  int    `json:"partitions"`  // of the topic
	Acks        string `json:"acks"`        // "1" or "all"
	Connections int    `json:"connections"` // of producers
	InFlight    int    `json:"in_flight"`   // requests on each
	FanOut      int    `json:"fan_out"`     // groups that read at the tail
	// Labels are what a client cannot see: durability=fsync, cores=2.
	Labels map[string]string `json:"labels,omitempty"`
}

// Key tells configurations apart; it names their topics, too.
func (c Config) Key() string {
	b := &strings.Builder{}
	fmt.Fprintf(b, "%dB-x%d-%dp-acks%s-%dc-%df-%dg", c.Size, c.Records, c.Partitions, c.Acks,
		c.Connections, c.InFlight, c.FanOut)
	for _, k := range slices.Sorted(maps.Keys(c.Labels)) {
		fmt.Fprintf(b, "-%s.%s", k, c.Labels[k])
	}
	return b.String()
}

// String is for people.
func (c Config) String() string {
	text := fmt.Sprintf("%d B × %d, %d partitions, acks=%s, %d×%d", c.Size, c.Records, c.Partitions,
		c.Acks, c.Connections, c.InFlight)
	if c.FanOut > 0 {
		text += fmt.Sprintf(", read %d times", c.FanOut)
	}
	for _, k := range slices.Sorted(maps.Keys(c.Labels)) {
		text += fmt.Sprintf(", %s=%s", k, c.Labels[k])
	}
	return text
}

// Bytes of a request's record batch, without compression.
func (c Config) Bytes() float64 { return BatchBytes(c.Size, c.Records) }

// BatchBytes is the length of a batch of messages without keys and headers: 61 bytes before the
// records; each has a length, attributes, two deltas, lengths of key and value, a header count.
func BatchBytes(size, records int) float64 {
	body := 1 + 1 + varintBytes(records) + 1 + varintBytes(size) + size + 1
	return 61 + float64(records)*float64(varintBytes(body)+body)
}

// varintBytes is the length of a zigzag varint.
func varintBytes(v int) int {
	n := 1
	for u := uint64(v) << 1; u >= 0x80; u >>= 7 {
		n++
	}
	return n
}

// Matrix is every combination of what its lists hold.
type Matrix struct {
	Sizes       []int
	Batches     []Batch
	Partitions  []int
	Acks        []string
	Connections []int
	InFlight    int
	FanOut      []int
	Labels      map[string]string
}

// Batch of a request: so many messages, or as many as so many bytes hold.
type Batch struct {
	Records int
	Bytes   int
}

func (b Batch) records(size int) int {
	if b.Bytes == 0 {
		return b.Records
	}
	n := 1
	for BatchBytes(size, n*2) <= float64(b.Bytes) {
		n *= 2
	}
	for step := n / 2; step > 0; step /= 2 {
		if BatchBytes(size, n+step) <= float64(b.Bytes) {
			n += step
		}
	}
	return n
}

// Limits of a matrix.
const (
	maxConfigs = 1000
	maxSize    = 64 << 20
)

// Configs are all combinations, each once.
func (m Matrix) Configs() ([]Config, error) {
	var out []Config
	seen := map[string]bool{}
	for _, size := range m.Sizes {
		for _, batch := range m.Batches {
			for _, partitions := range m.Partitions {
				for _, acks := range m.Acks {
					for _, connections := range m.Connections {
						for _, fanOut := range m.FanOut {
							c := Config{Size: size, Records: batch.records(size), Partitions: partitions,
								Acks: acks, Connections: connections, InFlight: m.InFlight,
								FanOut: fanOut, Labels: m.Labels}
							if err := c.check(); err != nil {
								return nil, err
							}
							if !seen[c.Key()] {
								seen[c.Key()] = true
								out = append(out, c)
							}
						}
					}
				}
			}
		}
	}
	if len(out) == 0 || len(out) > maxConfigs {
		return nil, fmt.Errorf("plan: %d configurations, want 1 to %d", len(out), maxConfigs)
	}
	return out, nil
}

func (c Config) check() error {
	switch {
	case c.Size < 0 || c.Size > maxSize || c.Records < 1 || c.Records > 1<<20:
		return fmt.Errorf("plan: %d bytes × %d messages: too small or too large", c.Size, c.Records)
	case c.Bytes() > 1<<30:
		return fmt.Errorf("plan: a batch of %.0f bytes", c.Bytes())
	case c.Partitions < 1 || c.Connections < 1 || c.InFlight < 1 || c.FanOut < 0:
		return errors.New("plan: partitions, connections and requests in flight must be at least one")
	case c.Acks != "1" && c.Acks != "all":
		return fmt.Errorf("plan: acks %.20q, want 1 or all", c.Acks)
	}
	for k, v := range c.Labels {
		if k == "" || k == "acks" || strings.ContainsAny(k+v, " \t\n,") {
			return fmt.Errorf("plan: label %.40q=%.40q: a name that is not acks, no spaces, no commas", k, v)
		}
	}
	return nil
}

// Sample is n configurations of a list in which every size, batch, number of partitions, … comes
// about equally often: the n that tell most for their time. The same seed gives the same ones.
func Sample(list []Config, n int, seed uint64) []Config {
	if n <= 0 || n >= len(list) {
		return list
	}
	rng := rand.New(rand.NewPCG(seed, 1))
	left := slices.Clone(list)
	rng.Shuffle(len(left), func(i, j int) { left[i], left[j] = left[j], left[i] })
	times := map[string]int{}
	var out []Config
	for len(out) < n {
		best, least := 0, math.MaxInt
		for i, c := range left {
			sum := 0
			for _, p := range c.pairs() {
				sum += times[p] * times[p]
			}
			if sum < least {
				best, least = i, sum
			}
		}
		for _, p := range left[best].pairs() {
			times[p]++
		}
		out = append(out, left[best])
		left = slices.Delete(left, best, best+1)
	}
	return out
}

// pairs names every two properties that a configuration has together, and each alone.
func (c Config) pairs() []string {
	one := []string{fmt.Sprintf("size %d", c.Size), fmt.Sprintf("batch %.2g", math.Log2(c.Bytes())),
		fmt.Sprintf("partitions %d", c.Partitions), "acks " + c.Acks, fmt.Sprintf("connections %d", c.Connections),
		fmt.Sprintf("fan-out %d", c.FanOut)}
	out := slices.Clone(one)
	for i, a := range one {
		for _, b := range one[:i] {
			out = append(out, a+", "+b)
		}
	}
	return out
}
