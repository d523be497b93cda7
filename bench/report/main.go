// Command report makes pictures and a browser's report of the saved side by side with Kafka.
//
//	report [RESULTS [PICTURES]]
//
// It reads what the benchmarks saved (bench/results) and writes report.html there, and one SVG
// picture for each kind of figure (docs/pictures).
package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"

	"millrace/bench"
	"millrace/loadgen/view"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	results, pictures := "bench/results", "docs/pictures"
	switch len(args) {
	case 0:
	case 2:
		pictures = args[1]
		fallthrough
	case 1:
		results = args[0]
	default:
		return fmt.Errorf("usage: report [RESULTS [PICTURES]]")
	}
	c, err := bench.Sheet(results)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	if err := view.CampaignHTML(&out, c); err != nil {
		return err
	}
	page := filepath.Join(results, "report.html")
	if err := os.WriteFile(page, out.Bytes(), 0o644); err != nil {
		return err
	}
	names, err := view.CampaignPictures(pictures, "kafka-", c)
	for _, name := range append([]string{page}, names...) {
		fmt.Println(name)
	}
	return err
}
