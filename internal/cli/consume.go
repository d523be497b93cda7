package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"
)

type consumeFlags struct {
	offset, group, format string
	partitions            []int32
	number                int
	untilEnd, committed   bool
}

func topicConsume(a *app) *cobra.Command {
	var cf consumeFlags
	cmd := &cobra.Command{
		Use:   "consume NAME...",
		Short: "Read records and print them",
		Long: "Read records and print them, until interrupted, -n records or the end (-e).\n\n" +
			"The offset is start, end, N (exactly), +N (from the start), -N (from the end) or @TIME, where TIME\n" +
			"is RFC 3339, a date, milliseconds since the epoch, or a duration like 2h ago (@-2h).\n" +
			"The format is franz-go's RecordFormatter: %t topic, %p partition, %o offset, %k key, %v value,\n" +
			"%d timestamp, %h{%k=%v } headers. With --json each record is one line of JSON.",
		Example: "  millrace topic consume orders -o start -e -f '%p/%o %k %v\\n'",
		Args:    cobra.MinimumNArgs(1),
	}
	f := cmd.Flags()
	f.StringVarP(&cf.offset, "offset", "o", "start", "where to begin (a group: where it has no commit)")
	f.StringVarP(&cf.group, "group", "g", "", "read as a member of this group, and commit")
	f.StringVarP(&cf.format, "format", "f", `%v\n`, "how to print a record")
	f.Int32SliceVarP(&cf.partitions, "partitions", "p", nil, "only these partitions")
	f.IntVarP(&cf.number, "num", "n", 0, "stop after this many records (0: go on)")
	f.BoolVarP(&cf.untilEnd, "until-end", "e", false, "stop where the topics ended when the command began")
	f.BoolVar(&cf.committed, "read-committed", false, "leave out records of open and aborted transactions")
	cmd.MarkFlagsMutuallyExclusive("group", "partitions")
	return a.open(cmd, func(ctx context.Context, args []string) error {
		format, err := kgo.NewRecordFormatter(cf.format)
		if err != nil {
			return Usage("--format: %w", err)
		}
		from, err := parseOffset(cf.offset, time.Now())
		if err != nil {
			return err
		}
		defer a.close()
		c := consumption{a: a, flags: &cf, format: format, out: bufio.NewWriter(a.out)}
		if err := c.plan(ctx, args, from); err != nil {
			return err
		}
		return c.run(ctx)
	})
}

// consumption is one run of the command.
type consumption struct {
	a      *app
	flags  *consumeFlags
	format *kgo.RecordFormatter
	out    *bufio.Writer
	ends   map[place]int64 // with -e: partitions not read to their end yet
	count  int
}

