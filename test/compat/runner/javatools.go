package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"millrace/bench/kafka"
)

// javaCase is one use of Kafka's command line tools.
type javaCase struct {
	name string
	fn   func(context.Context) error
}

// javaTools drives the tools of Kafka's bin directory by their classes.
func (c *campaign) javaTools(ctx context.Context) {
	client := "java-tools" + c.suffix
	c.report.add(result{client: client, version: kafka.Version, name: "class path", state: "PASS"})
	for _, j := range []javaCase{
		{"kafka-topics", c.kafkaTopics},
		{"console producer and consumer", c.kafkaConsole},
		{"kafka-consumer-groups", c.kafkaConsumerGroups},
		{"kafka-configs", c.kafkaConfigs},
		{"kafka-get-offsets", c.kafkaGetOffsets},
		{"kafka-delete-records", c.kafkaDeleteRecords},
		{"kafka-log-dirs", c.kafkaLogDirs},
		{"kafka-broker-api-versions", c.kafkaAPIVersions},
		{"kafka-cluster", c.kafkaCluster},
		{"kafka-verifiable-producer and consumer", c.kafkaVerifiable},
		{"kafka-producer-perf-test and consumer-perf-test", c.kafkaPerf},
		{"auto-creation by the console producer", c.kafkaAutoCreate},
	} {
		start := time.Now()
		err := j.fn(ctx)
		c.verdict(client, j.name, err, time.Since(start))
		if ctx.Err() != nil {
			return
		}
	}
}

// tool runs a tool against the broker and returns what it printed.
func (c *campaign) tool(ctx context.Context, stdin, class string, args ...string) (string, error) {
	argv := append([]string{"--bootstrap-server", c.broker.bootstrap()}, args...)
	return c.rawTool(ctx, stdin, class, argv...)
}

func (c *campaign) rawTool(ctx context.Context, stdin, class string,
	args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 60*time.Second)
	defer cancel()
	cmd := c.tools.jars.Tool(ctx, class, args...)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errs
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%s %s: %w: %s %s", class, strings.Join(args, " "), err,
			lastLines(out.String(), 3), lastLines(errs.String(), 3))
	}
	return out.String(), nil
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], " | ")
}

// has checks that every pattern matches the text.
func has(text string, patterns ...string) error {
	for _, p := range patterns {
		if !regexp.MustCompile(p).MatchString(text) {
			return fmt.Errorf("nothing like %s in: %s", p, lastLines(text, 12))
		}
	}
	return nil
}

const (
	topicCommand  = "org.apache.kafka.tools.TopicCommand"
	groupCommand  = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"
	configCommand = "kafka.admin.ConfigCommand"
	consoleIn     = "org.apache.kafka.tools.ConsoleProducer"
	consoleOut    = "org.apache.kafka.tools.consumer.ConsoleConsumer"
)

func (c *campaign) kafkaTopics(ctx context.Context) error {
	topic := c.stamp + "tools.topics"
	if _, err := c.tool(ctx, "", topicCommand, "--create", "--topic", topic, "--partitions", "2",
		"--replication-factor", "1", "--config", "retention.ms=3600000"); err != nil {
		return err
	}
	if out, err := c.tool(ctx, "", topicCommand, "--create", "--topic", topic); err == nil {
		return fmt.Errorf("a topic was created twice: %s", out)
	}
	if _, err := c.tool(ctx, "", topicCommand, "--create", "--topic", topic,
		"--if-not-exists"); err != nil {
		return err
	}
	out, err := c.tool(ctx, "", topicCommand, "--describe", "--topic", topic)
	if err = errors.Join(err, has(out, `PartitionCount: 2`, `ReplicationFactor: 1`,
		`Configs: .*retention.ms=3600000`, `TopicId: [A-Za-z0-9_-]{22}`,
		`Partition: 1\s+Leader: 1\s+Replicas: 1\s+Isr: 1`)); err != nil {
		return err
	}
	if _, err := c.tool(ctx, "", topicCommand, "--alter", "--topic", topic, "--partitions",
		"5"); err != nil {
		return err
	}
	out, err = c.tool(ctx, "", topicCommand, "--describe", "--topic", topic)
	if err = errors.Join(err, has(out, `PartitionCount: 5`, `Partition: 4\s`)); err != nil {
		return err
	}
	out, err = c.tool(ctx, "", topicCommand, "--list")
	if err = errors.Join(err, has(out, `(?m)^`+regexp.QuoteMeta(topic)+`$`)); err != nil {
		return err
	}
	if _, err := c.tool(ctx, "", topicCommand, "--delete", "--topic", topic); err != nil {
		return err
	}
	out, err = c.tool(ctx, "", topicCommand, "--list")
	if err == nil && strings.Contains(out, topic) {
		err = errors.New("a deleted topic is still listed")
	}
	return err
}

