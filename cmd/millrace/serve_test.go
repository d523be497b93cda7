package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"millrace/internal/cli"
	"millrace/netio"
)

// The tests run this program as a program: the test binary is millrace itself when
// the variable is set.
const asProgram = "MILLRACE_TEST_RUN_MAIN"

// passOn begins variables that are meant for the program; others are kept from it.
const passOn = "FOR_PROGRAM_"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	os.Exit(m.Run())
}

const patience = 30 * time.Second

func program(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "KAFKA_") && !strings.HasPrefix(v, "MILLRACE_") {
			cmd.Env = append(cmd.Env, strings.TrimPrefix(v, passOn))
		}
	}
	cmd.Env = append(cmd.Env, asProgram+"=1")
	return cmd
}

// result of a program that ended.
type result struct {
	code      int
	out, errs string
}

func run(t *testing.T, env []string, stdin string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := program(ctx, args...)
	cmd.Env = append(cmd.Env, env...)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || ctx.Err() != nil {
		t.Fatalf("%v: %v, %v", args, err, ctx.Err())
	}
	return result{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

func (r result) want(t *testing.T, code int, words ...string) {
	t.Helper()
	if r.code != code {
		t.Errorf("exit code %d, want %d\nstdout: %s\nstderr: %s", r.code, code, r.out, r.errs)
	}
	for _, w := range words {
		if !strings.Contains(r.out+r.errs, w) {
			t.Errorf("lacks %q\nstdout: %s\nstderr: %s", w, r.out, r.errs)
		}
	}
}

// broker is a running serve.
type broker struct {
	t     *testing.T
	cmd   *exec.Cmd
	errs  *bytes.Buffer
	kafka []string // addresses, in the order of the listeners
	admin string
	line  string
}

var readyLine = regexp.MustCompile(`^millrace ready: kafka (.+), admin (\S+), data .+, io (uring|epoll), ` +
	`durability (fsync|write), cores \d+, \d+ ms\n$`)

// serve starts a broker on free ports and waits for its one line.
func serve(t *testing.T, dir string, args ...string) *broker {
	t.Helper()
	all := append([]string{"serve", "--data", dir, "--admin", "127.0.0.1:0", "--cores", "1"}, args...)
	if !strings.Contains(strings.Join(args, " "), "listen") {
		all = append(all, "--listen", "127.0.0.1:0")
	}
	b := &broker{t: t, cmd: program(context.Background(), all...), errs: new(bytes.Buffer)}
	b.cmd.Stderr = b.errs
	out, err := b.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := b.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = b.cmd.Process.Kill()
		_ = b.cmd.Wait()
		if t.Failed() {
			t.Logf("what the broker said:\n%s", b.errs)
		}
	})
	timer := time.AfterFunc(patience, func() { _ = b.cmd.Process.Kill() })
	defer timer.Stop()
	b.line = readLine(out)
	m := readyLine.FindStringSubmatch(b.line)
	if m == nil {
		_ = b.cmd.Process.Kill()
		_ = b.cmd.Wait()
		t.Fatalf("not ready: %q\n%s", b.line, b.errs)
	}
	for _, at := range strings.Fields(m[1]) {
		b.kafka = append(b.kafka, at[strings.LastIndex(at, "/")+1:])
	}
	b.admin = m[2]
	return b
}

func readLine(r io.Reader) string {
	var line []byte
	for one := make([]byte, 1); !bytes.HasSuffix(line, []byte("\n")); {
		if _, err := r.Read(one); err != nil {
			break
		}
		line = append(line, one[0])
	}
	return string(line)
}

// stop sends a signal and returns the exit code.
func (b *broker) stop(sig os.Signal) int {
	b.t.Helper()
	if err := b.cmd.Process.Signal(sig); err != nil {
		b.t.Fatal(err)
	}
	timer := time.AfterFunc(patience, func() { _ = b.cmd.Process.Kill() })
	defer timer.Stop()
	_ = b.cmd.Wait()
	return b.cmd.ProcessState.ExitCode()
}

// admin command against the broker's first listener.
func (b *broker) run(stdin string, args ...string) result {
	b.t.Helper()
	return run(b.t, []string{"MILLRACE_BROKERS=" + b.kafka[0]}, stdin, args...)
}

func (b *broker) get(path string) (int, string) {
	b.t.Helper()
	resp, err := http.Get("http://" + b.admin + path)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body)
}

