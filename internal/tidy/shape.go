package tidy

import (
	"bytes"
	"go/ast"
	"go/format"
	"path"
	"regexp"
	"sort"
	"strings"
	"unicode/utf8"
)

const (
	maxFile      = 600
	maxFunction  = 70
	maxLine      = 120
	maxTableLine = 200 // in tests, and files that are tables: a row is a line
	tabWidth     = 4
)

var tables = regexp.MustCompile(`^raftmeta/configdef/(docs|table)`)

// shape checks lengths and gofmt.
func (t *tree) shape(f *file) {
	if formatted, err := format.Source(f.src); err == nil && !bytes.Equal(formatted, f.src) {
		t.find(f.name, 0, "gofmt", "not formatted: gofmt -w %s", f.name)
	}
	if ast.IsGenerated(f.ast) {
		return
	}
	all := lines(f.src)
	if len(all) > maxFile {
		t.find(f.name, 0, "file length", "%d lines, at most %d", len(all), maxFile)
	}
	most := maxLine
	if f.test || tables.MatchString(f.name) {
		most = maxTableLine
	}
	for i, l := range all {
		width := utf8.RuneCount(l) + bytes.Count(l, []byte("\t"))*(tabWidth-1)
		if width > most {
			t.find(f.name, i+1, "line length", "%d columns, at most %d", width, most)
		}
	}
	if f.test {
		return
	}
	for _, d := range f.ast.Decls {
		fn, isFunc := d.(*ast.FuncDecl)
		if !isFunc {
			continue
		}
		if n := t.set.Position(fn.End()).Line - t.line(fn); n > maxFunction {
			t.find(f.name, t.line(fn), "function length", "%s: %d lines, at most %d", fn.Name.Name, n, maxFunction)
		}
	}
}

// leftOpen are the words that say that something is not done.
var leftOpen = regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X)\b`)

var vagueNames = regexp.MustCompile(`(Manager|Helper|Util|Utils|Common)$`)

// words checks comments, skipped tests and vague type names.
func (t *tree) words(f *file) {
	for _, group := range f.ast.Comments {
		for _, c := range group.List {
			if w := leftOpen.FindString(c.Text); w != "" {
				t.find(f.name, t.line(c), "left open", "%s in a comment: do it, or describe the limit in docs", w)
			}
		}
	}
	ast.Inspect(f.ast, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr:
			if f.test && skips(n) && mayskip[f.name] == "" {
				t.find(f.name, t.line(n), "skip", "skipping proves nothing: list the file in mayskip, with the reason")
			}
		case *ast.TypeSpec:
			if vagueNames.MatchString(n.Name.Name) {
				t.find(f.name, t.line(n), "name", "type %s: say what it is", n.Name.Name)
			}
		}
		return true
	})
}

func skips(c *ast.CallExpr) bool {
	sel, isSel := c.Fun.(*ast.SelectorExpr)
	return isSel && (sel.Sel.Name == "Skip" || sel.Sel.Name == "Skipf" || sel.Sel.Name == "SkipNow")
}

// packages checks that each one says what it is for.
func (t *tree) packages() {
	documented := make(map[string]bool)
	first := make(map[string]string)
	for _, f := range t.files {
		if f.test {
			continue
		}
		dir := f.dir()
		if first[dir] == "" {
			first[dir] = f.name
		}
		if f.ast.Doc != nil && strings.TrimSpace(f.ast.Doc.Text()) != "" {
			documented[dir] = true
		}
	}
	dirs := make([]string, 0, len(first))
	for dir := range first {
		dirs = append(dirs, dir)
	}
	sort.Strings(dirs)
	for _, dir := range dirs {
		if !documented[dir] {
			t.find(first[dir], 0, "package comment", "%s has none: add %s", path.Base(dir), path.Join(dir, "doc.go"))
		}
	}
}