func (c *campaign) kafkaConsole(ctx context.Context) error {
	topic := c.stamp + "tools.console"
	if err := createTopics(ctx, c.broker.bootstrap(), map[string]int32{topic: 3}); err != nil {
		return err
	}
	var in, want []string
	for i := range 60 {
		in = append(in, fmt.Sprintf("h1:v%d,h2:ü\tkey%d\tvälue %d", i, i, i))
	}
	in = append(in, "h1:x\tkey-null\tNULL", "NULL\tNULL\tno key, no headers")
	codecArgs := func(codec string) []string {
		return []string{"--topic", topic, "--compression-codec", codec,
			"--reader-property", "parse.key=true", "--reader-property", "parse.headers=true",
			"--reader-property", "null.marker=NULL"}
	}
	for _, codec := range []string{"zstd", "none"} { // the second half uncompressed
		text := strings.Join(in, "\n") + "\n"
		if _, err := c.tool(ctx, text, consoleIn, codecArgs(codec)...); err != nil {
			return err
		}
		want = append(want, in...)
	}
	out, err := c.tool(ctx, "", consoleOut, "--topic", topic, "--from-beginning",
		"--max-messages", fmt.Sprint(len(want)), "--timeout-ms", "20000",
		"--formatter-property", "print.key=true", "--formatter-property", "print.headers=true",
		"--formatter-property", "null.literal=NULL")
	if err != nil {
		return err
	}
	return sameLines(want, strings.Split(strings.TrimSuffix(out, "\n"), "\n"), func(s string) string {
		return strings.Replace(s, "NO_HEADERS", "NULL", 1)
	})
}

// sameLines compares two lists whose order may differ.
func sameLines(want, got []string, clean func(string) string) error {
	count := map[string]int{}
	for _, w := range want {
		count[w]++
	}
	for _, g := range got {
		if count[clean(g)]--; count[clean(g)] < 0 {
			return fmt.Errorf("read %q, which was not written (so often)", g)
		}
	}
	if len(got) != len(want) {
		return fmt.Errorf("read %d lines, wrote %d", len(got), len(want))
	}
	return nil
}

