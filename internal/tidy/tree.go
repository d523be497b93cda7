package tidy

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"
)

// Finding is one broken rule.
type Finding struct {
	File string // relative to the root
	Line int    // 0: the whole file
	Rule string
	Text string
}

func (f Finding) String() string {
	if f.Line == 0 {
		return fmt.Sprintf("%s: %s: %s", f.File, f.Rule, f.Text)
	}
	return fmt.Sprintf("%s:%d: %s: %s", f.File, f.Line, f.Rule, f.Text)
}

// Check reads the tree under root and returns what breaks a rule, by file and line.
func Check(root string) ([]Finding, error) {
	t, err := load(root)
	if err != nil {
		return nil, err
	}
	for _, f := range t.files {
		t.shape(f)
		t.words(f)
		t.imports(f)
		t.purity(f)
	}
	t.packages()
	t.modules()
	t.documents()
	sort.SliceStable(t.found, func(i, j int) bool {
		a, b := t.found[i], t.found[j]
		return a.File < b.File || a.File == b.File && a.Line < b.Line
	})
	return t.found, nil
}

// tree is everything that is checked.
type tree struct {
	root  string
	set   *token.FileSet
	files []*file
	docs  []string // markdown files
	apart []string // folders with a go.mod of their own: foreign clients
	found []Finding
}

// file is one Go source.
type file struct {
	name string // relative, with slashes
	src  []byte
	ast  *ast.File
	test bool
}

// dir is the package's folder, which is also its import path below the module.
func (f *file) dir() string { return path.Dir(f.name) }

func (t *tree) find(file string, line int, rule, format string, args ...any) {
	t.found = append(t.found, Finding{file, line, rule, fmt.Sprintf(format, args...)})
}

func (t *tree) line(n ast.Node) int { return t.set.Position(n.Pos()).Line }

// outside are folders that are not the project's sources.
func outside(name string) bool {
	return name == "testdata" || name == "node_modules" || name == "bin" || name == "data" || name == "vendor" ||
		strings.HasPrefix(name, ".") && name != "." && name != ".ci"
}

func load(root string) (*tree, error) {
	t := &tree{root: root, set: token.NewFileSet()}
	err := filepath.WalkDir(root, func(full string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, full)
		if err != nil {
			return err
		}
		if d.IsDir() {
			if outside(d.Name()) && rel != "." {
				return filepath.SkipDir
			}
			return nil
		}
		rel = filepath.ToSlash(rel)
		switch {
		case d.Name() == "go.mod" && rel != "go.mod":
			t.apart = append(t.apart, path.Dir(rel))
		case strings.HasSuffix(rel, ".md"):
			t.docs = append(t.docs, rel)
		case strings.HasSuffix(rel, ".go"):
			return t.parse(full, rel)
		}
		return nil
	})
	return t, err
}

func (t *tree) parse(full, rel string) error {
	src, err := os.ReadFile(full)
	if err != nil {
		return err
	}
	parsed, err := parser.ParseFile(t.set, rel, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		t.find(rel, 0, "syntax", "%v", err)
		return nil
	}
	t.files = append(t.files, &file{name: rel, src: src, ast: parsed, test: strings.HasSuffix(rel, "_test.go")})
	return nil
}

func lines(b []byte) [][]byte { return bytes.Split(bytes.TrimSuffix(b, []byte("\n")), []byte("\n")) }
