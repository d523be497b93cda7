package tidy

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestHouse holds the whole project to the rules.
func TestHouse(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	found, err := Check(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range found {
		t.Error(f)
	}
}

// sample writes a small tree and returns its findings as text.
func sample(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	if files["go.mod"] == "" {
		files["go.mod"] = "module millrace\n"
	}
	for name, text := range files {
		full := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	found, err := Check(root)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, f := range found {
		b.WriteString(f.String() + "\n")
	}
	return b.String()
}

func expect(t *testing.T, got string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(got, w) {
			t.Errorf("missing %q in:\n%s", w, got)
		}
	}
	if n := strings.Count(got, "\n"); n != len(want) {
		t.Errorf("%d findings, want %d:\n%s", n, len(want), got)
	}
}

func TestACleanTreeHasNoFindings(t *testing.T) {
	expect(t, sample(t, map[string]string{
		"segment/doc.go":    "// Package segment maps.\npackage segment\n\nimport _ \"millrace/protocol\"\n",
		"protocol/types.go": "// Package protocol has words.\npackage protocol\n",
		"README.md": "# A b\n\nsee [x](docs/X.md#one-two), [here](#a-b), `segment/doc.go`, " +
			"`bin/millrace`, `a/b`\n",
		"docs/X.md": "## One two\n\n```\n`segment/none.go`\n```\n",
	}))
}

func TestImportRules(t *testing.T) {
	const comment = "// Package p.\npackage p\n\n"
	const bare = "// Package p.\npackage p\n"
	expect(t, sample(t, map[string]string{
		"segment/a.go":        comment + "import _ \"millrace/netio\"\n",
		"netio/a.go":          comment + "import _ \"millrace/protocol\"\n",
		"engine/a.go":         comment + "import _ \"millrace/raftmeta/hraft\"\n",
		"engine/group/a.go":   comment + "import _ \"millrace/protocol\"\n",
		"test/far/go.mod":     "module far\n",
		"test/far/a.go":       comment + "import _ \"github.com/IBM/sarama\"\n",
		"internal/arena/a.go": comment + "import _ \"millrace/segment\"\n",
		"raftmeta/a.go":       comment + "import _ \"github.com/hashicorp/raft\"\n",
		"raftmeta/hraft/a.go": comment + "import _ \"github.com/hashicorp/raft\"\n",
		"shed/a.go":           bare,
		"cmd/x/a.go":          comment + "import _ \"millrace/raftmeta/hraft\"\n\nimport \"C\"\n",
	}),
		"cmd/x/a.go:6: cgo", "engine/a.go:4: import: engine may not import raftmeta/hraft",
		"internal/arena/a.go:4: import", "netio/a.go:4: import", "raftmeta/a.go:4: import",
		"segment/a.go:4: import: segment may not import netio", "shed/a.go: room: shed",
	)
}

func TestShapeAndWords(t *testing.T) {
	long := "// Package p.\npackage p\n\nfunc f() {\n" + strings.Repeat("\tprintln()\n", 71) + "}\n"
	open := "TO" + "DO"
	expect(t, sample(t, map[string]string{
		"protocol/a/a.go": long,
		"protocol/b/b.go": "package b\n",
		"protocol/c/c.go": "// Package c.\npackage c\n\n// " + open + " more.\ntype lockManager struct{}\n",
		"protocol/d/d.go": "// Package d.\npackage d\n\n" + strings.Repeat("// x\n", 600) +
			"//" + strings.Repeat("x", 119) + "\n",
		"protocol/e/e.go": "// Package e.\npackage e\nfunc  f() {}\n",
		"protocol/e/e_test.go": "package e\n\nimport \"testing\"\n\n" +
			"func TestX(t *testing.T) { t.Skip() }\n",
	}),
		"a.go:4: function length: f: 72", "b.go: package comment", "c.go:4: left open", "c.go:5: name",
		"d.go: file length: 604", "d.go:604: line length: 121", "e.go: gofmt", "e_test.go:5: skip",
	)
}

func TestEffectsInACore(t *testing.T) {
	src := `// Package p.
package p

import (
	_ "os"
	"sync"
	tm "time"
)

var mu sync.Mutex

func f(c chan int) {
	go f(nil)
	c <- 1
	<-c
	_ = tm.Now()
	_ = tm.Second
}
`
	got := sample(t, map[string]string{
		"engine/a.go": src, "engine/driver.go": src, "internal/vfs/a.go": src, "engine/a_test.go": src,
	})
	expect(t, got,
		"a.go:5: effect: import of os", "a.go:10: effect: sync.Mutex", "a.go:12: effect: channel",
		"a.go:13: effect: go statement", "a.go:14: effect: channel send", "a.go:15: effect: channel receive",
		"a.go:16: effect: time.Now",
	)
}

func TestModulesAndDocuments(t *testing.T) {
	expect(t, sample(t, map[string]string{
		"go.mod": "module millrace\n\nrequire (\n\tgithub.com/a/b v1.0.0\n\tgithub.com/c/d v1.0.0\n" +
			"\tgithub.com/e/f v1.0.0 // indirect\n\tgithub.com/spf13/cobra v1.10.2\n)\n",
		"docs/decisions/0002-b.md": "github.com/a/b because\n",
		"docs/A.md":                "[x](B.md) [y](../go.mod) [z](https://example.org) [h](#none)\n`docs/C.md`\n",
	}),
		"go.mod:5: dependency: github.com/c/d", "docs/A.md:1: link: B.md",
		"docs/A.md:1: link: docs/A.md has no heading none", "docs/A.md:2: path: docs/C.md",
	)
}
