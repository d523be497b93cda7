package configdef

import (
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// rule says which values of the right type are meant.
type rule struct {
	kind   ruleKind
	lo, hi float64
	words  []string
}

type ruleKind uint8

const (
	ruleFree ruleKind = iota
	ruleRange
	ruleOneOf
	ruleOneOfFold // letters of any case
	ruleListOf
	ruleNonEmpty
	ruleGzip
	ruleThrottled
)

var (
	free      = rule{}
	nonEmpty  = rule{kind: ruleNonEmpty}
	gzipLevel = rule{kind: ruleGzip}
	throttled = rule{kind: ruleThrottled}
)

func atLeast(lo float64) rule        { return rule{ruleRange, lo, math.Inf(1), nil} }
func between(lo, hi float64) rule    { return rule{ruleRange, lo, hi, nil} }
func oneOf(words ...string) rule     { return rule{kind: ruleOneOf, words: words} }
func oneOfFold(words ...string) rule { return rule{kind: ruleOneOfFold, words: words} }
func listOf(words ...string) rule    { return rule{kind: ruleListOf, words: words} }
func plain(x float64) string         { return strconv.FormatFloat(x, 'f', -1, 64) }
func mustBe(words []string) string   { return "String must be one of: " + strings.Join(words, ", ") }
func invalid(n, v, why string) string {
	return "Invalid value " + v + " for configuration " + n + ": " + why
}

// Parse judges a value: it gives the form in which the value is reported, or why it is
// refused, in Kafka's words.
func (d *Def) Parse(value string) (canonical, why string) {
	v := strings.TrimSpace(value)
	switch d.typ {
	case Boolean:
		if v = strings.ToLower(v); v != "true" && v != "false" {
			return "", d.refuse(value, "Expected value to be either true or false")
		}
		return v, ""
	case Int, Short, Long:
		return d.integer(value, v)
	case Double:
		f, err := strconv.ParseFloat(v, 64)
		if err != nil {
			return "", d.refuse(value, "Not a number of type DOUBLE")
		}
		if why := d.rule.bounds(f); why != "" {
			return "", d.refuse(v, why)
		}
		return javaDouble(f), ""
	case List:
		return d.items(v)
	case Password:
		return value, ""
	}
	return v, d.text(v)
}

// javaDouble writes a number as Kafka's answers have it: 0.5, 5.0, 1.0E10.
func javaDouble(f float64) string {
	format := byte('f')
	if a := math.Abs(f); a != 0 && (a < 1e-3 || a >= 1e7) {
		format = 'E'
	}
	digits, exponent, _ := strings.Cut(strconv.FormatFloat(f, format, -1, 64), "E")
	if !strings.Contains(digits, ".") {
		digits += ".0"
	}
	if exponent == "" {
		return digits
	}
	n, _ := strconv.Atoi(exponent)
	return digits + "E" + strconv.Itoa(n)
}

func (d *Def) refuse(value, why string) string {
	if d.Sensitive() {
		value = "[hidden]"
	}
	return invalid(d.name, value, why)
}

var widths = map[Type]int{Short: 16, Int: 32, Long: 64}

func (d *Def) integer(value, v string) (string, string) {
	n, err := strconv.ParseInt(v, 10, widths[d.typ])
	if err != nil {
		return "", d.refuse(value, "Not a number of type "+d.typ.String())
	}
	if d.rule.kind == ruleGzip {
		if n != -1 && (n < 1 || n > 9) {
			return "", d.refuse(v, "Value must be between 1 and 9 or equal to -1")
		}
	} else if why := d.rule.bounds(float64(n)); why != "" {
		return "", d.refuse(v, why)
	}
	return strconv.FormatInt(n, 10), ""
}

func (r rule) bounds(x float64) string {
	if r.kind != ruleRange {
		return ""
	}
	if x < r.lo || math.IsNaN(x) {
		return "Value must be at least " + plain(r.lo)
	}
	if x > r.hi {
		return "Value must be no more than " + plain(r.hi)
	}
	return ""
}

func (d *Def) text(v string) string {
	fits := true
	switch d.rule.kind {
	case ruleOneOf:
		fits = slices.Contains(d.rule.words, v)
	case ruleOneOfFold:
		fits = slices.Contains(d.rule.words, strings.ToUpper(v))
	case ruleNonEmpty:
		if v == "" {
			return d.refuse(v, "String must be non-empty")
		}
	}
	if !fits {
		return d.refuse(v, mustBe(d.rule.words))
	}
	return ""
}

var throttledItem = regexp.MustCompile(`^\d+:\d+$`)

func (d *Def) items(v string) (string, string) {
	list := splitList(v)
	for _, it := range list {
		if d.rule.kind == ruleListOf && !slices.Contains(d.rule.words, it) {
			return "", d.refuse(it, mustBe(d.rule.words))
		}
		if d.rule.kind == ruleThrottled && !throttledItem.MatchString(it) &&
			!(len(list) == 1 && it == "*") {
			return "", d.refuse("["+strings.Join(list, ", ")+"]", d.name+" must be the "+
				"literal '*' or a list of replicas in the following format: "+
				"[partitionId]:[brokerId],[partitionId]:[brokerId],...")
		}
	}
	return strings.Join(list, ","), ""
}

// splitList reads a comma-separated list; nothing between two commas is an empty item.
func splitList(v string) []string {
	if v == "" {
		return nil
	}
	list := strings.Split(v, ",")
	for i := range list {
		list[i] = strings.TrimSpace(list[i])
	}
	return list
}
