package cli

import (
	"context"
	"sort"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func configCommand(a *app) *cobra.Command {
	cmd := Noun("config", "Show and change the configs of topics and brokers",
		configDescribe(a), configSet(a), configDelete(a))
	cmd.Long = "Show and change the configs of topics and brokers.\n\n" +
		"TYPE is topic, broker or group; NAME is the topic's, broker's or group's. For brokers the name\n" +
		"'default' means the cluster-wide defaults."
	return cmd
}

type configRow struct {
	Name      string `json:"name"`
	Value     string `json:"value"`
	Source    string `json:"source"`
	ReadOnly  bool   `json:"read_only"`
	Sensitive bool   `json:"sensitive"`
}

// resource reads TYPE NAME.
func resource(kind, name string) (kmsg.ConfigResourceType, string, error) {
	switch strings.ToLower(strings.TrimSuffix(kind, "s")) {
	case "topic":
		return kmsg.ConfigResourceTypeTopic, name, nil
	case "group":
		return kmsg.ConfigResourceTypeGroupConfig, name, nil
	case "broker":
		if name == "default" {
			return kmsg.ConfigResourceTypeBroker, "", nil
		}
		if _, err := strconv.ParseInt(name, 10, 32); err != nil {
			return 0, "", Usage("broker %q: want a node id or 'default'", name)
		}
		return kmsg.ConfigResourceTypeBroker, name, nil
	}
	return 0, "", Usage("%q: want topic, broker or group", kind)
}

func configDescribe(a *app) *cobra.Command {
	var changed bool
	cmd := &cobra.Command{
		Use:     "describe TYPE NAME [CONFIG...]",
		Short:   "Show configs, where each value comes from included",
		Example: "  millrace config describe topic orders retention.ms\n  millrace config describe broker 1",
		Args:    cobra.MinimumNArgs(2),
	}
	cmd.Flags().BoolVar(&changed, "changed", false, "only values that are not defaults")
	return a.verb(cmd, func(ctx context.Context, args []string) error {
		kind, name, err := resource(args[0], args[1])
		if err != nil {
			return err
		}
		rows, err := a.describeConfigs(ctx, kind, name, args[2:])
		if err != nil {
			return err
		}
		shown := []configRow{}
		for _, r := range rows {
			if !changed || r.Source != kmsg.ConfigSourceDefaultConfig.String() {
				shown = append(shown, r)
			}
		}
		return a.show(shown, configTable("", shown))
	})
}

func configTable(title string, rows []configRow) *table {
	t := newTable(title, "NAME", "VALUE", "SOURCE")
	for _, r := range rows {
		t.row(r.Name, r.Value, r.Source)
	}
	return t
}

// describeConfigs asks for names, for all when there are none; sorted.
func (a *app) describeConfigs(
	ctx context.Context, kind kmsg.ConfigResourceType, name string, names []string,
) ([]configRow, error) {
	req := kmsg.NewPtrDescribeConfigsRequest()
	res := kmsg.NewDescribeConfigsRequestResource()
	res.ResourceType, res.ResourceName = kind, name
	if len(names) > 0 {
		res.ConfigNames = names
	}
	req.Resources = append(req.Resources, res)
	resp, err := ask[*kmsg.DescribeConfigsResponse](ctx, a, req)
	if err != nil {
		return nil, err
	}
	var rows []configRow
	for _, r := range resp.Resources {
		if err := refused("configs of "+name, r.ErrorCode, r.ErrorMessage); err != nil {
			return nil, err
		}
		for _, c := range r.Configs {
			row := configRow{
				Name: c.Name, Value: deref(c.Value), Source: c.Source.String(),
				ReadOnly: c.ReadOnly, Sensitive: c.IsSensitive,
			}
			if c.IsSensitive {
				row.Value = "(hidden)"
			}
			rows = append(rows, row)
		}
	}
	sort.Slice(rows, func(i, j int) bool { return rows[i].Name < rows[j].Name })
	return rows, nil
}

// change is one step of an incremental alteration.
type change struct {
	op    kmsg.IncrementalAlterConfigOp
	name  string
	value *string
}

func (a *app) alterConfigs(
	ctx context.Context, kind kmsg.ConfigResourceType, names []string, changes []change, dryRun bool,
) error {
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	req.ValidateOnly = dryRun
	for _, name := range names {
		res := kmsg.NewIncrementalAlterConfigsRequestResource()
		res.ResourceType, res.ResourceName = kind, name
		for _, ch := range changes {
			c := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
			c.Op, c.Name, c.Value = ch.op, ch.name, ch.value
			res.Configs = append(res.Configs, c)
		}
		req.Resources = append(req.Resources, res)
	}
	resp, err := ask[*kmsg.IncrementalAlterConfigsResponse](ctx, a, req)
	if err != nil {
		return err
	}
	var rows []status
	for _, r := range resp.Resources {
		if kind == kmsg.ConfigResourceTypeBroker && r.ResourceName == "" {
			r.ResourceName = "default"
		}
		rows = append(rows, coded(r.ResourceName, r.ErrorCode, r.ErrorMessage))
	}
	return a.statuses(strings.ToUpper(kindName(kind)), rows)
}

func kindName(kind kmsg.ConfigResourceType) string {
	switch kind {
	case kmsg.ConfigResourceTypeTopic:
		return "topic"
	case kmsg.ConfigResourceTypeBroker:
		return "broker"
	}
	return "group"
}

func setting(args []string) ([]change, error) {
	kv, err := pairs(args)
	var out []change
	for _, p := range kv {
		out = append(out, change{kmsg.IncrementalAlterConfigOpSet, p[0], kmsg.StringPtr(p[1])})
	}
	return out, err
}

func deleting(names []string) []change {
	var out []change
	for _, n := range names {
		out = append(out, change{op: kmsg.IncrementalAlterConfigOpDelete, name: n})
	}
	return out
}

func configSet(a *app) *cobra.Command {
	var dryRun bool
	cmd := &cobra.Command{
		Use:     "set TYPE NAME CONFIG=VALUE...",
		Short:   "Set configs",
		Example: "  millrace config set topic orders retention.ms=3600000",
		Args:    cobra.MinimumNArgs(3),
	}
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "let the broker check, change nothing")
	return a.verb(cmd, func(ctx context.Context, args []string) error {
		kind, name, err := resource(args[0], args[1])
		if err != nil {
			return err
		}
		changes, err := setting(args[2:])
		if err != nil {
			return err
		}
		return a.alterConfigs(ctx, kind, []string{name}, changes, dryRun)
	})
}

