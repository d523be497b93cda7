package cli

import (
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// origin is where consuming begins: 's' start plus n, 'e' end plus n (n ≤ 0), 'o' the
// offset n, 't' the first record not older than n milliseconds.
type origin struct {
	kind byte
	n    int64
}

// parseOffset reads what --offset takes.
func parseOffset(s string, now time.Time) (origin, error) {
	switch s {
	case "start", "earliest":
		return origin{kind: 's'}, nil
	case "end", "latest":
		return origin{kind: 'e'}, nil
	}
	if ts, isTime := strings.CutPrefix(s, "@"); isTime {
		ms, err := parseTime(ts, now)
		return origin{'t', ms}, err
	}
	n, err := strconv.ParseInt(s, 10, 64)
	switch {
	case err != nil:
		return origin{}, Usage("offset %q: want start, end, N, +N, -N or @TIME", s)
	case s[0] == '+':
		return origin{'s', n}, nil
	case s[0] == '-':
		return origin{'e', n}, nil
	}
	return origin{'o', n}, nil
}

// kgo is the client's form.
func (o origin) kgo() kgo.Offset {
	switch at := kgo.NewOffset(); o.kind {
	case 's':
		return at.AtStart().Relative(o.n)
	case 'e':
		return at.AtEnd().Relative(o.n)
	case 't':
		return at.AfterMilli(o.n)
	default:
		return at.At(o.n)
	}
}

// position is the first offset to read of a partition; byTime is -1 when nothing is
// that young.
func (o origin) position(start, end, byTime int64) int64 {
	switch o.kind {
	case 's':
		return min(start+o.n, end)
	case 'e':
		return max(end+o.n, start)
	case 't':
		if byTime < 0 {
			return end
		}
		return byTime
	}
	return o.n
}

// parseTime reads RFC 3339, a date or date and time in UTC, milliseconds since the
// epoch, or a duration back from now.
func parseTime(s string, now time.Time) (int64, error) {
	if ms, err := strconv.ParseInt(s, 10, 64); err == nil && ms >= 0 {
		return ms, nil
	}
	if d, err := time.ParseDuration(strings.TrimPrefix(s, "-")); err == nil {
		return now.Add(-d.Abs()).UnixMilli(), nil
	}
	layouts := []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05", "2006-01-02"}
	for _, layout := range layouts {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UnixMilli(), nil
		}
	}
	return 0, Usage("time %q: want 2006-01-02T15:04:05Z, 2006-01-02, milliseconds or a duration like -2h", s)
}
