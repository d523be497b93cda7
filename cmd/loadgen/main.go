// Command loadgen puts a measured load on any broker that speaks Kafka's protocol.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

// Exit codes.
const (
	exitFailed = 1 // the load failed, ended early, or had errors; what was measured is kept
	exitUsage  = 2 // the command line or a file that it names is wrong; nothing was done
	exitVoid   = 3 // the load ran, and the generator was too slow for its figures to mean anything
	exitWrong  = 4 // verify: messages are missing, doubled, out of order or damaged
)

// failure is an error with its exit code. Other errors come from reading the command line.
type failure struct {
	code int
	err  error
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

func failed(err error) error {
	if err == nil {
		return nil
	}
	return &failure{exitFailed, err}
}

func misused(format string, args ...any) error {
	return &failure{exitUsage, fmt.Errorf(format, args...)}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	go func() { // a second signal ends it at once; one that comes with the first does not
		<-ctx.Done()
		time.Sleep(time.Second)
		stop()
	}()
	code := execute(ctx, os.Args[1:], os.Stderr)
	stop()
	os.Exit(code)
}

// execute runs a command line and returns the exit code.
func execute(ctx context.Context, args []string, stderr io.Writer) int {
	root := rootCommand()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	text := strings.TrimSpace(err.Error())
	if text != "" {
		fmt.Fprintln(stderr, text)
	}
	var f *failure
	if errors.As(err, &f) {
		return f.code
	}
	fmt.Fprintln(stderr, "See loadgen --help, and loadgen COMMAND --help.")
	return exitUsage
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "loadgen",
		Short: "Measured loads for brokers that speak Kafka's protocol",
		Long: `loadgen puts a load on a broker (Millrace, Apache Kafka, Redpanda …) and reports latencies that
count from the moment at which each message was due, so that a broker that stalls cannot hide it.

Exit codes: 0 good; 1 the load failed, ended early or had errors (what was measured is kept);
2 wrong options; 3 void: the generator itself was too slow; 4 verify found something wrong.`,
		Example: `  loadgen e2e --create --delete --rate 20k --duration 30s
  loadgen produce --rate max --size 1KiB --batch 64KiB --html report.html
  loadgen run bench/scenarios/08-fixed-rate.yaml --broker-pid $(pidof millrace)`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.AddGroup(&cobra.Group{ID: "load", Title: "Loads:"},
		&cobra.Group{ID: "result", Title: "Results:"},
		&cobra.Group{ID: "plan", Title: "Capacity:"})
	for _, m := range modes {
		root.AddCommand(modeCommand(m))
	}
	root.AddCommand(runCommand())
	grouped(root, "result", mergeCommand(), reportCommand())
	grouped(root, "plan", limitsCommand(), sweepCommand(), planCommand())
	grouped(root, "", stubCommand())
	root.CompletionOptions.HiddenDefaultCmd = true
	return root
}

// grouped adds commands under a heading of the help.
func grouped(root *cobra.Command, group string, list ...*cobra.Command) {
	for _, c := range list {
		c.GroupID = group
		root.AddCommand(c)
	}
}