func configDelete(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "delete TYPE NAME CONFIG...",
		Short: "Delete configs, so that the default holds again",
		Args:  cobra.MinimumNArgs(3),
	}
	return a.verb(cmd, func(ctx context.Context, args []string) error {
		kind, name, err := resource(args[0], args[1])
		if err != nil {
			return err
		}
		return a.alterConfigs(ctx, kind, []string{name}, deleting(args[2:]), false)
	})
}

func topicAlterConfig(a *app) *cobra.Command {
	var set, remove []string
	cmd := &cobra.Command{
		Use:     "alter-config NAME...",
		Short:   "Set and delete configs of topics",
		Example: "  millrace topic alter-config orders --set retention.ms=3600000 --delete segment.bytes",
		Args:    cobra.MinimumNArgs(1),
	}
	cmd.Flags().StringArrayVarP(&set, "set", "s", nil, "name=value to set (repeatable)")
	cmd.Flags().StringArrayVarP(&remove, "delete", "d", nil, "name to delete (repeatable)")
	cmd.MarkFlagsOneRequired("set", "delete")
	return a.verb(cmd, func(ctx context.Context, args []string) error {
		changes, err := setting(set)
		if err != nil {
			return err
		}
		changes = append(changes, deleting(remove)...)
		return a.alterConfigs(ctx, kmsg.ConfigResourceTypeTopic, args, changes, false)
	})
}