func (c *campaign) kafkaConsumerGroups(ctx context.Context) error {
	topic, group := c.stamp+"tools.groups", c.stamp+"tools-group"
	if err := createTopics(ctx, c.broker.bootstrap(), map[string]int32{topic: 2}); err != nil {
		return err
	}
	if _, err := c.tool(ctx, strings.Repeat("line\n", 100), consoleIn, "--topic", topic); err != nil {
		return err
	}
	if _, err := c.tool(ctx, "", consoleOut, "--topic", topic, "--group", group,
		"--from-beginning", "--max-messages", "100", "--timeout-ms", "20000"); err != nil {
		return err
	}
	out, err := c.tool(ctx, "", groupCommand, "--list")
	if err = errors.Join(err, has(out, `(?m)^`+regexp.QuoteMeta(group)+`$`)); err != nil {
		return err
	}
	row := func(p int, offset, lag string) string {
		return regexp.QuoteMeta(group) + `\s+` + regexp.QuoteMeta(topic) +
			fmt.Sprintf(`\s+%d\s+.*%s\s+\d+\s+%s`, p, offset, lag)
	}
	out, err = c.tool(ctx, "", groupCommand, "--describe", "--group", group)
	if err = errors.Join(err, has(out, row(0, `\d+`, "0"), row(1, `\d+`, "0"))); err != nil {
		return err
	}
	out, err = c.tool(ctx, "", groupCommand, "--describe", "--group", group, "--state")
	if err = errors.Join(err, has(out, `Empty\s+0`)); err != nil {
		return err
	}
	out, err = c.tool(ctx, "", groupCommand, "--group", group, "--topic", topic,
		"--reset-offsets", "--to-offset", "0", "--execute")
	if err = errors.Join(err, has(out, regexp.QuoteMeta(topic)+`\s+1\s+.*0`)); err != nil {
		return err
	}
	out, err = c.tool(ctx, "", groupCommand, "--describe", "--group", group)
	if err = errors.Join(err, has(out, row(0, "0", `\d+`), row(1, "0", `\d+`))); err != nil {
		return err
	}
	if _, err = c.tool(ctx, "", groupCommand, "--group", group, "--topic", topic,
		"--reset-offsets", "--to-datetime", "2020-01-01T00:00:00.000", "--execute"); err != nil {
		return err
	}
	if _, err = c.tool(ctx, "", groupCommand, "--group", group, "--topic", topic+":0",
		"--delete-offsets"); err != nil {
		return err
	}
	out, err = c.tool(ctx, "", groupCommand, "--delete", "--group", group)
	if err = errors.Join(err, has(out, "successful")); err != nil {
		return err
	}
	out, err = c.tool(ctx, "", groupCommand, "--list")
	if err == nil && strings.Contains(out, group) {
		err = errors.New("a deleted group is still listed")
	}
	return err
}

func (c *campaign) kafkaConfigs(ctx context.Context) error {
	topic := c.stamp + "tools.configs"
	if err := createTopics(ctx, c.broker.bootstrap(), map[string]int32{topic: 1}); err != nil {
		return err
	}
	entity := []string{"--entity-type", "topics", "--entity-name", topic}
	out, err := c.tool(ctx, "", configCommand, append(entity, "--describe", "--all")...)
	if err = errors.Join(err, has(out, "cleanup.policy=delete", "retention.ms=604800000",
		"segment.bytes=1073741824", "max.message.bytes=1048588", "min.insync.replicas=1",
		"compression.type=producer", "message.timestamp.type=CreateTime")); err != nil {
		return err
	}
	if _, err := c.tool(ctx, "", configCommand, append(entity, "--alter", "--add-config",
		"retention.ms=86400000,max.message.bytes=2000000")...); err != nil {
		return err
	}
	out, err = c.tool(ctx, "", configCommand, append(entity, "--describe")...)
	if err = errors.Join(err, has(out, "retention.ms=86400000",
		"DYNAMIC_TOPIC_CONFIG:max.message.bytes=2000000")); err != nil {
		return err
	}
	if _, err := c.tool(ctx, "", configCommand, append(entity, "--alter", "--delete-config",
		"retention.ms")...); err != nil {
		return err
	}
	out, err = c.tool(ctx, "", configCommand, append(entity, "--describe")...)
	if err == nil && strings.Contains(out, "retention.ms=86400000") {
		err = errors.New("a deleted config is still there")
	}
	if err != nil {
		return err
	}
	if _, err = c.tool(ctx, "", configCommand, append(entity, "--alter", "--add-config",
		"retention.ms=nonsense")...); err == nil {
		return errors.New("retention.ms=nonsense was accepted")
	}
	out, err = c.tool(ctx, "", configCommand, "--entity-type", "brokers", "--entity-name", "1",
		"--describe", "--all")
	return errors.Join(err, has(out, `num.partitions=\d+`, "auto.create.topics.enable=true",
		"log.retention.hours=168"))
}

