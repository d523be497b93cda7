package limits

import (
	"fmt"
	"math"
	"strings"

	"millrace/loadgen/result"
)

// cost is CPU seconds per 10⁹ bytes of what no broker can avoid, with its parts.
type cost struct {
	perGB float64
	parts []result.LimitPart
}

func (c *cost) add(name string, perGB float64) {
	c.perGB += perGB
	c.parts = append(c.parts, result.LimitPart{Name: name, Value: 1e3 / perGB, Unit: "MB/s"})
}

// between interpolates a figure over sizes, linearly over the logarithm of the size; outside of
// what was measured the nearest counts.
func (l *Limits) between(sizes []int, bytes float64, key func(n int) string) (float64, bool) {
	var lowAt, highAt, low, high float64
	for _, n := range sizes {
		f, ok := l.Figure(key(n))
		if !ok || !(f.Value > 0) {
			continue
		}
		if at := float64(n); at <= bytes || lowAt == 0 {
			lowAt, low = at, f.Value
		}
		if highAt, high = float64(n), f.Value; highAt >= bytes {
			break
		}
	}
	switch {
	case lowAt == 0:
		return 0, false
	case highAt <= lowAt || bytes <= lowAt:
		return low, true
	case bytes >= highAt:
		return high, true
	}
	share := math.Log(bytes/lowAt) / math.Log(highAt/lowAt)
	return low + (high-low)*share, true
}

// produceCost is 1/(1/receive + 1/CRC + 1/write) turned round, for requests of so many bytes. What
// is written is taken to be gathered from many requests, 64 KiB at least.
func (l *Limits) produceCost(request float64) (cost, bool) {
	var c cost
	cores := 2
	if _, ok := l.Figure(tcpKey(tcpSizes[0], 2) + ".receive"); !ok {
		cores = 1
	}
	receive, ok1 := l.between(tcpSizes, request, func(n int) string { return tcpKey(n, cores) + ".receive" })
	sum, ok2 := l.between(crcSizes, request, func(n int) string { return "crc32c." + sizeName(n) })
	write, ok3 := l.between(writeSizes, max(request, 64<<10), func(n int) string { return writeKey(n) + ".cpu" })
	if !ok1 || !ok2 || !ok3 {
		return c, false
	}
	c.add("receive", receive)
	c.add("CRC-32C", 1/sum)
	c.add("write", write)
	return c, true
}

// fetchCost is that of sendfile from the page cache.
func (l *Limits) fetchCost(answer float64) (cost, bool) {
	var c cost
	send, ok := l.between(sendfileSizes, answer, func(n int) string { return "sendfile." + sizeName(n) + ".send" })
	if !ok {
		return c, false
	}
	c.add("sendfile", send)
	return c, true
}

// Composite is a limit put together: 10⁹ bytes per second that one core can take at most.
type Composite struct {
	Name  string             `json:"name"`
	Bytes float64            `json:"request_bytes"`
	Rate  float64            `json:"mb_per_second_and_core"`
	Parts []result.LimitPart `json:"parts"`
}

// Composites of the usual sizes.
func (l *Limits) Composites() []Composite {
	var out []Composite
	put := func(name string, bytes float64, c cost, ok bool) {
		if ok {
			out = append(out, Composite{name, bytes, 1e3 / c.perGB, c.parts})
		}
	}
	for _, n := range []int{1 << 10, 16 << 10, 64 << 10, 1 << 20} {
		c, ok := l.produceCost(float64(n))
		put("produce, requests of "+sizeText(n), float64(n), c, ok)
	}
	for _, n := range sendfileSizes {
		c, ok := l.fetchCost(float64(n))
		put("fetch, answers of "+sizeText(n), float64(n), c, ok)
	}
	return out
}

// suspicious is the share above which the limit, not the broker, is to be doubted (L4).
const suspicious = 0.9

// Share says what share of the composite limit a run has reached: the CPU seconds that its bytes
// must cost at least, divided by those that the broker has used. Where the broker's cost is not
// known, by all CPU time of the machine that the run took, which counts the client's and idle time
// against the broker. Nil: nothing went through, or the limits lack what it takes.
func (l *Limits) Share(r *result.Run) *result.Share {
	in, out := float64(r.AckedBytes)/1e9, float64(r.ReceivedBytes)/1e9
	if !(r.Seconds > 0) || in+out <= 0 {
		return nil
	}
	var need float64 // CPU seconds
	var names []string
	s := &result.Share{Unit: "MB/s"}
	if in > 0 {
		c, ok := l.produceCost(requestBytes(r))
		if !ok {
			return nil
		}
		need += in * c.perGB
		names = append(names, "receive + CRC + write")
		s.Parts = append(s.Parts, c.parts...)
	}
	if out > 0 {
		c, ok := l.fetchCost(fetchBytes(r))
		if !ok {
			return nil
		}
		need += out * c.perGB
		names = append(names, "sendfile")
		s.Parts = append(s.Parts, c.parts...)
	}
	used := r.Seconds * float64(max(1, r.Host.Cores))
	s.Name = r.Load + ": " + strings.Join(names, " + ") + ", per core"
	notes := []string{"of all CPU time of the machine, because the broker's is not known"}
	if r.Broker != nil && r.Broker.CPUSeconds > 0 {
		used = r.Broker.CPUSeconds
		notes = nil
	}
	s.Fraction = need / used
	s.Reached, s.Limit = (in+out)*1e3/used, (in+out)*1e3/need
	if s.Fraction > suspicious {
		notes = append(notes, "above nine tenths: doubt the limit before you praise the broker")
	}
	if busy := r.Broker != nil && used < 0.25*r.Seconds; busy && notes == nil {
		notes = append(notes, fmt.Sprintf("the broker was busy for %.0f %% of one core only: "+
			"what it costs to wake up is in the figure", used/r.Seconds*100))
	}
	if l.Host.CPU != "" && r.Host.CPU != "" && l.Host.CPU != r.Host.CPU {
		notes = append(notes, "the limits are those of another CPU: "+l.Host.CPU)
	}
	s.Note = strings.Join(notes, "; ")
	return s
}

// requestBytes is the mean size of a produce request's batches.
func requestBytes(r *result.Run) float64 {
	if r.Received > 0 && r.Acked > 0 || r.Requests == 0 { // requests of both kinds in one count
		return 64 << 10
	}
	return float64(r.AckedBytes) / float64(r.Requests)
}

// fetchBytes is that of an answer.
func fetchBytes(r *result.Run) float64 {
	if r.Acked > 0 || r.Requests == 0 {
		return 64 << 10
	}
	return float64(r.ReceivedBytes) / float64(r.Requests)
}
