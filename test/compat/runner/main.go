package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"millrace/bench/kafka"
)

// campaign is one run of suites against one broker.
type campaign struct {
	tools     *tools
	broker    broker
	report    *report
	records   []record
	fixture   string // path of the records as JSON
	logs      string
	suffix    string // of client names, tells campaigns apart
	foreign   string // prefix of the topics that franz-go wrote, one per codec
	stamp     string // what tells names of this run apart on a broker that others use
	essential string // "1": only the essential cases
	only      []string
}

func main() {
	if err := realMain(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func realMain() error {
	var (
		against = flag.String("broker", envOr("BROKER", "millrace"),
			"millrace, kafka, or a command line with {port}, {admin} and {data} in it")
		bootstrap = flag.String("bootstrap", os.Getenv("BOOTSTRAP"),
			"a running broker to use instead (cases that restart it are left out)")
		only = flag.String("only", os.Getenv("ONLY"), "run only these clients, comma-separated")
		keep = flag.Bool("keep", false, "keep data and logs")
	)
	flag.Parse()
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	ctx, cancelTime := context.WithTimeout(ctx, 20*time.Minute)
	defer cancelTime()

	t, work, err := places()
	if err != nil {
		return err
	}
	logs := filepath.Join(t.cache, "logs")
	defer func() {
		if !*keep {
			_ = os.RemoveAll(work)
		}
	}()

	base := campaign{tools: t, logs: logs, report: &report{out: os.Stdout},
		records: fixture(time.Now()), fixture: filepath.Join(work, "fixture.json")}
	if *bootstrap != "" {
		base.stamp = fmt.Sprintf("run%d-", time.Now().Unix())
	}
	base.foreign = base.stamp + "foreign."
	if *only != "" {
		base.only = strings.Split(*only, ",")
	}
	if err := writeFixture(base.fixture, base.records); err != nil {
		return err
	}
	list := brokers(t, work, *against, *bootstrap)
	base.broker = list[0]
	if err := base.install(ctx); err != nil {
		return err
	}
	start := time.Now()
	for i, b := range list {
		c := base
		c.broker = b
		if i > 0 {
			c.suffix, c.essential = " epoll", "1"
		}
		c.run(ctx)
	}
	base.report.table()
	passed, failed := base.report.count()
	fmt.Printf("\n%.0f s; logs in %s\n%d passed, %d failed\n",
		time.Since(start).Seconds(), logs, passed, failed)
	if failed > 0 || passed == 0 {
		return fmt.Errorf("compat: failed")
	}
	return nil
}

// places are the cache, with an empty directory for logs, and a temporary directory.
func places() (*tools, string, error) {
	repo, err := repoRoot()
	if err != nil {
		return nil, "", err
	}
	t := &tools{repo: repo, cache: filepath.Join(repo, ".cache", "compat")}
	logs := filepath.Join(t.cache, "logs")
	if err := os.RemoveAll(logs); err != nil {
		return nil, "", err
	}
	if err := os.MkdirAll(logs, 0o755); err != nil {
		return nil, "", err
	}
	work, err := os.MkdirTemp("", "millrace-compat-")
	return t, work, err
}

// brokers are those to run against: the first gets every case, the others the essential ones.
func brokers(t *tools, work, against, bootstrap string) []broker {
	if bootstrap != "" {
		return []broker{external{bootstrap}}
	}
	millrace := func(io string) broker {
		return newProcess("millrace --io "+io, filepath.Join(work, io),
			filepath.Join(t.repo, "bin/millrace"), "serve", "--data", "{data}",
			"--listen", "127.0.0.1:{port}", "--admin", "127.0.0.1:{admin}", "--io", io,
			"--set", "log.cleaner.backoff.ms=1000", // who waits for the cleaner waits less
			"--set", "group.initial.rebalance.delay.ms=0") // as in Kafka's container image
	}
	switch against {
	case "millrace":
		return []broker{millrace("auto"), millrace("epoll")}
	case "kafka":
		return []broker{&apache{tools: t, dir: filepath.Join(work, "kafka"),
			port: kafka.FreePort()}}
	}
	return []broker{newProcess(against, filepath.Join(work, "broker"),
		strings.Fields(against)...)}
}

func (c *campaign) install(ctx context.Context) error {
	t := c.tools
	for _, step := range []struct {
		clients []string
		install func(context.Context) error
	}{
		{[]string{"kafka-python", "confluent-kafka", "aiokafka"}, t.installPython},
		{[]string{"kafkajs"}, t.installNode},
		{[]string{"kcat"}, t.installKcat},
		{[]string{"franz-go", "sarama", "kafka-go"}, t.installGo},
	} {
		if slices.ContainsFunc(step.clients, c.wanted) {
			if err := step.install(ctx); err != nil {
				return err
			}
		}
	}
	_, oracle := c.broker.(*apache)
	if oracle || slices.ContainsFunc([]string{"java-client", "java-tools", "kafka-streams"}, c.wanted) {
		if err := t.installJava(ctx); err != nil {
			return err
		}
	}
	if c.wanted("kafka-streams") {
		return t.installStreams(ctx)
	}
	return nil
}

func (c *campaign) wanted(client string) bool {
	return len(c.only) == 0 || slices.Contains(c.only, client)
}

// run drives every suite against one broker.
func (c *campaign) run(ctx context.Context) {
	fmt.Printf("\nagainst %s\n", c.broker.describe())
	if err := c.broker.start(ctx); err != nil {
		c.verdict("broker"+c.suffix, "start", err, 0)
		return
	}
	defer func() { _ = c.broker.stop() }()
	if err := c.prepare(ctx); err != nil {
		c.verdict("broker"+c.suffix, "first topics", err, 0)
		return
	}
	for _, s := range suites {
		if c.wanted(s.name) && (s.essential || c.essential == "") && c.stillUp(ctx) {
			c.runSuite(ctx, s)
		}
	}
	if c.essential == "" && c.wanted("kcat") && c.stillUp(ctx) {
		c.kcat(ctx)
	}
	if c.wanted("java-tools") && c.stillUp(ctx) {
		c.javaTools(ctx)
	}
	if c.broker.restartable() && c.wanted("restart") && c.stillUp(ctx) {
		c.restart(ctx)
	}
	c.stillUp(ctx)
	if c.broker.restartable() {
		err := c.broker.stop()
		c.verdict("broker"+c.suffix, "clean stop", err, 0)
		if c.wanted("java-tools") && c.broker.logDir() != "" {
			c.dumpLogs(ctx)
		}
	}
	c.keepLog()
}

// prepare writes what suites read as foreign data.
func (c *campaign) prepare(ctx context.Context) error {
	topics := map[string]int32{}
	for _, codec := range codecs {
		topics[c.foreign+codec] = partitions
	}
	if err := createTopics(ctx, c.broker.bootstrap(), topics); err != nil {
		return err
	}
	for _, codec := range codecs {
		ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
		err := writeForeign(ctx, c.broker.bootstrap(), c.foreign+codec, codec, c.records)
		cancel()
		if err != nil {
			return fmt.Errorf("write the fixture with %s: %w", codec, err)
		}
	}
	return nil
}

// stillUp restarts a broker that died, after reporting its death.
func (c *campaign) stillUp(ctx context.Context) bool {
	if ctx.Err() != nil {
		return false
	}
	up, words := c.broker.alive()
	if up {
		return true
	}
	c.keepLog()
	c.verdict("broker"+c.suffix, "stays up", fmt.Errorf("it died: %s", words), 0)
	return c.broker.start(ctx) == nil
}

// keepLog copies the broker's own log beside those of the clients.
func (c *campaign) keepLog() {
	p, ok := c.broker.(*process)
	if !ok {
		return
	}
	if data, err := os.ReadFile(filepath.Join(p.dir, "broker.log")); err == nil {
		name := "broker" + strings.ReplaceAll(c.suffix, " ", "-") + ".log"
		_ = os.WriteFile(filepath.Join(c.logs, name), data, 0o644)
	}
}

func repoRoot() (string, error) {
	out, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return "", err
	}
	return filepath.Dir(strings.TrimSpace(string(out))), nil
}

func envOr(name, otherwise string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return otherwise
}
