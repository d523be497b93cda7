package protocol

import (
	"archive/zip"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "write what the Kafka jar says into the tables")

// schema is the part of Kafka's common/message/*.json that is looked at.
type schema struct {
	APIKey         int16    `json:"apiKey"`
	Type           string   `json:"type"`
	Name           string   `json:"name"`
	Valid          string   `json:"validVersions"`
	Flexible       string   `json:"flexibleVersions"`
	Listeners      []string `json:"listeners"`
	LatestUnstable bool     `json:"latestVersionUnstable"`
	Fields         []field  `json:"fields"`
	CommonStructs  []struct {
		Name   string  `json:"name"`
		Fields []field `json:"fields"`
	} `json:"commonStructs"`
}

type field struct {
	Name     string  `json:"name"`
	Type     string  `json:"type"`
	Versions string  `json:"versions"`
	Nullable string  `json:"nullableVersions"`
	Tagged   string  `json:"taggedVersions"`
	Tag      int     `json:"tag"`
	Fields   []field `json:"fields"`
}

// requestSchemas reads the requests of a client listener out of the jar of Kafka
// 4.3.1, or skips the test where there is none.
func requestSchemas(t *testing.T) []schema {
	t.Helper()
	path := os.Getenv("KAFKA_CLIENTS_JAR")
	if path == "" {
		home, _ := os.UserHomeDir()
		path = filepath.Join(home, ".cache/kafka-peer/libs/kafka-clients-4.3.1.jar")
	}
	jar, err := zip.OpenReader(path)
	if err != nil {
		t.Skipf("no Kafka jar (KAFKA_CLIENTS_JAR): %v", err)
	}
	defer jar.Close()
	comment := regexp.MustCompile(`(?m)(^|\s)//[^"\n]*$|^\s*//.*$`)
	var all []schema
	for _, f := range jar.File {
		if !strings.HasPrefix(f.Name, "common/message/") || !strings.HasSuffix(f.Name, "Request.json") {
			continue
		}
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		r.Close()
		if err != nil {
			t.Fatal(err)
		}
		var s schema
		if err := json.Unmarshal(comment.ReplaceAll(text, nil), &s); err != nil {
			t.Fatalf("%s: %v", f.Name, err)
		}
		for _, l := range s.Listeners {
			if l == "broker" && s.Type == "request" && s.Valid != "none" {
				all = append(all, s)
			}
		}
	}
	sort.Slice(all, func(i, j int) bool { return all[i].APIKey < all[j].APIKey })
	return all
}

// span reads "3-7", "4+", "0" and "none".
func span(s string) (low, high int) {
	if s == "" || s == "none" {
		return -1, -1
	}
	if n, err := fmt.Sscanf(s, "%d-%d", &low, &high); n == 2 && err == nil {
		return low, high
	}
	fmt.Sscanf(s, "%d", &low)
	if strings.HasSuffix(s, "+") {
		return low, 99
	}
	return low, low
}

func TestVersionsAreKafkas(t *testing.T) {
	seen := map[Key]bool{}
	for _, s := range requestSchemas(t) {
		low, high := span(s.Valid)
		if s.LatestUnstable {
			high--
		}
		flexible, _ := span(s.Flexible)
		want := Versions{int16(low), int16(high), int16(flexible), true}
		key := Key(s.APIKey)
		seen[key] = true
		if got := VersionsOf(key); got != want {
			t.Errorf("%v: have %+v, Kafka has %+v", key, got, want)
		}
		if name := strings.TrimSuffix(s.Name, "Request"); name != key.String() {
			t.Errorf("key %d: have %v, Kafka has %s", key, key, name)
		}
	}
	for k := range Key(KeyCount) {
		if VersionsOf(k).Served && !seen[k] {
			t.Errorf("%v is not served by Kafka's client listener", k)
		}
	}
}

func TestShapesAreKafkas(t *testing.T) {
	var b strings.Builder
	b.WriteString(shapesHead)
	for _, s := range requestSchemas(t) {
		structs := map[string][]field{}
		for _, c := range s.CommonStructs {
			structs[c.Name] = c.Fields
		}
		fmt.Fprintf(&b, "%s %s\n", Key(s.APIKey), shapeOf(s.Fields, structs))
	}
	if *rewrite {
		if err := os.WriteFile("shapes.txt", []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if b.String() != shapesText {
		t.Error("shapes.txt is not what the jar says: go test -run Shapes -rewrite")
	}
}

const shapesHead = `# What the requests of a Kafka 4.3.1 client listener look like, from the message
# definitions in its jar (kafka_jar_test.go writes this file). One request a line.
#   1 2 4 8 16  bytes of a fixed size      s  string      b  bytes
#   [x]  array of x      (…)  struct, with a tag buffer where flexible
#   #n:x  tagged field n      x@low-high  versions, all when absent
#   ?  null is allowed (before a struct: a byte says whether it is null)
`

var fixed = map[string]string{"bool": "1", "int8": "1", "int16": "2", "uint16": "2",
	"int32": "4", "uint32": "4", "int64": "8", "float64": "8", "uuid": "16"}

func shapeOf(fields []field, structs map[string][]field) string {
	var out []string
	for _, f := range fields {
		word := typeShape(f.Type, f, structs)
		if f.Nullable != "" {
			word = "?" + word
		}
		if f.Tagged != "" {
			word = fmt.Sprintf("#%d:%s", f.Tag, word)
		}
		low, high := span(f.Versions)
		switch {
		case high != 99:
			word += fmt.Sprintf("@%d-%d", low, high)
		case low != 0:
			word += fmt.Sprintf("@%d-", low)
		}
		out = append(out, word)
	}
	return "(" + strings.Join(out, " ") + ")"
}

func typeShape(name string, f field, structs map[string][]field) string {
	if element, ok := strings.CutPrefix(name, "[]"); ok {
		return "[" + typeShape(element, f, structs) + "]"
	}
	if size, ok := fixed[name]; ok {
		return size
	}
	switch name {
	case "string":
		return "s"
	case "bytes", "records":
		return "b"
	}
	if common, ok := structs[name]; ok {
		return shapeOf(common, structs)
	}
	return shapeOf(f.Fields, structs)
}
