// Command millrace is the broker and its admin tool: flags → options → run.
package main

import (
	"context"
	"os"

	"millrace/internal/cli"
	"millrace/internal/cli/doctor"
	"millrace/internal/cli/dump"

	"github.com/spf13/cobra"
)

func main() {
	os.Exit(cli.Run(context.Background(), root(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

func root() *cobra.Command {
	cmd := cli.Noun("millrace", "A log engine that speaks Kafka's protocol", cli.Commands()...)
	cmd.AddCommand(serveCommand(), dump.Command(), importCommand(), doctor.Command(), versionCommand())
	return cmd
}