func TestWrongUseOfServe(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "server.properties")
	if err := os.WriteFile(file, []byte("log.dirs="+dir+"\nnum.partitions=none\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args string
		want []string
	}{
		{"--bogus", []string{"unknown flag: --bogus", "serve --help"}},
		{"extra", []string{"unknown command"}},
		{"--durability none", []string{"durability=none (--durability)", "fsync, write"}},
		{"--cores 0", []string{"cores=0 (--cores)", "at least 1"}},
		{"--listen 0.0.0.0:0", []string{"allow.insecure=true"}},
		{"--set noequals", []string{"want name=value"}},
		{"--set no.such.name=1", []string{"no.such.name"}},
		{"--config /does/not/exist", []string{"--config", "no such file"}},
		{"--config " + file, []string{"num.partitions", "none"}},
		{"--log-format xml", []string{"text or json"}},
		{"--log-level loud", []string{"debug, info"}},
	} {
		r := run(t, nil, "", append([]string{"serve", "--data", dir, "--admin", "none"}, strings.Fields(c.args)...)...)
		r.want(t, cli.ExitUsage, c.want...)
	}
	run(t, []string{"KAFKA_NO_SUCH_NAME=1"}, "", "serve", "--data", dir).want(t, cli.ExitUsage, "no.such.name")
	run(t, nil, "", "nonsense").want(t, cli.ExitUsage, `unknown command "nonsense"`)
	run(t, nil, "", "version").want(t, cli.ExitOK, "millrace "+release)
}

// The whole way on both engines: create, write, read with a group, stop, start, go on.
func TestServeAndAdminCommands(t *testing.T) {
	engines := []string{"epoll"}
	if works, _ := netio.Probe(); works {
		engines = append(engines, "uring")
	}
	for _, engine := range engines {
		t.Run(engine, func(t *testing.T) { wholeWay(t, engine) })
	}
}

func wholeWay(t *testing.T, engine string) {
	dir := filepath.Join(t.TempDir(), "data")
	b := serve(t, dir, "--io", engine, "--set", "group.initial.rebalance.delay.ms=0")
	if !strings.Contains(b.line, "io "+engine) {
		t.Errorf("%s", b.line)
	}
	b.run("", "topic", "create", "orders", "-p", "2", "-c", "retention.ms=86400000").want(t, 0, "orders  OK")
	b.run("", "topic", "create", "orders").want(t, cli.ExitFailed, "TOPIC_ALREADY_EXISTS")
	b.run("", "topic", "list").want(t, 0, "orders           2         1")
	b.run("", "topic", "describe", "orders", "-a").want(t, 0, "HIGH-WATERMARK", "DYNAMIC_TOPIC_CONFIG")
	b.run("k1 v1\nk2 v2\nk3 v3\nk4 v4\n", "topic", "produce", "orders", "-f", `%k %v\n`, "-z", "zstd").
		want(t, 0, "written to orders partition")
	got := b.run("", "topic", "consume", "orders", "-o", "start", "-e", "-f", `%k=%v;`)
	got.want(t, 0, "k1=v1;", "k2=v2;", "k3=v3;", "k4=v4;")
	if len(got.out) != 4*len("k1=v1;") {
		t.Errorf("%q", got.out)
	}
	for _, c := range []struct{ args, want string }{
		{"-o end", ""}, {"-o +99", ""}, {"-o @2200-01-01", ""}, {"-o @0 -p 0,1 -n 4", "1234"}, {"-g all", "1234"}, {"-g all", ""},
	} {
		args := append([]string{"topic", "consume", "orders", "-e", "-f", `%v`}, strings.Fields(c.args)...)
		got := b.run("", args...)
		got.want(t, 0)
		digits := strings.Split(strings.ReplaceAll(got.out, "v", ""), "")
		slices.Sort(digits)
		if strings.Join(digits, "") != c.want {
			t.Errorf("%s: %q", c.args, got.out)
		}
	}
	b.run("", "topic", "consume", "orders", "-g", "g", "-n", "3").want(t, 0, "v")
	b.run("", "group", "list").want(t, 0, "g      consumer", "Empty")
	b.run("", "group", "describe", "g").want(t, 0, "LAG", "orders")
	b.run("", "config", "set", "topic", "orders", "retention.ms=50000000").want(t, 0, "OK")
	b.run("", "config", "set", "topic", "orders", "retention.ms=abc").want(t, cli.ExitFailed, "INVALID_CONFIG")
	b.run("", "cluster", "health").want(t, 0, "true")
	b.run("", "cluster", "info").want(t, 0, "BROKERS", "127.0.0.1")
	b.run("", "cluster", "api-versions").want(t, 0, "Produce", "ApiVersions")
	b.run("", "cluster", "logdirs", "--topics", "orders").want(t, 0, "orders")
	metrics(t, b)
	if code := b.stop(syscall.SIGTERM); code != 0 {
		t.Fatalf("stop: exit code %d\n%s", code, b.errs)
	}

	b = serve(t, dir, "--io", engine, "--set", "group.initial.rebalance.delay.ms=0")
	b.run("", "topic", "consume", "orders", "-g", "g", "-n", "1", "--timeout", "10s").want(t, 0, "v")
	d := b.run("", "group", "describe", "g", "--json")
	d.want(t, 0, `"total_lag": 0`)
	b.run("", "group", "seek", "g", "--to", "earliest", "--dry-run").want(t, 0, "DRY-RUN")
	b.run("", "group", "seek", "g", "--to", "earliest").want(t, 0, "OK")
	b.run("", "group", "describe", "g", "-s").want(t, 0, "4")
	b.run("", "group", "delete", "g").want(t, 0, "OK")
	b.run("", "topic", "add-partitions", "orders", "-n", "1").want(t, 0, "OK")
	b.run("", "topic", "trim-prefix", "orders", "-o", "-1").want(t, 0, "orders/0")
	b.run("", "topic", "delete", "orders").want(t, 0, "OK")
	if code := b.stop(os.Interrupt); code != 0 {
		t.Errorf("stop: exit code %d\n%s", code, b.errs)
	}
}