// plan finds the partitions and their ends, and replaces the client by one that
// consumes them.
func (c *consumption) plan(ctx context.Context, topics []string, from origin) error {
	short, cancel := context.WithTimeout(ctx, c.a.timeout)
	defer cancel()
	want := make(map[string][]int32)
	for _, t := range topics {
		want[t] = c.flags.partitions
	}
	places, err := c.a.places(short, want)
	if err != nil {
		return err
	}
	if c.flags.untilEnd {
		if err := c.findEnds(short, places, from); err != nil {
			return err
		}
	}
	opts := []kgo.Opt{
		kgo.ConsumeResetOffset(from.kgo()), kgo.KeepControlRecords(), kgo.FetchMaxWait(500 * time.Millisecond),
	}
	if c.flags.committed {
		opts = append(opts, kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	}
	if c.flags.group != "" {
		opts = append(opts, kgo.ConsumerGroup(c.flags.group), kgo.ConsumeTopics(topics...), kgo.DisableAutoCommit())
	} else {
		direct := make(map[string]map[int32]kgo.Offset)
		for topic, parts := range places {
			direct[topic] = make(map[int32]kgo.Offset)
			for _, p := range parts {
				direct[topic][p] = from.kgo()
			}
		}
		opts = append(opts, kgo.ConsumePartitions(direct))
	}
	c.a.close()
	return c.a.connect(short, opts...)
}

// findEnds notes the ends of the partitions that the command has something to read of.
func (c *consumption) findEnds(ctx context.Context, places map[string][]int32, from origin) error {
	starts, err := c.a.offsets(ctx, places, earliest)
	if err != nil {
		return err
	}
	ends, err := c.a.offsets(ctx, places, latest)
	if err != nil {
		return err
	}
	var byTime map[place]found
	if from.kind == 't' {
		if byTime, err = c.a.offsets(ctx, places, from.n); err != nil {
			return err
		}
	}
	var commits map[place]int64
	if c.flags.group != "" {
		if commits, err = c.a.committed(ctx, c.flags.group); err != nil {
			return err
		}
	}
	c.ends = make(map[place]int64)
	for at, e := range ends {
		if err := refused("end of "+at.topic, e.code, nil); err != nil {
			return err
		}
		position, committed := commits[at]
		if !committed {
			position = from.position(starts[at].offset, e.offset, byTime[at].offset)
		}
		if e.offset > max(position, starts[at].offset) {
			c.ends[at] = e.offset
		}
	}
	return nil
}

func (c *consumption) run(ctx context.Context) error {
	defer c.out.Flush()
	for !c.done() {
		poll, cancel := ctx, context.CancelFunc(func() {})
		if c.flags.untilEnd {
			poll, cancel = context.WithTimeout(ctx, c.a.timeout)
		}
		most := 0
		if c.flags.number > 0 {
			most = c.flags.number - c.count
		}
		fetches := c.a.cl.PollRecords(poll, most)
		cancel()
		if ctx.Err() != nil {
			return nil // interrupted: that is how it is meant to end
		}
		for _, fe := range fetches.Errors() {
			if !errors.Is(fe.Err, context.DeadlineExceeded) {
				return Failed("%s/%d: %w", fe.Topic, fe.Partition, fe.Err)
			}
		}
		if fetches.NumRecords() == 0 && c.flags.untilEnd {
			return Failed("no record for %v, and %d partitions are not read to their end", c.a.timeout, len(c.ends))
		}
		if err := c.print(fetches.Records()); err != nil {
			return err
		}
		if err := c.commit(ctx, fetches); err != nil {
			return err
		}
	}
	return nil
}

func (c *consumption) done() bool {
	if c.flags.number > 0 && c.count >= c.flags.number {
		return true
	}
	return c.flags.untilEnd && len(c.ends) == 0
}

func (c *consumption) commit(ctx context.Context, fetches kgo.Fetches) error {
	if c.flags.group == "" || fetches.NumRecords() == 0 {
		return nil
	}
	if err := c.a.cl.CommitRecords(ctx, fetches.Records()...); err != nil {
		return Failed("commit: %w", err)
	}
	return nil
}

// print writes records; output is flushed before the offsets are committed (I3).
func (c *consumption) print(records []*kgo.Record) error {
	var buf []byte
	for _, r := range records {
		at := place{r.Topic, r.Partition}
		end, bounded := c.ends[at]
		if bounded && r.Offset+1 >= end {
			delete(c.ends, at)
		}
		if r.Attrs.IsControl() || c.flags.untilEnd && !bounded {
			continue
		}
		c.count++
		if c.a.json {
			line, err := json.Marshal(recordJSON(r))
			if err != nil {
				return err
			}
			buf = append(append(buf[:0], line...), '\n')
		} else {
			buf = c.format.AppendRecord(buf[:0], r)
		}
		if _, err := c.out.Write(buf); err != nil {
			return Failed("standard output: %w", err)
		}
	}
	if err := c.out.Flush(); err != nil {
		return Failed("standard output: %w", err)
	}
	return nil
}

type jsonHeader struct {
	Key   string `json:"key"`
	Value any    `json:"value"`
}

type jsonRecord struct {
	Topic     string       `json:"topic"`
	Partition int32        `json:"partition"`
	Offset    int64        `json:"offset"`
	Timestamp int64        `json:"timestamp"`
	Key       any          `json:"key"`
	Value     any          `json:"value"`
	Headers   []jsonHeader `json:"headers,omitempty"`
}

func recordJSON(r *kgo.Record) jsonRecord {
	j := jsonRecord{
		Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Timestamp: r.Timestamp.UnixMilli(),
		Key: jsonBytes(r.Key), Value: jsonBytes(r.Value),
	}
	for _, h := range r.Headers {
		j.Headers = append(j.Headers, jsonHeader{h.Key, jsonBytes(h.Value)})
	}
	return j
}

// jsonBytes is null, the text, or for bytes that are no text {"base64": "…"}.
func jsonBytes(b []byte) any {
	switch {
	case b == nil:
		return nil
	case utf8.Valid(b):
		return string(b)
	}
	return map[string][]byte{"base64": b}
}
