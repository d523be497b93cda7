package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"

	"github.com/spf13/cobra"
)

// Exit codes of every command; serve adds ExitDisk.
const (
	ExitOK          = 0
	ExitFailed      = 1
	ExitUsage       = 2
	ExitUnreachable = 3
	ExitDisk        = 74 // EX_IOERR: a disk failure latched, acknowledged data is safe
)

// Error is an error that chose its exit code.
type Error struct {
	Code int
	Err  error
}

func (e *Error) Error() string { return e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// Usage is wrong use of a command: exit code 2.
func Usage(format string, args ...any) error {
	return &Error{Code: ExitUsage, Err: fmt.Errorf(format, args...)}
}

// Failed is an operation that did not succeed: exit code 1.
func Failed(format string, args ...any) error {
	return &Error{Code: ExitFailed, Err: fmt.Errorf(format, args...)}
}

// Run executes a command tree and gives the process's exit code.
func Run(ctx context.Context, root *cobra.Command, args []string, in io.Reader, out, errs io.Writer) int {
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errs)
	root.SilenceErrors = true
	root.SilenceUsage = true
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return Usage("%w\nSee '%s --help'", err, cmd.CommandPath())
	})
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return ExitOK
	}
	code := exitCode(err)
	if text := err.Error(); text != "" {
		fmt.Fprintf(errs, "millrace: %s\n", text)
	}
	if code == ExitUsage && cmd != nil && !strings.Contains(err.Error(), "--help") {
		fmt.Fprintf(errs, "See '%s --help'\n", cmd.CommandPath())
	}
	return code
}

func exitCode(err error) int {
	var own *Error
	if errors.As(err, &own) {
		return own.Code
	}
	// What is left comes from cobra: unknown commands, wrong number of arguments,
	// missing flags.
	for _, s := range []string{"unknown command", "arg(s)", "required flag", "invalid argument", "flags in the group"} {
		if strings.Contains(err.Error(), s) {
			return ExitUsage
		}
	}
	return ExitFailed
}

// Noun makes a command that only groups others: alone or with an unknown verb it
// is wrong use.
func Noun(use, short string, verbs ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use:   use,
		Short: short,
		Args:  cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				_ = cmd.Help()
				return &Error{Code: ExitUsage, Err: errors.New("")}
			}
			text := fmt.Sprintf("unknown command %q for %q", args[0], cmd.CommandPath())
			if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
				text += ": did you mean " + strings.Join(near, " or ") + "?"
			}
			return Usage("%s", text)
		},
	}
	cmd.SuggestionsMinimumDistance = 2
	cmd.AddCommand(verbs...)
	return cmd
}

// unreachable says in plain words why no broker answered.
func unreachable(brokers []string, err error) error {
	why := err.Error()
	var op *net.OpError
	switch {
	case errors.As(err, &op) && op.Err != nil:
		why = strings.TrimPrefix(op.Err.Error(), "connect: ")
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		why = "no answer in time"
	}
	return &Error{Code: ExitUnreachable, Err: fmt.Errorf(
		"no broker reached at %s: %s\nIs it running? Choose another with --brokers HOST:PORT or MILLRACE_BROKERS",
		strings.Join(brokers, ", "), why)}
}
