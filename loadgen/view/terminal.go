package view

import (
	"os"
	"strings"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// screen is where live progress goes.
type screen struct {
	block  bool // a terminal: one block that is written over
	colour bool
	width  func() int
}

const defaultWidth = 100

// screenOf looks what a file is, and what the environment wishes.
func screenOf(f *os.File, env func(string) string) screen {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	s := screen{block: err == nil && env("TERM") != "dumb"}
	s.colour = s.block && env("NO_COLOR") == ""
	s.width = func() int {
		size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
		if err != nil || size.Col < 20 {
			return defaultWidth
		}
		return int(size.Col)
	}
	return s
}

// Styles of a terminal.
const (
	bold   = "1"
	dim    = "2"
	red    = "31"
	green  = "32"
	yellow = "33"
	cyan   = "36"
)

func (s screen) paint(style, text string) string {
	if !s.colour || text == "" {
		return text
	}
	return "\x1b[" + style + "m" + text + "\x1b[0m"
}

// cut shortens a line to the width, not counting what only paints.
func cut(line string, width int) string {
	var out strings.Builder
	painted := false
	for n := 0; line != ""; {
		if strings.HasPrefix(line, "\x1b[") {
			end := strings.IndexByte(line, 'm')
			if end < 0 {
				break
			}
			out.WriteString(line[:end+1])
			painted = line[:end+1] != "\x1b[0m"
			line = line[end+1:]
			continue
		}
		if n == width {
			break
		}
		_, length := utf8.DecodeRuneInString(line)
		out.WriteString(line[:length])
		line = line[length:]
		n++
	}
	if painted {
		out.WriteString("\x1b[0m")
	}
	return out.String()
}

// plain replaces what a terminal would take for a command: names come from brokers and files.
func plain(text string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f || c >= 0x80 && c < 0xa0 {
			return '?'
		}
		return c
	}, text)
}

var eighths = []rune("▁▂▃▄▅▆▇█")

// spark draws the last values as bars, the highest one full.
func spark(values []float64, width int) string {
	if len(values) > width {
		values = values[len(values)-width:]
	}
	top := 0.0
	for _, v := range values {
		top = max(top, v)
	}
	var out strings.Builder
	for _, v := range values {
		k := 0
		if top > 0 {
			k = min(int(v/top*float64(len(eighths))), len(eighths)-1)
		}
		out.WriteRune(eighths[k])
	}
	return out.String()
}
