package cli

import (
	"context"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func groupSeek(a *app) *cobra.Command {
	var to string
	var topics []string
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "seek GROUP",
		Short: "Move a group's commits",
		Long: "Move the commits of a group without members. --to is earliest (start), latest (end), N (an offset,\n" +
			"kept inside what the partition holds), +N or -N (from the present commit) or @TIME, where TIME is\n" +
			"RFC 3339, a date, milliseconds since the epoch or a duration ago (@-2h).",
		Example: "  millrace group seek billing --to earliest\n" +
			"  millrace group seek billing --to @2026-01-31T12:00:00Z --topic orders:0,1 --dry-run",
		Args: cobra.ExactArgs(1),
	}
	f := cmd.Flags()
	f.StringVar(&to, "to", "", "where to")
	f.StringArrayVar(&topics, "topic", nil,
		"TOPIC or TOPIC:PARTITION,... (repeatable; default: what the group committed)")
	f.BoolVar(&dryRun, "dry-run", false, "show what would be done, change nothing")
	_ = cmd.MarkFlagRequired("to")
	return a.verb(cmd, func(ctx context.Context, args []string) error {
		target, err := parseTarget(to, time.Now())
		if err != nil {
			return err
		}
		want, err := parsePlaces(topics)
		if err != nil {
			return err
		}
		return a.seek(ctx, args[0], target, want, dryRun)
	})
}

// target is where a commit shall go.
type target struct {
	kind byte // 's' start, 'e' end, 'o' offset, 'r' relative, 't' time
	n    int64
}

func parseTarget(s string, now time.Time) (target, error) {
	switch s {
	case "earliest", "start":
		return target{kind: 's'}, nil
	case "latest", "end":
		return target{kind: 'e'}, nil
	}
	if ts, isTime := strings.CutPrefix(s, "@"); isTime {
		ms, err := parseTime(ts, now)
		return target{'t', ms}, err
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err == nil && (s[0] == '+' || s[0] == '-') {
		return target{'r', n}, nil
	}
	if err == nil {
		return target{'o', n}, nil
	}
	if ms, err := parseTime(s, now); err == nil {
		return target{'t', ms}, nil
	}
	return target{}, Usage("--to %q: want earliest, latest, N, +N, -N or @TIME", s)
}

// parsePlaces reads TOPIC and TOPIC:P,P arguments.
func parsePlaces(args []string) (map[string][]int32, error) {
	out := make(map[string][]int32)
	for _, arg := range args {
		topic, list, some := strings.Cut(arg, ":")
		if topic == "" {
			return nil, Usage("--topic %q: want TOPIC or TOPIC:PARTITION,...", arg)
		}
		out[topic] = append(out[topic], []int32{}...)
		for _, s := range strings.Split(list, ",") {
			if !some {
				break
			}
			p, err := strconv.ParseInt(s, 10, 32)
			if err != nil || p < 0 {
				return nil, Usage("--topic %q: %q is no partition", arg, s)
			}
			out[topic] = append(out[topic], int32(p))
		}
	}
	return out, nil
}

type seekRow struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Prior     *int64 `json:"prior_offset"`
	New       int64  `json:"new_offset"`
	Status    string `json:"status"`
}

func (a *app) seek(ctx context.Context, group string, to target, want map[string][]int32, dryRun bool) error {
	g, err := a.describeGroup(ctx, group)
	if err != nil {
		return err
	}
	if g.State != dead && g.State != empty {
		return Failed("group %s is %s with %d members: its consumers must stop first", group, g.State, len(g.Members))
	}
	commits, err := a.committed(ctx, group)
	if err != nil {
		return err
	}
	places := make(map[string][]int32)
	if len(want) > 0 {
		if places, err = a.places(ctx, want); err != nil {
			return err
		}
	} else {
		for at := range commits {
			places[at.topic] = append(places[at.topic], at.partition)
		}
	}
	if len(places) == 0 {
		return Failed("group %s has no commits: name topics with --topic", group)
	}
	rows, err := a.targets(ctx, places, commits, to)
	if err != nil {
		return err
	}
	if !dryRun {
		if err := a.commitRows(ctx, group, rows); err != nil {
			return err
		}
	}
	return a.showSeek(rows, dryRun)
}

