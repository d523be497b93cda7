package engine

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"millrace/protocol"
)

var rewrite = flag.Bool("rewrite", false, "write generated files anew")

// docs/PROTOCOL.md is made from the table of APIs, so that it cannot rot.
func TestProtocolDoc(t *testing.T) {
	const name = "../docs/PROTOCOL.md"
	want := protocolDoc()
	if *rewrite {
		if err := os.WriteFile(name, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(name)
	if err != nil || string(have) != want {
		t.Fatalf("%s is not what the table says; run: make docs (%v)", name, err)
	}
}

func protocolDoc() string {
	var b strings.Builder
	b.WriteString("# Kafka APIs served\n\n" +
		"Generated from the table in `engine/api.go`; do not edit. The ranges are those of Apache " +
		"Kafka 4.3.1. What is not listed is not advertised, and a request for it closes the " +
		"connection, as in Kafka. Produce is advertised from version 0 and refused below 3 " +
		"(KAFKA-18659).\n\n| key | API | versions | flexible from |\n|---|---|---|---|\n")
	for k := range apis {
		if apis[k].serve == nil {
			continue
		}
		key := protocol.Key(k)
		v := protocol.VersionsOf(key)
		flex := "never"
		if v.Flexible >= 0 {
			flex = fmt.Sprint(v.Flexible)
		}
		fmt.Fprintf(&b, "| %d | %s | %d–%d | %s |\n", k, key, v.Min, v.Max, flex)
	}
	return b.String()
}
