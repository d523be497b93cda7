package dump

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"millrace/internal/cli"
	"millrace/internal/vfs"
	"millrace/segment/inspect"

	"github.com/spf13/cobra"
)

// Command is `millrace dump`.
func Command() *cobra.Command {
	var o inspect.Options
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "dump [PATH...]",
		Short: "Show and check journals, segments, indexes and checkpoints",
		Long: "Show and check the files of a data directory that no broker uses: a whole directory (default: data),\n" +
			"a partition's directory, or single files (.log .index .timeindex .sums .journal, a checkpoint, boot).\n" +
			"Batches and records are shown in the words of Kafka's dump tool. Everything that is shown is checked:\n" +
			"exit code 1 when something is damaged, with file and position.",
		Example: "  millrace dump --verify /var/lib/millrace\n" +
			"  millrace dump --deep /var/lib/millrace/log/orders-0/00000000000000000000.log\n" +
			"  millrace dump --json /var/lib/millrace | jq 'select(.type == \"log\")'",
	}
	f := cmd.Flags()
	f.BoolVar(&o.Verify, "verify", false, "check everything, show only what is damaged")
	f.BoolVar(&o.Deep, "deep", false, "show records, and entries of journals")
	f.BoolVar(&o.Values, "values", false, "show records with keys and values")
	f.Int64Var(&o.From, "offset", 0, "show batches and records from this offset on")
	f.IntVar(&o.Limit, "limit", 0, "show at most so many batches of a segment")
	f.StringVar(&o.Topic, "topic", "", "of a data directory, only this topic's partitions")
	f.StringArrayVar(&o.Also, "also", nil, "further data directory that has partitions (repeatable)")
	f.BoolVar(&asJSON, "json", false, "print JSON, one object per line")
	cmd.RunE = func(cmd *cobra.Command, paths []string) error {
		if len(paths) == 0 {
			paths = []string{"data"}
		}
		o.Deep = o.Deep || o.Values
		return run(cmd.OutOrStdout(), paths, o, asJSON)
	}
	return cmd
}

func run(w io.Writer, paths []string, o inspect.Options, asJSON bool) error {
	out := bufio.NewWriterSize(w, 1<<16)
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	tool := inspect.New(vfs.OS(), o, func(i inspect.Item) error {
		if asJSON {
			return enc.Encode(i)
		}
		_, err := fmt.Fprintln(out, i.Text())
		return err
	})
	for _, path := range paths {
		err := alone(path, func() error { return tool.Path(path) })
		if e := out.Flush(); err == nil {
			err = e
		}
		if err != nil {
			return cli.Failed("%w", err)
		}
	}
	if n := tool.Findings(); n > 0 {
		return cli.Failed("%d places are damaged", n)
	}
	if !asJSON && o.Verify {
		fmt.Fprintln(w, "no damage found")
	}
	return nil
}

// alone runs f while no broker can use a data directory: what one writes meanwhile would
// look like damage. A path that is none is looked at as it is.
func alone(path string, f func() error) error {
	lock := filepath.Join(path, "lock")
	if _, err := vfs.OS().Stat(lock); err != nil {
		return f()
	}
	unlock, err := vfs.OS().Lock(lock)
	if errors.Is(err, vfs.ErrLocked) {
		return fmt.Errorf("%s is in use by a broker: stop it first", path)
	}
	if err != nil {
		return err
	}
	defer func() { _ = unlock() }()
	return f()
}
