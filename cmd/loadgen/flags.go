package main

import (
	"errors"
	"os"
	"strconv"
	"strings"

	"millrace/loadgen/workload"

	"github.com/spf13/cobra"
)

// optionValue is one option of the workload's table as a flag.
type optionValue struct {
	o workload.Option
	w *workload.Workload
}

func (v optionValue) Set(text string) error {
	return bare(v.o.Set(v.w, text), text)
}

// bare is why a value was refused: its flag and its text are said by who calls.
func bare(err error, text string) error {
	var p *workload.Problem
	if errors.As(err, &p) {
		return errors.New(strings.TrimPrefix(p.Why, strconv.Quote(text)+": "))
	}
	return err
}

func (v optionValue) String() string {
	if v.w == nil {
		return ""
	}
	return v.o.Text(v.w)
}

func (v optionValue) Type() string { return v.o.Kind }

// addOptions makes flags of every option that has a meaning in the workload's mode.
func addOptions(cmd *cobra.Command, w *workload.Workload) {
	f := cmd.Flags()
	f.SortFlags = false
	for _, o := range workload.Options() {
		if !o.For(w.Mode) {
			continue
		}
		flag := f.VarPF(optionValue{o, w}, o.Name, "", o.Usage)
		if o.Bool {
			flag.NoOptDefVal = "true"
		}
	}
	if o, _ := workload.Find("rate"); o.For(w.Mode) {
		f.BoolFunc("max", "as many messages as go: the same as --rate max", func(text string) error {
			if text == "true" {
				w.Rate = workload.Rate{}
			}
			return nil
		})
	}
}

// overrides are the options of all modes, as texts that were given.
type overrides map[string]string

// overrideValue is one of them as a flag; what it may be is checked against every load.
type overrideValue struct {
	o  workload.Option
	to overrides
}

func (v overrideValue) Set(text string) error {
	w := workload.New(workload.EndToEnd)
	v.to[v.o.Name] = text
	return bare(v.o.Set(&w, text), text)
}

func (v overrideValue) String() string { return v.to[v.o.Name] }
func (v overrideValue) Type() string   { return v.o.Kind }

func (to overrides) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.SortFlags = false
	for _, o := range workload.Options() {
		flag := f.VarPF(overrideValue{o, to}, o.Name, "", o.Usage)
		if o.Bool {
			flag.NoOptDefVal = "true"
		}
	}
}

// passwordFromEnvironment is where a password belongs: a command line is seen by everybody.
const passwordFromEnvironment = "LOADGEN_PASSWORD"

func environment(w *workload.Workload) {
	if w.SASL.Mechanism != "" && w.SASL.Password == "" {
		_ = w.SASL.Password.Set(os.Getenv(passwordFromEnvironment))
	}
}

// noArguments refuses them by name.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return misused("loadgen %s takes options only, not %q", cmd.Name(), args[0])
	}
	return nil
}
