package tidy

import (
	"go/ast"
	"go/token"
	"path"
	"strconv"
	"strings"
)

// pure are the rooms whose code runs on a core, or must be replayable from a seed:
// effects are data there.
var pure = []string{"engine", "segment", "protocol", "replication", "raftmeta"}

// impure are the exceptions: files, or packages, where the effects happen. Each
// has its reason.
var impure = map[string]string{
	"raftmeta/hraft":        "hashicorp/raft keeps its own goroutines and clock",
	"engine/driver.go":      "the one place where a core meets a thread",
	"engine/broker.go":      "starts and stops the threads",
	"engine/helpers.go":     "the helpers that run jobs off the cores",
	"engine/mail.go":        "how other goroutines enter a core",
	"engine/identity.go":    "start-up, before the cores run",
	"engine/stepped.go":     "a broker without threads, for the simulator to drive",
	"segment/probe.go":      "measures the disk at start, before the cores run",
	"segment/open.go":       "recovery, before the cores run",
	"engine/snapshot.go":    "asks the cores from another goroutine",
	"engine/move_broker.go": "asks the cores from another goroutine",
	"raftmeta/local.go":     "a quorum for tests and simulation, entered from any goroutine",
}

// permitted are single effects in files that else are a core's code.
var permitted = map[string]string{
	"segment/shard.go sync.Mutex":        "held by jobs, which helpers run; one for a moment when a topic goes",
	"segment/clean_book.go sync.Mutex":   "held by jobs that write the book of the cleaner",
	"segment/move_book.go sync.Mutex":    "held by jobs that write the book; one for a moment when a log arrives",
	"segment/journal_list.go sync.Mutex": "held by jobs that write the list of journal files",
}

// mayskip are tests that need what a machine may lack; the reason tells what.
var mayskip = map[string]string{
	"internal/sim/broker_test.go":   "-seed runs one seed only, and no mutant",
	"internal/sim/store_test.go":    "-seed runs one seed only, and no mutant",
	"netio/probe_test.go":           "what the probe finds differs by machine",
	"netio/wake_test.go":            "pairs of engines; io_uring where it is to be had",
	"netio/bench_test.go":           "benchmarks of io_uring, where it is to be had",
	"netio/netio_test.go":           "seccomp may forbid io_uring; the epoll engine runs the same suite",
	"internal/vfs/fs_test.go":       "tmpfs and some overlays have no O_DIRECT",
	"segment/compact/kafka_test.go": "runs the cleaner of Apache Kafka's jars, which make compat fetches",
	"protocol/kafka_jar_test.go":    "compares with Apache Kafka's jars, which make compat fetches",
}

func (t *tree) purity(f *file) {
	if f.test || !anyWithin(f.dir(), pure) || excused(f) {
		return
	}
	names := importNames(f.ast)
	for _, spec := range f.ast.Imports {
		p, _ := strconv.Unquote(spec.Path.Value)
		if why := bannedImports[p]; why != "" {
			t.find(f.name, t.line(spec), "effect", "import of %s: %s", p, why)
		}
	}
	ast.Inspect(f.ast, func(n ast.Node) bool {
		what := ""
		switch n := n.(type) {
		case *ast.GoStmt:
			what = "go statement"
		case *ast.SelectStmt:
			what = "select"
		case *ast.SendStmt:
			what = "channel send"
		case *ast.ChanType:
			what = "channel"
		case *ast.UnaryExpr:
			if n.Op == token.ARROW {
				what = "channel receive"
			}
		case *ast.SelectorExpr:
			if id, isIdent := n.X.(*ast.Ident); isIdent {
				what = bannedName(names[id.Name], n.Sel.Name)
			}
		}
		if what != "" && permitted[f.name+" "+what] == "" {
			t.find(f.name, t.line(n), "effect", "%s in a core's code: describe the effect, let a driver do it", what)
		}
		return true
	})
}

func excused(f *file) bool {
	for p := range impure {
		if within(f.name, p) || within(strings.TrimSuffix(f.name, ".go"), p) {
			return true
		}
	}
	return false
}

var bannedImports = map[string]string{
	"os":          "files go through vfs",
	"crypto/rand": "chance comes from the outside, so that a seed replays it",
}

var seeded = map[string]bool{"Rand": true, "Source": true, "PCG": true, "ChaCha8": true, "Zipf": true}

// bannedName tells what is wrong with pkg.name, or "".
func bannedName(pkg, name string) string {
	switch pkg {
	case "time":
		switch name {
		case "Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker":
			return "time." + name
		}
	case "net":
		for _, p := range []string{"Dial", "Listen", "Lookup", "Resolve", "Interface"} {
			if strings.HasPrefix(name, p) {
				return "net." + name
			}
		}
	case "math/rand", "math/rand/v2":
		// Types and constructors take a seed; the functions of the package do not.
		if ast.IsExported(name) && !strings.HasPrefix(name, "New") && !seeded[name] {
			return "unseeded rand." + name
		}
	case "sync":
		if name != "Pool" && name != "Once" && name != "OnceFunc" && name != "OnceValue" && name != "OnceValues" {
			return "sync." + name
		}
	}
	return ""
}

func importNames(f *ast.File) map[string]string {
	out := make(map[string]string)
	for _, spec := range f.Imports {
		p, _ := strconv.Unquote(spec.Path.Value)
		name := path.Base(strings.TrimSuffix(p, "/v2"))
		if spec.Name != nil {
			name = spec.Name.Name
		}
		out[name] = p
	}
	return out
}
