package workload

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Option is one option: its name on the command line and in YAML, and how it is read and written.
type Option struct {
	Name  string
	Kind  string // of the value, for the help: "int", "duration", "bytes" …
	Usage string
	Modes []Mode // where it has a meaning; none: everywhere
	Bool  bool   // may stand without a value on the command line

	secret bool
	at     func(w *Workload) value
}

// value is one field with its text form.
type value interface {
	Set(text string) error
	String() string
}

// For says whether the option has a meaning in a mode.
func (o *Option) For(m Mode) bool { return len(o.Modes) == 0 || slices.Contains(o.Modes, m) }

// Text is the option's value in w.
func (o *Option) Text(w *Workload) string { return o.at(w).String() }

// Set gives the option of w a new value.
func (o *Option) Set(w *Workload, text string) error {
	if err := o.at(w).Set(text); err != nil {
		shown := strconv.Quote(text)
		if o.secret {
			shown = "the given value"
		}
		return &Problem{Option: o.Name, Why: fmt.Sprintf("%s: %v", shown, err)}
	}
	return nil
}

// Options is the table of all options, in the order of the help.
func Options() []Option { return slices.Clone(table) }

// Find returns the option of a name.
func Find(name string) (Option, bool) {
	i := slices.IndexFunc(table, func(o Option) bool { return o.Name == name })
	if i < 0 {
		return Option{}, false
	}
	return table[i], true
}

// Set gives the option of that name a new value.
func (w *Workload) Set(name, text string) error {
	o, ok := Find(name)
	if !ok {
		return &Problem{Option: name, Why: "there is no such option" + nearest(name)}
	}
	return o.Set(w, text)
}

// Map is every option that has a meaning in the mode, with its value as text, number or truth;
// passwords are dots.
func (w *Workload) Map() map[string]any {
	out := map[string]any{"mode": string(w.Mode)}
	for i := range table {
		o := &table[i]
		if !o.For(w.Mode) {
			continue
		}
		switch v := o.at(w).(type) {
		case *intValue:
			out[o.Name] = int64(*v)
		case *int64Value:
			out[o.Name] = int64(*v)
		case *boolValue:
			out[o.Name] = bool(*v)
		case *floatValue:
			out[o.Name] = float64(*v)
		case value:
			out[o.Name] = v.String()
		}
	}
	if len(w.Notes) > 0 {
		out["notes"] = slices.Clone(w.Notes)
	}
	return out
}

// nearest suggests a name that was meant.
func nearest(name string) string {
	best, least := "", 3
	for i := range table {
		if d := distance(name, table[i].Name); d < least {
			best, least = table[i].Name, d
		}
	}
	if best == "" {
		return ""
	}
	return "; did you mean " + best + "?"
}

// distance is how many letters to change, add, drop or swap with their neighbour make a into b.
func distance(a, b string) int {
	before, last := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row := make([]int, len(b)+1)
		row[0] = i + 1
		for j := range len(b) {
			cost := last[j]
			if a[i] != b[j] {
				cost++
			}
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				cost = min(cost, before[j-1]+1)
			}
			row[j+1] = min(cost, row[j]+1, last[j+1]+1)
		}
		before, last = last, row
	}
	return last[len(b)]
}

type (
	intValue    int
	int64Value  int64
	boolValue   bool
	floatValue  float64
	textValue   string
	timeValue   time.Duration
	listValue   []string
	configValue map[string]string
	bytesValue  int
	hugeValue   int64
	seedValue   uint64
)

func (v *intValue) String() string { return strconv.Itoa(int(*v)) }
func (v *intValue) Set(text string) error {
	n, err := parseCount(text)
	if err != nil || n != float64(int32(n)) || n < 0 {
		return errors.New("want a number, 0 or more")
	}
	*v = intValue(n)
	return nil
}

func (v *int64Value) String() string { return strconv.FormatInt(int64(*v), 10) }
func (v *int64Value) Set(text string) error {
	n, err := parseCount(text)
	if err != nil || n < 0 || n > 1e15 || n != float64(int64(n)) {
		return errors.New("want a number, 0 or more, as 1000000, 1000k or 1M")
	}
	*v = int64Value(n)
	return nil
}

