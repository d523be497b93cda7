package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// suite is a program that tests one client.
type suite struct {
	name      string
	essential bool // also run against the engine that is not the default
	limit     time.Duration
	command   func(t *tools) *exec.Cmd
	codecs    []string // topics PREFIX.CODEC that franz-go reads again afterwards
}

func python(file string) func(*tools) *exec.Cmd {
	return func(t *tools) *exec.Cmd {
		return exec.Command(t.python, filepath.Join(t.repo, "test/compat/python", file))
	}
}

func goclient(name string) func(*tools) *exec.Cmd {
	return func(t *tools) *exec.Cmd { return exec.Command(t.gosuite, name) }
}

// suites in the order in which they run.
var suites = []suite{
	{"kafka-python", true, 150 * time.Second, python("kafka_python.py"), codecs},
	{"confluent-kafka", true, 150 * time.Second, python("confluent.py"), codecs},
	{"aiokafka", false, 150 * time.Second, python("aio.py"), codecs},
	{"kafkajs", false, 150 * time.Second, func(t *tools) *exec.Cmd {
		cmd := exec.Command("node", filepath.Join(t.repo, "test/compat/node/kafkajs.js"))
		cmd.Env = []string{"NODE_PATH=" + filepath.Join(t.node, "node_modules")}
		return cmd
	}, codecs},
	{"java-client", false, 150 * time.Second, func(t *tools) *exec.Cmd {
		return exec.Command("java", "-XX:TieredStopAtLevel=1", t.jars.Logging(),
			"-cp", t.jars.Classpath(), filepath.Join(t.repo, "test/compat/java/Compat.java"))
	}, codecs},
	{"kafka-streams", false, 150 * time.Second, func(t *tools) *exec.Cmd {
		return exec.Command("java", "-XX:TieredStopAtLevel=1", t.jars.Logging(),
			"-cp", t.streams+"/*:"+t.jars.Classpath(),
			filepath.Join(t.repo, "test/compat/streams/WordCount.java"))
	}, nil},
	{"franz-go", true, 120 * time.Second, goclient("franz-go"), codecs},
	{"sarama", false, 120 * time.Second, goclient("sarama"), codecs},
	{"kafka-go", false, 120 * time.Second, goclient("kafka-go"), codecs},
}

// runSuite runs one suite against the broker and puts its cases into the report.
func (c *campaign) runSuite(ctx context.Context, s suite) {
	client := s.name + c.suffix
	prefix := c.stamp + strings.ReplaceAll(client, " ", "-")
	topics := map[string]int32{
		prefix + ".balance": 6, prefix + ".resume": 1, prefix + ".offsets": 1,
		prefix + ".idempotent": 3,
	}
	for _, codec := range s.codecs {
		topics[prefix+"."+codec] = partitions
	}
	if err := createTopics(ctx, c.broker.bootstrap(), topics); err != nil {
		c.report.add(result{client: client, name: "topics", state: "FAIL", detail: err.Error()})
		return
	}
	cmd := s.command(c.tools)
	cmd.Env = append(append(os.Environ(), cmd.Env...), "BOOTSTRAP="+c.broker.bootstrap(),
		"FIXTURE="+c.fixture, "PREFIX="+prefix, "FOREIGN="+c.foreign, "ESSENTIAL="+c.essential)
	c.runProgram(ctx, client, cmd, s.limit)
	for _, codec := range s.codecs {
		if c.report.lacks(client, "codec "+codec) {
			continue
		}
		start := time.Now()
		err := verify(ctx, c.broker.bootstrap(), prefix+"."+codec, c.records, true)
		c.verdict(client, "franz-go reads its "+codec, err, time.Since(start))
	}
}

// runProgram runs a suite's program to its end and reads its report lines (R3).
func (c *campaign) runProgram(ctx context.Context, client string, cmd *exec.Cmd,
	limit time.Duration) {
	var out bytes.Buffer
	log, err := os.Create(filepath.Join(c.logs, strings.ReplaceAll(client, " ", "-")+".log"))
	if err != nil {
		c.verdict(client, "suite", err, 0)
		return
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = &out, log
	start := time.Now()
	err = runGroup(ctx, cmd, limit)
	took := time.Since(start)
	version, cases, failed := c.parse(client, out.String())
	if _, writeErr := log.Write(out.Bytes()); writeErr != nil {
		err = writeErr
	}
	switch {
	case err != nil && failed == 0:
		c.report.add(result{client, version, "suite", "FAIL",
			fmt.Sprintf("%v; log %s", err, log.Name()), took})
	case cases == 0:
		c.report.add(result{client, version, "suite", "FAIL", "no case was reported", took})
	}
}

func (c *campaign) parse(client, out string) (version string, cases, failed int) {
	for _, line := range strings.Split(out, "\n") {
		f := strings.SplitN(line, "\t", 4)
		switch {
		case f[0] == "VERSION" && len(f) > 1:
			version = f[1]
		case f[0] == "CASE" && len(f) > 2:
			cases++
			x := result{client: client, version: version, name: f[1], state: f[2]}
			if len(f) > 3 {
				x.detail = strings.TrimSpace(f[3])
			}
			if x.state == "FAIL" {
				failed++
			}
			c.report.add(x)
		}
	}
	return version, cases, failed
}

// runGroup runs a command in a process group of its own, which is gone when it returns (R2).
func runGroup(ctx context.Context, cmd *exec.Cmd, limit time.Duration) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	var err error
	select {
	case err = <-done:
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		return err
	case <-time.After(limit):
		err = fmt.Errorf("not done within %v", limit)
	case <-ctx.Done():
		err = ctx.Err()
	}
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	<-done
	return err
}

// verdict reports a case that the runner itself judges.
func (c *campaign) verdict(client, name string, err error, took time.Duration) {
	x := result{client: client, name: name, state: "PASS", took: took}
	if err != nil {
		x.state = "FAIL"
		x.detail = strings.Join(strings.Fields(err.Error()), " ")
	}
	c.report.add(x)
}
