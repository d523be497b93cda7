package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// table is rows under upper-case headings. Columns whose every value is a number
// are aligned to the right.
type table struct {
	title string
	heads []string
	rows  [][]string
}

func newTable(title string, heads ...string) *table { return &table{title: title, heads: heads} }

func (t *table) row(values ...any) {
	cells := make([]string, len(values))
	for i, v := range values {
		cells[i] = printable(fmt.Sprint(v))
	}
	t.rows = append(t.rows, cells)
}

// printable keeps a broker's or another client's words from steering the terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}

func (t *table) write(w io.Writer) {
	if t.title != "" {
		fmt.Fprintln(w, t.title)
		fmt.Fprintln(w, strings.Repeat("=", len(t.title)))
	}
	width := make([]int, len(t.heads))
	right := make([]bool, len(t.heads))
	for c, h := range t.heads {
		width[c] = utf8.RuneCountInString(h)
		right[c] = len(t.rows) > 0
		for _, r := range t.rows {
			width[c] = max(width[c], utf8.RuneCountInString(r[c]))
			right[c] = right[c] && number(r[c])
		}
	}
	line := func(cells []string) {
		var b strings.Builder
		for c, cell := range cells {
			pad := strings.Repeat(" ", width[c]-utf8.RuneCountInString(cell))
			if right[c] {
				b.WriteString(pad + cell)
			} else {
				b.WriteString(cell + pad)
			}
			b.WriteString("  ")
		}
		fmt.Fprintln(w, strings.TrimRight(b.String(), " "))
	}
	line(t.heads)
	for _, r := range t.rows {
		line(r)
	}
}

func number(s string) bool {
	digits := strings.TrimLeft(s, "-")
	return s == "-" || digits != "" && strings.Trim(digits, "0123456789.") == ""
}

// show writes v as JSON when asked, the tables otherwise, a blank line between.
func (a *app) show(v any, tables ...*table) error {
	if a.json {
		enc := json.NewEncoder(a.out)
		enc.SetIndent("", "  ")
		enc.SetEscapeHTML(false)
		return enc.Encode(v)
	}
	for i, t := range tables {
		if i > 0 {
			fmt.Fprintln(a.out)
		}
		t.write(a.out)
	}
	return nil
}

// status is one row of a command that does the same to several things.
type status struct {
	Name    string `json:"name"`
	Status  string `json:"status"`
	Message string `json:"message,omitempty"`
}

const ok = "OK"

// statuses shows rows under a heading and fails when one of them is not OK.
func (a *app) statuses(head string, rows []status) error {
	t := newTable("", head, "STATUS")
	failed := 0
	for _, r := range rows {
		text := r.Status
		if r.Message != "" {
			text += ": " + r.Message
		}
		t.row(r.Name, text)
		if r.Status != ok {
			failed++
		}
	}
	if rows == nil {
		rows = []status{}
	}
	if err := a.show(rows, t); err != nil {
		return err
	}
	if failed > 0 {
		return Failed("%d of %d failed", failed, len(rows))
	}
	return nil
}
