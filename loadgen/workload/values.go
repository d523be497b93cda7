package workload

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Rate is messages per second over everything, or as many as go.
type Rate struct {
	PerSecond float64 // 0: as many as go
	Share     float64 // of what the load named Of has reached; 0: PerSecond counts
	Of        string
}

// Max says that nothing but answers holds the load back.
func (r Rate) Max() bool { return r.PerSecond == 0 && r.Share == 0 }

// Resolved says that the rate depends on no other load.
func (r Rate) Resolved() bool { return r.Share == 0 }

func (r Rate) String() string {
	switch {
	case r.Share > 0:
		return formatFloat(r.Share*100) + "% of " + r.Of
	case r.PerSecond == 0:
		return "max"
	}
	return formatFloat(r.PerSecond)
}

// ParseRate reads "20000", "20k", "2M", "max", or "80% of NAME".
func ParseRate(text string) (Rate, error) {
	text = strings.TrimSpace(text)
	if text == "max" {
		return Rate{}, nil
	}
	if share, of, ok := strings.Cut(text, "%"); ok {
		v, err := strconv.ParseFloat(share, 64)
		name, hasName := strings.CutPrefix(strings.TrimSpace(of), "of ")
		if err != nil || !hasName || v <= 0 || v > 1000 || strings.TrimSpace(name) == "" {
			return Rate{}, errors.New("a share of another load's rate is written as \"80% of NAME\"")
		}
		return Rate{Share: v / 100, Of: strings.TrimSpace(name)}, nil
	}
	v, err := parseCount(text)
	if err != nil || v < 0 || v > 1e9 {
		return Rate{}, errors.New("want messages per second, as 20000, 20k or 2M, or max")
	}
	return Rate{PerSecond: v}, nil
}

var countUnits = []struct {
	suffix string
	of     float64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"kB", 1e3}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"B", 1},
}

// parseCount reads a number with k, M or G behind it.
func parseCount(text string) (float64, error) {
	for i, of := range []float64{1e3, 1e6, 1e9} {
		if head, ok := strings.CutSuffix(text, []string{"k", "M", "G"}[i]); ok {
			v, err := strconv.ParseFloat(strings.TrimSpace(head), 64)
			return v * of, finite(v, err)
		}
	}
	v, err := strconv.ParseFloat(strings.ReplaceAll(text, "_", ""), 64)
	return v, finite(v, err)
}

func finite(v float64, err error) error {
	if err == nil && (math.IsNaN(v) || math.IsInf(v, 0)) {
		return errors.New("not a number")
	}
	return err
}

// ParseBytes reads a size: "100", "64KiB" (1024), "1MB" (1000 × 1000).
func ParseBytes(text string) (int64, error) {
	text = strings.TrimSpace(text)
	v, err := 0.0, error(nil)
	for _, u := range countUnits {
		if head, ok := strings.CutSuffix(text, u.suffix); ok {
			v, err = strconv.ParseFloat(strings.TrimSpace(head), 64)
			return wholeBytes(v*u.of, finite(v, err))
		}
	}
	return wholeBytes(parseCount(text))
}

func wholeBytes(v float64, err error) (int64, error) {
	if err != nil || v < 0 || v > 1<<50 || v != math.Trunc(v) {
		return 0, errors.New("want bytes, as 100, 64KiB or 1MB")
	}
	return int64(v), nil
}

func formatBytes(n int64) string {
	for _, u := range []struct {
		name string
		of   int64
	}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if n >= u.of && n%u.of == 0 {
			return strconv.FormatInt(n/u.of, 10) + u.name
		}
	}
	return strconv.FormatInt(n, 10)
}

