package view

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

const none = "—"

// three prints three significant digits, without an exponent.
func three(v float64) string {
	switch a := math.Abs(v); {
	case a == 0:
		return "0"
	case a >= 99.95:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case a >= 9.995:
		return strconv.FormatFloat(v, 'f', 1, 64)
	case a >= 0.9995:
		return strconv.FormatFloat(v, 'f', 2, 64)
	case a >= 0.000_999_5:
		return strconv.FormatFloat(v, 'f', 3, 64)
	}
	return strconv.FormatFloat(v, 'g', 2, 64)
}

// scaled prints v with a decimal prefix: 1.38 M.
func scaled(v float64, unit string) string {
	prefix := ""
	switch a := math.Abs(v); {
	case a >= 999.5e9:
		v, prefix = v/1e12, "T"
	case a >= 999.5e6:
		v, prefix = v/1e9, "G"
	case a >= 999.5e3:
		v, prefix = v/1e6, "M"
	case a >= 9_995:
		v, prefix = v/1e3, "k"
	}
	switch {
	case prefix == "" && v == math.Trunc(v):
		return strings.TrimSpace(strconv.FormatFloat(v, 'f', 0, 64) + " " + unit)
	case prefix == "" && unit == "":
		return three(v)
	}
	return three(v) + " " + prefix + unit
}

// rate is things per second.
func rate(n int64, seconds float64) float64 {
	if seconds <= 0 {
		return 0
	}
	return float64(n) / seconds
}

// size prints bytes with a decimal prefix from kB on.
func size(v float64) string {
	if v >= 999.5 && v < 9_995 {
		return three(v/1e3) + " kB"
	}
	return scaled(v, "B")
}

// micros prints a latency.
func micros(v float64) string {
	switch {
	case v >= 999_500:
		return three(v/1e6) + " s"
	case v >= 999.5:
		return three(v/1e3) + " ms"
	}
	return three(v) + " µs"
}

// known prints a latency or, where there is none, a dash (V1).
func known(v float64, ok bool) string {
	if !ok || v <= 0 {
		return none
	}
	return micros(v)
}

// grouped prints a whole number with its thousands apart.
func grouped(n int64) string {
	text := strconv.FormatInt(n, 10)
	sign := ""
	if n < 0 {
		sign, text = "−", text[1:]
	}
	var out strings.Builder
	for i, c := range text {
		if i > 0 && (len(text)-i)%3 == 0 {
			out.WriteRune('\u202f') // a narrow space that does not break
		}
		out.WriteRune(c)
	}
	return sign + out.String()
}

// percent of a share.
func percent(share float64) string {
	v := share * 100
	switch {
	case v != 0 && math.Abs(v) < 0.1:
		return "< 0.1 %"
	case math.Abs(v) < 9.95:
		return fmt.Sprintf("%.1f %%", v)
	}
	return fmt.Sprintf("%.0f %%", v)
}

// clock prints a length of time as a stop watch does.
func clock(seconds float64) string {
	d := time.Duration(math.Round(max(seconds, 0))) * time.Second
	if d >= time.Hour {
		return fmt.Sprintf("%d:%02d:%02d", int(d.Hours()), int(d.Minutes())%60, int(d.Seconds())%60)
	}
	return fmt.Sprintf("%d:%02d", int(d.Minutes()), int(d.Seconds())%60)
}

// span prints a length of time in words.
func span(seconds float64) string {
	switch {
	case seconds < 1:
		return fmt.Sprintf("%.0f ms", seconds*1000)
	case seconds < 120:
		return round(three(seconds) + " s")
	case seconds < 7200:
		return round(three(seconds/60) + " min")
	}
	return round(three(seconds/3600) + " h")
}

// nines prints a quantile as people name it: p99.9.
func nines(q float64) string {
	return "p" + strconv.FormatFloat(math.Round(q*1e7)/1e5, 'f', -1, 64)
}

// plural is "1 error", "2 errors".
func plural(n int64, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return grouped(n) + " " + word + "s"
}

// round takes the zeros off that a round number does not need: ticks and settings are round.
func round(text string) string {
	number, rest := text, ""
	if i := strings.IndexAny(text, " ×"); i >= 0 {
		number, rest = text[:i], text[i:]
	}
	if strings.Contains(number, ".") {
		number = strings.TrimRight(strings.TrimRight(number, "0"), ".")
	}
	return number + rest
}