func (c *campaign) kafkaGetOffsets(ctx context.Context) error {
	const class = "org.apache.kafka.tools.GetOffsetShell"
	topic := c.foreign + "none"
	per := len(c.records) / partitions
	for at, want := range map[string]int{"-1": per, "-2": 0, "earliest": 0,
		"max-timestamp": per - 1, fmt.Sprint(c.records[5].timestamp): 5} {
		out, err := c.tool(ctx, "", class, "--topic", topic, "--time", at)
		want := fmt.Sprintf("%s:0:%d", regexp.QuoteMeta(topic), want)
		if err = errors.Join(err, has(out, `(?m)^`+want+`$`)); err != nil {
			return fmt.Errorf("--time %s: %w", at, err)
		}
	}
	return nil
}

func (c *campaign) kafkaDeleteRecords(ctx context.Context) error {
	topic := c.stamp + "tools.delete"
	if err := createTopics(ctx, c.broker.bootstrap(), map[string]int32{topic: 1}); err != nil {
		return err
	}
	if _, err := c.tool(ctx, strings.Repeat("line\n", 20), consoleIn, "--topic", topic); err != nil {
		return err
	}
	file, err := os.CreateTemp("", "millrace-delete-*.json")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	fmt.Fprintf(file, `{"partitions":[{"topic":%q,"partition":0,"offset":7}],"version":1}`, topic)
	if err := file.Close(); err != nil {
		return err
	}
	out, err := c.tool(ctx, "", "org.apache.kafka.tools.DeleteRecordsCommand",
		"--offset-json-file", file.Name())
	if err = errors.Join(err, has(out, `low_watermark: 7`)); err != nil {
		return err
	}
	out, err = c.tool(ctx, "", consoleOut, "--topic", topic, "--from-beginning",
		"--max-messages", "13", "--timeout-ms", "20000")
	if n := strings.Count(out, "line"); err == nil && n != 13 {
		err = fmt.Errorf("%d records left, want 13", n)
	}
	return err
}

func (c *campaign) kafkaLogDirs(ctx context.Context) error {
	out, err := c.tool(ctx, "", "org.apache.kafka.tools.LogDirsCommand", "--describe",
		"--topic-list", c.foreign+"none")
	return errors.Join(err, has(out, `"partition":"`+regexp.QuoteMeta(c.foreign)+`none-0"`,
		`"size":[1-9]\d+`, `"error":null`))
}

func (c *campaign) kafkaAPIVersions(ctx context.Context) error {
	out, err := c.tool(ctx, "", "org.apache.kafka.tools.BrokerApiVersionsCommand")
	return errors.Join(err, has(out, `id: 1 rack`, `Produce\(0\): 0 to 13`, `Fetch\(1\): 4 to 18`,
		`ApiVersions\(18\): 0 to \d`, `Metadata\(3\): 0 to 13`))
}

func (c *campaign) kafkaCluster(ctx context.Context) error {
	const class = "org.apache.kafka.tools.ClusterTool"
	out, err := c.rawTool(ctx, "", class, "cluster-id", "--bootstrap-server", c.broker.bootstrap())
	if err = errors.Join(err, has(out, `Cluster ID: [A-Za-z0-9_-]{22}`)); err != nil {
		return err
	}
	out, err = c.rawTool(ctx, "", class, "list-endpoints", "--bootstrap-server",
		c.broker.bootstrap())
	return errors.Join(err, has(out, `127\.0\.0\.1`))
}

func (c *campaign) kafkaVerifiable(ctx context.Context) error {
	topic := c.stamp + "tools.verifiable"
	if err := createTopics(ctx, c.broker.bootstrap(), map[string]int32{topic: 3}); err != nil {
		return err
	}
	out, err := c.tool(ctx, "", "org.apache.kafka.tools.VerifiableProducer", "--topic", topic,
		"--max-messages", "2000", "--acks", "-1")
	if n := strings.Count(out, "producer_send_success"); err != nil || n != 2000 {
		return fmt.Errorf("%d of 2000 sends acknowledged: %v", n, err)
	}
	out, err = c.tool(ctx, "", "org.apache.kafka.tools.VerifiableConsumer", "--topic", topic,
		"--group-id", topic, "--max-messages", "2000", "--reset-policy", "earliest", "--verbose")
	if n := strings.Count(out, `"name":"record_data"`); err != nil || n != 2000 {
		return fmt.Errorf("%d of 2000 records consumed: %v", n, err)
	}
	return nil
}