func formatFloat(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

// Kinds of sizes.
const (
	SizeFixed   = "fixed"
	SizeUniform = "uniform"
	SizeChoice  = "choice"
)

// Sizes of messages' values.
type Sizes struct {
	Kind     string
	From, To int // uniform: both can come; fixed: From
	Choices  []Choice
}

// Choice is one of several sizes.
type Choice struct {
	Size   int
	Weight float64
}

// FixedSize is always the same.
func FixedSize(n int) Sizes { return Sizes{Kind: SizeFixed, From: n, To: n} }

// Max is the largest.
func (s Sizes) Max() int {
	most := s.To
	for _, c := range s.Choices {
		most = max(most, c.Size)
	}
	return most
}

// Min is the smallest.
func (s Sizes) Min() int {
	if s.Kind != SizeChoice {
		return s.From
	}
	least := math.MaxInt
	for _, c := range s.Choices {
		least = min(least, c.Size)
	}
	return least
}

// Mean is the expected one.
func (s Sizes) Mean() float64 {
	if s.Kind != SizeChoice {
		return float64(s.From+s.To) / 2
	}
	sum, weight := 0.0, 0.0
	for _, c := range s.Choices {
		sum, weight = sum+float64(c.Size)*c.Weight, weight+c.Weight
	}
	return sum / weight
}

func (s Sizes) String() string {
	switch s.Kind {
	case SizeUniform:
		return fmt.Sprintf("uniform:%d-%d", s.From, s.To)
	case SizeChoice:
		parts := make([]string, len(s.Choices))
		for i, c := range s.Choices {
			parts[i] = fmt.Sprintf("%d=%s", c.Size, formatFloat(c.Weight))
		}
		return strings.Join(parts, ",")
	}
	return strconv.Itoa(s.From)
}

const maxMessage = 64 << 20

// ParseSizes reads "100", "1KiB", "uniform:50-150" or "100=80,1000=20" (size=weight).
func ParseSizes(text string) (Sizes, error) {
	if span, ok := strings.CutPrefix(text, "uniform:"); ok {
		a, b, two := strings.Cut(span, "-")
		from, err1 := ParseBytes(a)
		to, err2 := ParseBytes(b)
		if !two || err1 != nil || err2 != nil || from > to || to > maxMessage {
			return Sizes{}, errors.New("a range of sizes is written as uniform:50-150")
		}
		return Sizes{Kind: SizeUniform, From: int(from), To: int(to)}, nil
	}
	if !strings.Contains(text, "=") {
		n, err := ParseBytes(text)
		if err != nil || n > maxMessage {
			return Sizes{}, errors.New("want bytes (100, 1KiB; at most 64MiB), uniform:50-150, or " +
				"sizes with weights (100=80,1000=20)")
		}
		return FixedSize(int(n)), nil
	}
	s := Sizes{Kind: SizeChoice}
	for part := range strings.SplitSeq(text, ",") {
		size, weight, _ := strings.Cut(part, "=")
		n, err1 := ParseBytes(size)
		v, err2 := strconv.ParseFloat(strings.TrimSpace(weight), 64)
		if err1 != nil || err2 != nil || n > maxMessage || !(v > 0) || v > 1e12 {
			return Sizes{}, errors.New("sizes with weights are written as 100=80,1000=20")
		}
		s.Choices = append(s.Choices, Choice{int(n), v})
	}
	slices.SortStableFunc(s.Choices, func(a, b Choice) int { return a.Size - b.Size })
	return s, nil
}

// Kinds of keys.
const (
	KeysNone   = "none"
	KeysSeq    = "seq"
	KeysRandom = "random"
	KeysZipf   = "zipf"
)

// Keys of messages.
type Keys struct {
	Kind string
	N    int64   // how many there are; seq with 0: each one new
	S    float64 // zipf: the exponent, over 1
}

func (k Keys) String() string {
	switch {
	case k.Kind == KeysNone || k.N == 0:
		return k.Kind
	case k.Kind == KeysZipf:
		return fmt.Sprintf("zipf:%d:%s", k.N, formatFloat(k.S))
	}
	return fmt.Sprintf("%s:%d", k.Kind, k.N)
}

// ParseKeys reads "none", "seq", "seq:N", "random:N", "zipf:N" or "zipf:N:S".
func ParseKeys(text string) (Keys, error) {
	wrong := errors.New("want none, seq, seq:N, random:N, zipf:N or zipf:N:S with S over 1")
	parts := strings.Split(text, ":")
	k := Keys{Kind: parts[0]}
	if len(parts) > 1 {
		n, err := parseCount(parts[1])
		if err != nil || n < 1 || n > 1e12 || n != math.Trunc(n) {
			return Keys{}, wrong
		}
		k.N = int64(n)
	}
	switch {
	case k.Kind == KeysNone && len(parts) == 1:
	case k.Kind == KeysSeq && len(parts) <= 2:
	case k.Kind == KeysRandom && len(parts) == 2:
	case k.Kind == KeysZipf && len(parts) == 2:
		k.S = 1.1
	case k.Kind == KeysZipf && len(parts) == 3:
		s, err := strconv.ParseFloat(parts[2], 64)
		if err != nil || !(s > 1) || s > 100 {
			return Keys{}, wrong
		}
		k.S = s
	default:
		return Keys{}, wrong
	}
	return k, nil
}

// Batch is how much goes into one: messages, or bytes.
type Batch struct {
	Records int
	Bytes   int // 0: Records counts
}

func (b Batch) String() string {
	if b.Bytes > 0 {
		if text := formatBytes(int64(b.Bytes)); strings.HasSuffix(text, "B") {
			return text
		}
		return strconv.Itoa(b.Bytes) + "B"
	}
	return strconv.Itoa(b.Records)
}

// ParseBatch reads "64" (messages) or "16KiB" (bytes: with their unit).
func ParseBatch(text string) (Batch, error) {
	text = strings.TrimSpace(text)
	if strings.HasSuffix(text, "B") {
		n, err := ParseBytes(text)
		if err != nil || n < 1 || n > 1<<30 {
			return Batch{}, errors.New("want a batch's bytes, as 16KiB")
		}
		return Batch{Bytes: int(n)}, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > 1<<20 {
		return Batch{}, errors.New("want a batch's messages, as 64, or its bytes, as 16KiB")
	}
	return Batch{Records: n}, nil
}

// Payload is what values consist of: the contents of a file, or seeded random bytes and zeros.
type Payload struct {
	Random float64 // share of random bytes; the rest are zeros, so that codecs have work
	Pool   int     // how many different values there are
	File   string  // its bytes are every value, cut or repeated to the size
}

// from is where reading begins.
type from string

func (f from) String() string { return string(f) }

// Offset is where reading begins: an offset, or −2 for the start and −1 for the end, as
// ListOffsets has them.
func (w *Workload) Offset() int64 {
	switch w.From {
	case FromStart:
		return -2
	case FromEnd:
		return -1
	}
	n, _ := strconv.ParseInt(w.From, 10, 64)
	return n
}

func parseFrom(text string) (from, error) {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && n >= 0 ||
		text == FromStart || text == FromEnd {
		return from(text), nil
	}
	return "", errors.New("want start, end or an offset")
}

// mechanism of SASL; none is "".
type mechanism struct{ to *string }

// Mechanisms of SASL.
const (
	Plain       = "plain"
	ScramSHA256 = "scram-sha-256"
	ScramSHA512 = "scram-sha-512"
)

func (m mechanism) String() string {
	if *m.to == "" {
		return "none"
	}
	return *m.to
}

func (m mechanism) Set(text string) error {
	switch text = strings.ToLower(text); text {
	case "none", "":
		*m.to = ""
	case Plain, ScramSHA256, ScramSHA512:
		*m.to = text
	default:
		return errors.New("want none, plain, scram-sha-256 or scram-sha-512")
	}
	return nil
}