func metrics(t *testing.T, b *broker) {
	t.Helper()
	for path, want := range map[string]string{
		"/healthz": "ok", "/readyz": "ok", "/v1/status": `"durability": "fsync"`,
		"/metrics": `millrace_requests_total{api="Produce"}`,
	} {
		if code, body := b.get(path); code != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%s: %d, lacks %s", path, code, want)
		}
	}
}

func TestOneBrokerPerDirectory(t *testing.T) {
	dir := t.TempDir()
	b := serve(t, dir)
	r := run(t, nil, "", "serve", "--data", dir, "--listen", "127.0.0.1:0", "--admin", "none")
	r.want(t, cli.ExitFailed, "in use by another broker", fmt.Sprintf("(process %d)", b.cmd.Process.Pid))
	if code := b.stop(syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d\n%s", code, b.errs)
	}
	serve(t, dir).stop(syscall.SIGTERM) // the lock went with the process
}

func TestAddressesInUse(t *testing.T) {
	b := serve(t, t.TempDir())
	r := run(t, nil, "", "serve", "--data", t.TempDir(), "--listen", b.kafka[0], "--admin", "none")
	r.want(t, cli.ExitFailed, "address already in use", "--listen")
	r = run(t, nil, "", "serve", "--data", t.TempDir(), "--listen", "127.0.0.1:0", "--admin", b.admin)
	r.want(t, cli.ExitFailed, b.admin+" is in use", "--admin")
	r = run(t, nil, "", "serve", "--data", "/dev/null/x", "--listen", "127.0.0.1:0", "--admin", "none")
	r.want(t, cli.ExitFailed, "/dev/null: not a directory", "--data")
}

// Each listener answers with its own advertised address; one that advertises nothing,
// with the address that the client came to.
func TestListenersAdvertise(t *testing.T) {
	b := serve(t, t.TempDir(), "--listen", "IN://127.0.0.1:0", "--listen", "OUT://127.0.0.2:0",
		"--advertise", "OUT://localhost:4711")
	if len(b.kafka) != 2 {
		t.Fatalf("%s", b.line)
	}
	in := run(t, nil, "", "cluster", "info", "--brokers", b.kafka[0])
	in.want(t, 0, "127.0.0.1", b.kafka[0][strings.LastIndex(b.kafka[0], ":")+1:])
	run(t, nil, "", "cluster", "info", "--brokers", b.kafka[1]).want(t, 0, "localhost", "4711")
	b.stop(syscall.SIGTERM)

	b = serve(t, t.TempDir(), "--listen", "0.0.0.0:0", "--set", "allow.insecure=true")
	port := b.kafka[0][strings.LastIndex(b.kafka[0], ":")+1:]
	for _, host := range []string{"127.0.0.1", "127.0.0.3"} {
		run(t, nil, "", "cluster", "info", "--brokers", host+":"+port).want(t, 0, host+"  "+port)
	}
	b.stop(syscall.SIGTERM)
	if !strings.Contains(b.errs.String(), "can be reached from other machines") {
		t.Errorf("no warning:\n%s", b.errs)
	}
}

func TestLayersOfSettings(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "server.properties")
	text := "# comment\nnum.partitions=2\nnum.io.threads=8\nmillrace.cores = 1\nnode.id=4\nbroker.rack=a\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv(passOn+"KAFKA_PORT", "tcp://10.0.0.1:9092")
	t.Setenv(passOn+"KAFKA_NUM_PARTITIONS", "3")
	t.Setenv(passOn+"KAFKA_BROKER_RACK", "b")
	b := serve(t, filepath.Join(dir, "data"), "--config", file, "--set", "num.partitions=5", "--node-id", "9")
	b.run("", "topic", "create", "t").want(t, 0, "OK")
	b.run("", "topic", "list").want(t, 0, "t              5")
	b.run("", "cluster", "info").want(t, 0, " 9  127.0.0.1", " b ")
	if code := b.stop(syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if n := strings.Count(b.errs.String(), "without effect"); n != 1 ||
		!strings.Contains(b.errs.String(), "num.io.threads") ||
		!strings.Contains(b.errs.String(), "KAFKA_PORT") {
		t.Errorf("%d warnings:\n%s", n, b.errs)
	}
}
