package doctor

import (
	"encoding/json"
	"fmt"
	"io"

	"millrace/internal/cli"

	"github.com/spf13/cobra"
)

// Verdict on one thing.
type Verdict string

const (
	OK   Verdict = "OK"
	Warn Verdict = "WARN" // it will run, but slower or less safe than it could
	Fail Verdict = "FAIL" // it will not run, or not keep its promises
)

// Check is what was found about one thing.
type Check struct {
	Name    string  `json:"name"`
	Verdict Verdict `json:"verdict"`
	Found   string  `json:"found"`
	Advice  string  `json:"advice,omitempty"` // what to change; empty when OK
}

// host is where figures come from; tests put another tree in its place.
type host struct {
	root    string // "" is the machine itself
	release func() string
	uring   func() (bool, string)
	limit   func(resource int) (soft uint64, err error)
	cpus    int
}

// Command is `millrace doctor`.
func Command() *cobra.Command {
	var dir string
	var asJSON, noDisk bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Say whether this machine suits a broker, and what to change",
		Long: "Say whether kernel, limits, filesystem and disk suit a broker, and what to change.\n" +
			"The disk is measured with a scratch file in the data directory, which is removed. Exit code 1 on FAIL.",
		Args: cobra.NoArgs,
	}
	f := cmd.Flags()
	f.StringVar(&dir, "data", "data", "data directory")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	f.BoolVar(&noDisk, "no-disk", false, "do not measure the disk")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		checks := thisHost().checks()
		checks = append(checks, directory(dir, !noDisk)...)
		if err := show(cmd.OutOrStdout(), checks, asJSON); err != nil {
			return err
		}
		failed := 0
		for _, c := range checks {
			if c.Verdict == Fail {
				failed++
			}
		}
		if failed > 0 {
			return cli.Failed("%d of %d checks failed", failed, len(checks))
		}
		return nil
	}
	return cmd
}

func show(w io.Writer, checks []Check, asJSON bool) error {
	if asJSON {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		enc.SetEscapeHTML(false)
		return enc.Encode(checks)
	}
	width := 0
	for _, c := range checks {
		width = max(width, len(c.Name))
	}
	for _, c := range checks {
		fmt.Fprintf(w, "%-4s  %-*s  %s\n", c.Verdict, width, c.Name, c.Found)
		if c.Advice != "" {
			fmt.Fprintf(w, "%*s  -> %s\n", width+6, "", c.Advice)
		}
	}
	return nil
}

// verdict is OK when good; otherwise bad, with advice.
func verdict(name, found string, good bool, bad Verdict, advice string) Check {
	if good {
		return Check{Name: name, Verdict: OK, Found: found}
	}
	return Check{Name: name, Verdict: bad, Found: found, Advice: advice}
}
