package cli

import (
	"context"
	"fmt"
	"sort"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kmsg"
)

type groupDetail struct {
	Group       string   `json:"group"`
	Coordinator string   `json:"coordinator"`
	State       string   `json:"state"`
	Balancer    string   `json:"balancer"`
	Members     int      `json:"members"`
	TotalLag    int64    `json:"total_lag"`
	Offsets     []lagRow `json:"offsets"`
}

type lagRow struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Current   *int64 `json:"current_offset"` // null: no commit
	Start     int64  `json:"log_start_offset"`
	End       int64  `json:"log_end_offset"`
	Lag       *int64 `json:"lag"` // null: end unknown
	Member    string `json:"member_id,omitempty"`
	Instance  string `json:"instance_id,omitempty"`
	Client    string `json:"client_id,omitempty"`
	Host      string `json:"host,omitempty"`
	Error     string `json:"error,omitempty"`
}

func groupDescribe(a *app) *cobra.Command {
	var summary bool
	cmd := &cobra.Command{
		Use: "describe GROUP...", Short: "Show members, commits and lag of groups", Args: cobra.MinimumNArgs(1),
	}
	cmd.Flags().BoolVarP(&summary, "print-summary", "s", false, "the summary only")
	return a.verb(cmd, func(ctx context.Context, args []string) error {
		details := []groupDetail{}
		var tables []*table
		for _, group := range args {
			d, err := a.groupDetail(ctx, group)
			if err != nil {
				return err
			}
			if summary {
				d.Offsets = nil
			}
			details = append(details, *d)
			tables = append(tables, groupTables(d, summary)...)
		}
		return a.show(details, tables...)
	})
}

func groupTables(d *groupDetail, summary bool) []*table {
	head := newTable("", "GROUP", "COORDINATOR", "STATE", "BALANCER", "MEMBERS", "TOTAL-LAG")
	head.row(d.Group, d.Coordinator, d.State, orDash(d.Balancer), d.Members, d.TotalLag)
	if summary {
		return []*table{head}
	}
	t := newTable("", "TOPIC", "PARTITION", "CURRENT-OFFSET", "LOG-START-OFFSET", "LOG-END-OFFSET", "LAG",
		"MEMBER-ID", "CLIENT-ID", "HOST")
	for _, r := range d.Offsets {
		lag := numberOrDash(r.Lag)
		if r.Error != "" {
			lag = r.Error
		}
		t.row(r.Topic, r.Partition, numberOrDash(r.Current), r.Start, r.End, lag,
			orDash(r.Member), orDash(r.Client), orDash(r.Host))
	}
	return []*table{head, t}
}

func numberOrDash(n *int64) string {
	if n == nil {
		return "-"
	}
	return fmt.Sprint(*n)
}

// owner is the member that a partition is assigned to.
type owner struct{ member, instance, client, host string }

func (a *app) groupDetail(ctx context.Context, group string) (*groupDetail, error) {
	g, err := a.describeGroup(ctx, group)
	if err != nil {
		return nil, err
	}
	commits, err := a.committed(ctx, group)
	if err != nil {
		return nil, err
	}
	if g.State == dead && len(commits) == 0 {
		return nil, Failed("group %s does not exist", group)
	}
	owners := assigned(g)
	places := make(map[string][]int32)
	for at := range commits {
		places[at.topic] = append(places[at.topic], at.partition)
	}
	for at := range owners {
		if _, known := commits[at]; !known {
			places[at.topic] = append(places[at.topic], at.partition)
		}
	}
	start, err := a.offsets(ctx, places, earliest)
	if err != nil {
		return nil, err
	}
	end, err := a.offsets(ctx, places, latest)
	if err != nil {
		return nil, err
	}
	d := &groupDetail{
		Group: group, State: g.State, Balancer: g.Protocol, Members: len(g.Members),
		Coordinator: a.coordinator(ctx, group), Offsets: []lagRow{},
	}
	for topic, parts := range places {
		for _, p := range parts {
			at := place{topic, p}
			r := lagOf(at, commits, start[at], end[at], owners[at])
			if r.Lag != nil {
				d.TotalLag += *r.Lag
			}
			d.Offsets = append(d.Offsets, r)
		}
	}
	sort.Slice(d.Offsets, func(i, j int) bool {
		x, y := &d.Offsets[i], &d.Offsets[j]
		return x.Topic < y.Topic || x.Topic == y.Topic && x.Partition < y.Partition
	})
	return d, nil
}

func lagOf(at place, commits map[place]int64, start, end found, o owner) lagRow {
	r := lagRow{
		Topic: at.topic, Partition: at.partition, Start: start.offset, End: end.offset,
		Member: o.member, Instance: o.instance, Client: o.client, Host: o.host,
	}
	if end.code != 0 {
		r.Error = codeName(end.code)
	}
	current, committed := commits[at]
	if committed {
		r.Current = &current
	}
	if end.code == 0 {
		from := start.offset
		if committed {
			from = max(from, current)
		}
		lag := max(0, end.offset-from)
		r.Lag = &lag
	}
	return r
}

// assigned reads who has which partition; members of other protocols than
// "consumer" carry bytes that are not ours to read.
func assigned(g *kmsg.DescribeGroupsResponseGroup) map[place]owner {
	out := make(map[place]owner)
	if g.ProtocolType != "consumer" {
		return out
	}
	for i := range g.Members {
		m := &g.Members[i]
		var as kmsg.ConsumerMemberAssignment
		if as.ReadFrom(m.MemberAssignment) != nil {
			continue
		}
		for _, t := range as.Topics {
			for _, p := range t.Partitions {
				out[place{t.Topic, p}] = owner{m.MemberID, deref(m.InstanceID), m.ClientID, m.ClientHost}
			}
		}
	}
	return out
}

func (a *app) coordinator(ctx context.Context, group string) string {
	req := kmsg.NewPtrFindCoordinatorRequest()
	req.CoordinatorKey = group
	req.CoordinatorKeys = []string{group}
	resp, err := ask[*kmsg.FindCoordinatorResponse](ctx, a, req)
	switch {
	case err != nil:
		return "-"
	case len(resp.Coordinators) == 1 && resp.Coordinators[0].ErrorCode == 0:
		return fmt.Sprint(resp.Coordinators[0].NodeID)
	case len(resp.Coordinators) == 0 && resp.ErrorCode == 0:
		return fmt.Sprint(resp.NodeID)
	}
	return "-"
}