func (a *app) showSeek(rows []seekRow, dryRun bool) error {
	t := newTable("", "TOPIC", "PARTITION", "PRIOR-OFFSET", "NEW-OFFSET", "STATUS")
	failed := 0
	for i := range rows {
		if dryRun {
			rows[i].Status = "DRY-RUN"
		} else if rows[i].Status != ok {
			failed++
		}
		t.row(rows[i].Topic, rows[i].Partition, numberOrDash(rows[i].Prior), rows[i].New, rows[i].Status)
	}
	if err := a.show(rows, t); err != nil {
		return err
	}
	if failed > 0 {
		return Failed("%d of %d partitions not moved", failed, len(rows))
	}
	return nil
}

// targets works out the new offset of every place, inside what its log holds.
func (a *app) targets(
	ctx context.Context, places map[string][]int32, commits map[place]int64, to target,
) ([]seekRow, error) {
	start, err := a.offsets(ctx, places, earliest)
	if err != nil {
		return nil, err
	}
	end, err := a.offsets(ctx, places, latest)
	if err != nil {
		return nil, err
	}
	var at map[place]found
	if to.kind == 't' {
		if at, err = a.offsets(ctx, places, to.n); err != nil {
			return nil, err
		}
	}
	var rows []seekRow
	for topic, parts := range places {
		for _, p := range parts {
			pl := place{topic, p}
			for _, f := range []found{start[pl], end[pl], at[pl]} {
				if err := refused(topic, f.code, nil); err != nil {
					return nil, err
				}
			}
			r := seekRow{Topic: topic, Partition: p, Status: ok}
			prior, committed := commits[pl]
			if committed {
				r.Prior = &prior
			}
			r.New = to.offset(prior, start[pl].offset, end[pl].offset, at[pl].offset)
			rows = append(rows, r)
		}
	}
	sort.Slice(rows, func(i, j int) bool {
		x, y := &rows[i], &rows[j]
		return x.Topic < y.Topic || x.Topic == y.Topic && x.Partition < y.Partition
	})
	return rows, nil
}

// offset is the target inside [start, end]; byTime is -1 when nothing is that young.
func (t target) offset(prior, start, end, byTime int64) int64 {
	n := t.n
	switch t.kind {
	case 's':
		return start
	case 'e':
		return end
	case 'r':
		n = prior + t.n
	case 't':
		if byTime < 0 {
			return end
		}
		n = byTime
	}
	return min(max(n, start), end)
}

// commitRows commits as a tool does: no member, no generation.
func (a *app) commitRows(ctx context.Context, group string, rows []seekRow) error {
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group = group
	req.Generation = -1
	byTopic := make(map[string]int)
	for _, r := range rows {
		i, seen := byTopic[r.Topic]
		if !seen {
			i = len(req.Topics)
			byTopic[r.Topic] = i
			t := kmsg.NewOffsetCommitRequestTopic()
			t.Topic = r.Topic
			req.Topics = append(req.Topics, t)
		}
		p := kmsg.NewOffsetCommitRequestTopicPartition()
		p.Partition, p.Offset = r.Partition, r.New
		req.Topics[i].Partitions = append(req.Topics[i].Partitions, p)
	}
	resp, err := ask[*kmsg.OffsetCommitResponse](ctx, a, req)
	if err != nil {
		return err
	}
	codes := make(map[place]int16)
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			codes[place{t.Topic, p.Partition}] = p.ErrorCode
		}
	}
	for i := range rows {
		code, answered := codes[place{rows[i].Topic, rows[i].Partition}]
		switch {
		case !answered:
			rows[i].Status = "NO ANSWER"
		case code != 0:
			rows[i].Status = codeName(code)
		}
	}
	return nil
}
