package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"
)

type produceFlags struct {
	key, format, codec string
	headers            []string
	partition, acks    int
	tombstone, quiet   bool
}

func topicProduce(a *app) *cobra.Command {
	var pf produceFlags
	cmd := &cobra.Command{
		Use:   "produce NAME",
		Short: "Write records from standard input, one a line",
		Long: "Write records from standard input, one a line. The format says how a record is read:\n" +
			"%v value, %k key, %h{%k=%v} header, %p partition, with \\n and \\t, as in franz-go's RecordReader.",
		Example: "  echo hello | millrace topic produce greetings\n" +
			"  millrace topic produce orders -f '%k %v\\n' -z zstd < orders.txt",
		Args: cobra.ExactArgs(1),
	}
	f := cmd.Flags()
	f.StringVarP(&pf.key, "key", "k", "", "key of every record")
	f.StringArrayVarP(&pf.headers, "header", "H", nil, "header name=value or name:value of every record (repeatable)")
	f.StringVarP(&pf.format, "format", "f", `%v\n`, "how to read a record")
	f.StringVarP(&pf.codec, "compression", "z", "none", "none, gzip, snappy, lz4 or zstd")
	f.IntVarP(&pf.partition, "partition", "p", -1, "partition for every record (-1: by key, else spread)")
	f.IntVar(&pf.acks, "acks", -1, "-1 all in sync, 1 the leader, 0 none")
	f.BoolVarP(&pf.tombstone, "tombstone", "Z", false, "an empty value becomes null")
	f.BoolVarP(&pf.quiet, "quiet", "q", false, "print nothing for records written")
	return a.open(cmd, func(ctx context.Context, args []string) error {
		opts, err := pf.options(args[0])
		if err != nil {
			return err
		}
		headers, err := pf.recordHeaders()
		if err != nil {
			return err
		}
		r, err := kgo.NewRecordReader(a.in, pf.format)
		if err != nil {
			return Usage("--format: %w", err)
		}
		if err := a.connect(ctx, opts...); err != nil {
			return err
		}
		defer a.close()
		changed := cmd.Flags().Changed("key")
		return a.produce(ctx, r, &pf, headers, changed)
	})
}

func (pf *produceFlags) options(topic string) ([]kgo.Opt, error) {
	opts := []kgo.Opt{kgo.DefaultProduceTopic(topic), kgo.AllowAutoTopicCreation(), kgo.RecordRetries(5)}
	codecs := map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}
	codec, known := codecs[pf.codec]
	if !known {
		return nil, Usage("--compression %q: want none, gzip, snappy, lz4 or zstd", pf.codec)
	}
	opts = append(opts, kgo.ProducerBatchCompression(codec))
	switch pf.acks {
	case -1:
	case 0:
		opts = append(opts, kgo.RequiredAcks(kgo.NoAck()), kgo.DisableIdempotentWrite())
	case 1:
		opts = append(opts, kgo.RequiredAcks(kgo.LeaderAck()), kgo.DisableIdempotentWrite())
	default:
		return nil, Usage("--acks %d: want -1, 0 or 1", pf.acks)
	}
	if pf.partition >= 0 || strings.Contains(pf.format, "%p") {
		opts = append(opts, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	}
	return opts, nil
}

func (pf *produceFlags) recordHeaders() ([]kgo.RecordHeader, error) {
	var out []kgo.RecordHeader
	for _, h := range pf.headers {
		at := strings.IndexAny(h, "=:")
		if at <= 0 {
			return nil, Usage("--header %q: want name=value", h)
		}
		out = append(out, kgo.RecordHeader{Key: h[:at], Value: []byte(h[at+1:])})
	}
	return out, nil
}

// produce reads, sends and reports. Every record's fate is known before it returns.
func (a *app) produce(
	ctx context.Context, r *kgo.RecordReader, pf *produceFlags, headers []kgo.RecordHeader, keyed bool,
) error {
	var mu sync.Mutex // acknowledgements come from the client's goroutines
	written, failed := 0, error(nil)
	promise := func(rec *kgo.Record, err error) {
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			if failed == nil { // thousands may fail for the same reason
				failed = err
			}
			return
		}
		written++
		if !pf.quiet {
			fmt.Fprintf(a.out, "written to %s partition %d at offset %d\n", rec.Topic, rec.Partition, rec.Offset)
		}
	}
	var readErr error
	for {
		rec, err := r.ReadRecord()
		if err != nil {
			if !errors.Is(err, io.EOF) {
				readErr = Failed("standard input: %w", err)
			}
			break
		}
		pf.dress(rec, headers, keyed)
		a.cl.Produce(ctx, rec, promise)
	}
	if err := a.cl.Flush(ctx); err != nil {
		return Failed("interrupted: %d records written, %d given up", written, a.cl.BufferedProduceRecords())
	}
	mu.Lock()
	defer mu.Unlock()
	if failed != nil {
		return Failed("%d records written, then: %w", written, failed)
	}
	return readErr
}

func (pf *produceFlags) dress(rec *kgo.Record, headers []kgo.RecordHeader, keyed bool) {
	rec.Headers = append(rec.Headers, headers...)
	if keyed {
		rec.Key = []byte(pf.key)
	}
	if pf.partition >= 0 {
		rec.Partition = int32(pf.partition)
	}
	if len(rec.Value) == 0 && pf.tombstone {
		rec.Value = nil
	}
}