func (v *boolValue) String() string { return strconv.FormatBool(bool(*v)) }
func (v *boolValue) Set(text string) error {
	b, err := strconv.ParseBool(text)
	if err != nil {
		return errors.New("want true or false")
	}
	*v = boolValue(b)
	return nil
}

func (v *floatValue) String() string { return formatFloat(float64(*v)) }
func (v *floatValue) Set(text string) error {
	f, err := parseCount(text)
	if err != nil || f < 0 {
		return errors.New("want a number, 0 or more")
	}
	*v = floatValue(f)
	return nil
}

func (v *textValue) String() string { return string(*v) }
func (v *textValue) Set(text string) error {
	*v = textValue(text)
	return nil
}

func (v *timeValue) String() string { return time.Duration(*v).String() }
func (v *timeValue) Set(text string) error {
	if text == "0" {
		*v = 0
		return nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 || d > 1000*time.Hour {
		return errors.New("want a time with its unit, as 500ms, 30s or 15m")
	}
	*v = timeValue(d)
	return nil
}

func (v *listValue) String() string { return strings.Join(*v, ",") }
func (v *listValue) Set(text string) error {
	*v = nil
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part != "" {
			*v = append(*v, part)
		}
	}
	return nil
}

func (v *configValue) String() string {
	parts := []string{}
	for _, k := range slices.Sorted(maps.Keys(*v)) {
		parts = append(parts, k+"="+(*v)[k])
	}
	return strings.Join(parts, ",")
}

// Set adds entries; a value with a comma in it is one whose next part has no "=".
func (v *configValue) Set(text string) error {
	if *v == nil {
		*v = configValue{}
	}
	last := ""
	for part := range strings.SplitSeq(text, ",") {
		k, val, ok := strings.Cut(part, "=")
		switch {
		case strings.TrimSpace(part) == "":
		case ok && strings.TrimSpace(k) != "":
			last = strings.TrimSpace(k)
			(*v)[last] = strings.TrimSpace(val)
		case last != "":
			(*v)[last] += "," + part
		default:
			return errors.New("want name=value, separated by commas")
		}
	}
	return nil
}

func (v *bytesValue) String() string { return formatBytes(int64(*v)) }
func (v *bytesValue) Set(text string) error {
	n, err := ParseBytes(text)
	if err != nil || n > 1<<31-1 {
		return errors.New("want bytes, as 100, 64KiB or 1MB, at most 2GiB")
	}
	*v = bytesValue(n)
	return nil
}

func (v *hugeValue) String() string { return formatBytes(int64(*v)) }
func (v *hugeValue) Set(text string) error {
	n, err := ParseBytes(text)
	*v = hugeValue(n)
	return err
}

func (v *seedValue) String() string { return strconv.FormatUint(uint64(*v), 10) }
func (v *seedValue) Set(text string) error {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return errors.New("want a number")
	}
	*v = seedValue(n)
	return nil
}

// parsed is a field with a parser and a printer of its own.
type parsed[T fmt.Stringer] struct {
	to    *T
	parse func(string) (T, error)
}

func (p parsed[T]) String() string { return (*p.to).String() }
func (p parsed[T]) Set(text string) error {
	v, err := p.parse(text)
	if err == nil {
		*p.to = v
	}
	return err
}

// oneOf is a text of a fixed list.
type oneOf struct {
	to   *string
	list []string
}

func (o oneOf) String() string { return *o.to }
func (o oneOf) Set(text string) error {
	if !slices.Contains(o.list, text) {
		return errors.New("want one of " + strings.Join(o.list, ", "))
	}
	*o.to = text
	return nil
}

type acksValue int16

func (v *acksValue) String() string {
	if int16(*v) == AcksAll {
		return "all"
	}
	return strconv.Itoa(int(*v))
}

func (v *acksValue) Set(text string) error {
	switch text {
	case "1":
		*v = acksValue(AcksLeader)
	case "all", "-1":
		*v = acksValue(AcksAll)
	case "0":
		*v = acksValue(AcksNone)
	default:
		return errors.New("want 0, 1 or all")
	}
	return nil
}
