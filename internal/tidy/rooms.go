package tidy

import (
	"go/ast"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

const module = "millrace"

// room is one part of the house and what it may import: its own sub-packages,
// the base, and what is listed. Test files may import what they need.
type room struct {
	path     string
	project  []string // "*" is anything
	external []string // module paths; the standard library is always allowed
}

// base is open to every room; its own members import only each other.
var base = []string{
	"internal/arena", "internal/clock", "internal/vfs", "internal/invariant", "internal/mutant",
}

const (
	kmsg  = "github.com/twmb/franz-go/pkg/kmsg"
	franz = "github.com/twmb/franz-go"
	xsys  = "golang.org/x/sys"
	crc   = "github.com/cespare/xxhash"
	klaus = "github.com/klauspost/compress"
	lz4   = "github.com/pierrec/lz4"
	hdr   = "github.com/HdrHistogram/hdrhistogram-go"
	yaml  = "go.yaml.in/yaml/v3"
)

// rooms: the longest path that contains a package is its room.
var rooms = []room{
	{path: "protocol", external: []string{kmsg, klaus, lz4, crc}},
	{path: "netio", external: []string{"github.com/pawelgaczynski/giouring", xsys}},
	{
		path: "segment", project: []string{"protocol", "internal/admin/status"},
		external: []string{crc, xsys},
	},
	{path: "replication", project: []string{"protocol"}},
	{path: "raftmeta", project: []string{"protocol"}, external: []string{crc}},
	{path: "raftmeta/configdef", project: []string{"raftmeta", "protocol"}},
	{path: "raftmeta/hraft", project: []string{"raftmeta", "protocol"}, external: []string{"github.com/hashicorp"}},
	{
		path:     "engine",
		project:  []string{"replication", "raftmeta", "netio", "segment", "protocol", "internal/admin/status"},
		external: []string{kmsg, klaus, lz4, crc, xsys},
	},
	{path: "loadgen", project: []string{"protocol", "netio"}, external: []string{franz, hdr, crc, xsys}},
	{path: "loadgen/workload", external: []string{yaml}},
	{
		path: "cmd",
		project: []string{
			"engine", "loadgen", "bench", "raftmeta", "segment", "netio", "protocol", "internal/cli", "internal/admin",
			"internal/kafkadir",
		},
		external: []string{"github.com/spf13/cobra", xsys},
	},
	{path: "bench", project: []string{"*"}, external: []string{franz, hdr, xsys}},
	{path: "test", project: []string{"*"}, external: []string{franz, hdr, crc, xsys}},
	{path: "examples", external: []string{franz}},
	{path: "internal/sim", project: []string{"*"}, external: []string{kmsg}},
	{path: "internal/arena", external: []string{xsys}},
	{path: "internal/clock", external: []string{xsys}},
	{path: "internal/vfs", external: []string{xsys}},
	{path: "internal/invariant"},
	{path: "internal/mutant"},
	{path: "internal/deps", external: []string{"*"}},
	{path: "internal/tidy"},
	{path: "internal/cli/dump", project: []string{"internal/cli", "segment"}, external: []string{"github.com/spf13"}},
	{path: "internal/cli", project: []string{"netio"}, external: []string{"github.com/spf13", franz, xsys}},
	{path: "internal/admin", external: []string{"github.com/prometheus", kmsg}},
	{path: "internal/admin/status"},
	{path: "internal/kafkadir", project: []string{"segment", "protocol"}},
}

// within says whether p is dir or below it.
func within(p, dir string) bool { return p == dir || strings.HasPrefix(p, dir+"/") }

func anyWithin(p string, dirs []string) bool {
	for _, d := range dirs {
		if d == "*" || within(p, d) {
			return true
		}
	}
	return false
}

func roomOf(dir string) *room {
	var best *room
	for i := range rooms {
		r := &rooms[i]
		if within(dir, r.path) && (best == nil || len(r.path) > len(best.path)) {
			best = r
		}
	}
	return best
}

// hidden are packages that only their owner's parents may import.
var hidden = map[string][]string{
	"raftmeta/hraft": {"cmd", "bench", "test", "internal/sim"},
}

func (t *tree) imports(f *file) {
	r := roomOf(f.dir())
	if r == nil {
		t.find(f.name, 0, "room", "%s is no room of the house: see docs/ARCHITECTURE.md", f.dir())
		return
	}
	if f.test || anyWithin(f.dir(), t.apart) {
		return
	}
	for _, spec := range f.ast.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue
		}
		if p == "C" {
			t.find(f.name, t.line(spec), "cgo", "the binary is static, without cgo")
			continue
		}
		if own, isProject := strings.CutPrefix(p, module+"/"); isProject {
			t.projectImport(f, r, spec, own)
			continue
		}
		if strings.Contains(strings.Split(p, "/")[0], ".") && !anyWithin(p, r.external) {
			t.find(f.name, t.line(spec), "import", "%s may not import %s", r.path, p)
		}
	}
}

func (t *tree) projectImport(f *file, r *room, spec *ast.ImportSpec, own string) {
	allowed := within(own, r.path) || anyWithin(own, r.project)
	if anyWithin(own, base) {
		allowed = !anyWithin(r.path, []string{"internal/tidy", "internal/admin/status", "examples"})
	}
	for target, who := range hidden {
		if within(own, target) && !within(f.dir(), target) && !anyWithin(f.dir(), who) {
			allowed = false
		}
	}
	if !allowed {
		t.find(f.name, t.line(spec), "import", "%s may not import %s: imports point down only", r.path, own)
	}
}

// direct are the modules that the project chose; another one needs a decision.
var direct = []string{
	"github.com/pawelgaczynski/giouring", xsys, klaus, lz4 + "/v4", crc + "/v2",
	"github.com/hashicorp/raft", "github.com/hashicorp/raft-wal", hdr, franz, kmsg,
	"github.com/prometheus/client_golang", "github.com/spf13/cobra",
}

var requireLine = regexp.MustCompile(`^\s*(?:require\s+)?([a-zA-Z0-9./_-]+\.[a-zA-Z0-9./_-]+)\s+v\S+\s*(//.*)?$`)

func (t *tree) modules() {
	src, err := os.ReadFile(filepath.Join(t.root, "go.mod"))
	if err != nil {
		t.find("go.mod", 0, "module", "%v", err)
		return
	}
	decisions := t.text("docs/decisions")
	for i, l := range lines(src) {
		m := requireLine.FindStringSubmatch(string(l))
		if m == nil || strings.Contains(m[2], "indirect") {
			continue
		}
		known := false
		for _, d := range direct {
			known = known || m[1] == d
		}
		if !known && !strings.Contains(decisions, m[1]) {
			t.find("go.mod", i+1, "dependency", "%s is not among the chosen ones: write a line in docs/decisions", m[1])
		}
	}
}

// text is all markdown below dir.
func (t *tree) text(dir string) string {
	var b strings.Builder
	for _, d := range t.docs {
		if within(path.Dir(d), dir) {
			src, _ := os.ReadFile(filepath.Join(t.root, d))
			b.Write(src)
		}
	}
	return b.String()
}
