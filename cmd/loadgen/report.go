package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"millrace/loadgen/result"
	"millrace/loadgen/view"

	"github.com/spf13/cobra"
)

// reportOptions of the command.
type reportOptions struct {
	out, title, pictures, prefix string
}

func reportCommand() *cobra.Command {
	var o reportOptions
	cmd := &cobra.Command{
		Use:   "report FILE…",
		Short: "Make an HTML report of one result, or of several side by side",
		Long: "Report makes one HTML file of results (.json) or interval logs (.hlog), which a\n" +
			"browser opens without a network. Of several results the first one is the baseline:\n" +
			"ratios are to it. The file of a campaign (a side by side in pairs) is a report of\n" +
			"its own. --pictures writes the main pictures as SVG files, too.",
		Example: "  loadgen report run.json -o run.html\n" +
			"  loadgen report kafka.json millrace.json -o compare.html\n" +
			"  loadgen report bench/results/kafka.json --pictures docs/pictures",
		Args: cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return o.make(args) },
	}
	f := cmd.Flags()
	f.StringVarP(&o.out, "output", "o", "", "file to write (the first input's name, .html)")
	f.StringVar(&o.title, "title", "", "what the report is headed by")
	f.StringVar(&o.pictures, "pictures", "", "directory to write SVG pictures to")
	f.StringVar(&o.prefix, "prefix", "", "what the pictures' names begin with")
	return cmd
}

func (o *reportOptions) make(args []string) error {
	if o.out == "" {
		o.out = strings.TrimSuffix(args[0], filepath.Ext(args[0])) + ".html"
	}
	for _, path := range args {
		if path == o.out {
			return fmt.Errorf("report: %s is an input", path)
		}
		if strings.HasSuffix(path, ".hlog") {
			continue
		}
		format, err := result.FormatOf(path)
		if err != nil {
			return err
		}
		if format == view.CampaignFormat {
			if len(args) > 1 {
				return errors.New("report: a campaign is a report of its own")
			}
			return o.campaign(path)
		}
	}
	runs, err := loadAll(args)
	if err != nil {
		return err
	}
	if err := view.HTMLFile(o.out, runs, o.title); err != nil {
		return err
	}
	fmt.Println(o.out)
	if o.pictures == "" {
		return nil
	}
	return told(view.Pictures(o.pictures, o.prefix, runs))
}

// told prints the names of files that were written.
func told(names []string, err error) error {
	for _, name := range names {
		fmt.Println(name)
	}
	return err
}

func (o *reportOptions) campaign(path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	c, err := view.ReadCampaign(bytes.NewReader(data), filepath.Base(path))
	if err != nil {
		return err
	}
	if o.title != "" {
		c.Title = o.title
	}
	var out bytes.Buffer
	if err := view.CampaignHTML(&out, c); err != nil {
		return err
	}
	if err := os.WriteFile(o.out, out.Bytes(), 0o644); err != nil {
		return err
	}
	fmt.Println(o.out)
	if o.pictures == "" {
		return nil
	}
	return told(view.CampaignPictures(o.pictures, o.prefix, c))
}