func (c *campaign) kafkaPerf(ctx context.Context) error {
	topic := c.stamp + "tools.perf"
	if err := createTopics(ctx, c.broker.bootstrap(), map[string]int32{topic: 3}); err != nil {
		return err
	}
	out, err := c.rawTool(ctx, "", "org.apache.kafka.tools.ProducerPerformance", "--topic", topic,
		"--num-records", "200000", "--record-size", "100", "--throughput", "-1",
		"--producer-props", "bootstrap.servers="+c.broker.bootstrap(), "acks=all", "compression.type=lz4")
	if err = errors.Join(err, has(out, `200000 records sent`)); err != nil {
		return err
	}
	out, err = c.tool(ctx, "", "org.apache.kafka.tools.ConsumerPerformance", "--topic", topic,
		"--num-records", "200000", "--timeout", "20000")
	return errors.Join(err, has(out, `, 2\d{5}, `))
}

func (c *campaign) kafkaAutoCreate(ctx context.Context) error {
	topic := c.stamp + "tools.new"
	if _, err := c.tool(ctx, "one\ntwo\n", consoleIn, "--topic", topic); err != nil {
		return err
	}
	out, err := c.tool(ctx, "", consoleOut, "--topic", topic, "--from-beginning",
		"--max-messages", "2", "--timeout-ms", "20000")
	return errors.Join(err, has(out, `one\ntwo\n`))
}

// dumpLogs reads the stopped broker's segment files with Kafka's own dumper.
func (c *campaign) dumpLogs(ctx context.Context) {
	const client = "java-tools dump"
	dump := func(args ...string) (string, error) {
		return c.rawTool(ctx, "", "org.apache.kafka.tools.DumpLogSegments", args...)
	}
	step := func(name string, fn func() error) {
		start := time.Now()
		c.verdict(client+c.suffix, name, fn(), time.Since(start))
	}
	files := func(topic, ext string) ([]string, error) {
		found, err := filepath.Glob(filepath.Join(c.broker.logDir(), topic+"-*", "*"+ext))
		if err == nil && len(found) == 0 {
			err = fmt.Errorf("no %s files of %s in %s", ext, topic, c.broker.logDir())
		}
		return found, err
	}
	for _, codec := range codecs {
		step("segments "+codec, func() error {
			logs, err := files(c.foreign+codec, ".log")
			if err != nil {
				return err
			}
			out, err := dump("--deep-iteration", "--print-data-log", "--files",
				strings.Join(logs, ","))
			if err != nil {
				return err
			}
			if n := strings.Count(out, "| offset:"); n != len(c.records) {
				return fmt.Errorf("%d records in the files, want %d", n, len(c.records))
			}
			return errors.Join(clean(out), has(out, `isvalid: true`, `compresscodec: `+codec,
				`payload: .*"partition":0,"n":3`))
		})
	}
	for _, ext := range []string{".index", ".timeindex"} {
		step("sanity of "+ext, func() error {
			found, err := files(c.stamp+"tools.perf", ext) // large enough for entries
			if err != nil {
				return err
			}
			out, err := dump("--files", strings.Join(found, ","))
			if err != nil {
				return err
			}
			return clean(out)
		})
	}
	step("committed offsets", func() error {
		logs, err := files("__consumer_offsets", ".log")
		if err != nil {
			return err
		}
		out, err := dump("--offsets-decoder", "--files", strings.Join(logs, ","))
		if err != nil {
			return err
		}
		return errors.Join(clean(out), has(out, `"type":"1".*"group":`, `"offset":\d+`))
	})
}

// clean fails on what the dumper prints about damage.
func clean(out string) error {
	for _, bad := range []string{"isvalid: false", "Mismatches in", "Non-consecutive offsets",
		"Found timestamp mismatch", "Found out of order timestamp", "Could not", "indexed offset",
		"bytes remaining", "Index position"} {
		if i := strings.Index(out, bad); i >= 0 {
			return fmt.Errorf("the dumper says: %.200s", out[i:])
		}
	}
	return nil
}
