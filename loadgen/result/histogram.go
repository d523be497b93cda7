package result

import (
	"compress/zlib"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Bounds of every histogram, in nanoseconds: what lies outside is recorded as the bound itself.
const (
	Lowest  = 1_000
	Highest = 60_000_000_000
	digits  = 3
)

// NewHistogram is an empty one of nanoseconds, 1 µs to 60 s, three digits.
func NewHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(Lowest, Highest, digits) }

// quantiles that are told, with the samples that each needs.
var quantiles = []struct {
	q    float64
	need int64
}{
	{0.5, 10}, {0.75, 40}, {0.9, 100}, {0.95, 200}, {0.99, 1_000}, {0.999, 100_000},
	{0.9999, 1_000_000}, {0.99999, 10_000_000},
}

// Supported says whether so many samples can carry the quantile q: between the ones that are
// told, what the higher one needs.
func Supported(q float64, count int64) bool {
	for _, x := range quantiles {
		if q <= x.q {
			return count >= x.need
		}
	}
	return float64(count)*(1-q) >= 100
}

// Summarize is R2: the figures of a histogram and the histogram itself.
func Summarize(h *hdrhistogram.Histogram) Summary {
	s := Summary{Count: h.TotalCount(), Histogram: Encode(h)}
	if s.Count == 0 {
		return s
	}
	s.Min, s.Mean, s.Max = float64(h.Min())/1e3, h.Mean()/1e3, float64(h.Max())/1e3
	for _, x := range quantiles {
		if s.Count >= x.need {
			v := min(float64(h.ValueAtQuantile(x.q*100))/1e3, s.Max)
			s.Quantiles = append(s.Quantiles, Quantile{Q: x.q, Micros: v})
		}
	}
	return s
}

// Observe is an interval's latencies from their histogram.
func Observe(h *hdrhistogram.Histogram) Window {
	w := Window{Count: h.TotalCount()}
	if w.Count == 0 {
		return w
	}
	w.Histogram, w.Max = Encode(h), float64(h.Max())/1e3
	if Supported(0.5, w.Count) {
		w.P50 = min(float64(h.ValueAtQuantile(50))/1e3, w.Max)
	}
	if Supported(0.99, w.Count) {
		w.P99 = min(float64(h.ValueAtQuantile(99))/1e3, w.Max)
	}
	return w
}

// At is the quantile q, if the samples support it.
func (s *Summary) At(q float64) (micros float64, ok bool) {
	for _, x := range s.Quantiles {
		if math.Abs(x.Q-q) < 1e-9 {
			return x.Micros, true
		}
	}
	return 0, false
}

// Encode writes a histogram as text: HdrHistogram V2, compressed, base64.
func Encode(h *hdrhistogram.Histogram) string {
	b, err := h.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
	if err != nil { // writes to memory only
		panic(fmt.Sprintf("result: encoding a histogram: %v", err))
	}
	return string(b)
}

// Limits of what is taken for a histogram: 60 s in nanoseconds with three digits have 18 000
// counts; a log of others may have more.
const (
	maxEncoded = 1 << 20
	maxCounts  = 1 << 18
)

// Decode reads what Encode, or another implementation of the format, has written.
func Decode(text string) (*hdrhistogram.Histogram, error) {
	if len(text) > maxEncoded {
		return nil, fmt.Errorf("result: histogram: %d characters", len(text))
	}
	if err := checkGeometry(text); err != nil {
		return nil, fmt.Errorf("result: histogram: %w", err)
	}
	h, err := hdrhistogram.Decode([]byte(text))
	if err != nil {
		return nil, fmt.Errorf("result: histogram: %w", err)
	}
	return h, nil
}

// checkGeometry reads the header before memory is taken for the counts that it announces.
func checkGeometry(text string) error {
	packed := base64.NewDecoder(base64.StdEncoding, strings.NewReader(text))
	var outer [8]byte
	if _, err := io.ReadFull(packed, outer[:]); err != nil {
		return err
	}
	z, err := zlib.NewReader(packed)
	if err != nil {
		return err
	}
	var head [hdrhistogram.ENCODING_HEADER_SIZE]byte
	if _, err := io.ReadFull(z, head[:]); err != nil {
		return err
	}
	precision := int32(binary.BigEndian.Uint32(head[12:]))
	low := int64(binary.BigEndian.Uint64(head[16:]))
	high := int64(binary.BigEndian.Uint64(head[24:]))
	if precision < 1 || precision > 5 || low < 1 || high < 2*low {
		return fmt.Errorf("%d digits of %d to %d", precision, low, high)
	}
	// Every doubling of the range takes as many counts as the precision has steps.
	steps := math.Exp2(math.Ceil(math.Log2(2 * math.Pow10(int(precision)))))
	doublings := math.Log2(float64(high)/float64(low)) + 2
	if steps/2*doublings > maxCounts {
		return fmt.Errorf("%d digits of %d to %d are too many counts", precision, low, high)
	}
	return nil
}
