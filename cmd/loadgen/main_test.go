package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"millrace/loadgen/result"
	"millrace/loadgen/stub"
	"millrace/loadgen/workload"
	"millrace/protocol/batch"
)

// invoke runs a command line; what it prints to stdout is returned.
func invoke(t *testing.T, ctx context.Context, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	real := os.Stdout
	defer func() { os.Stdout = real }()
	f, err := os.Create(filepath.Join(t.TempDir(), "stdout"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	os.Stdout = f
	var errs bytes.Buffer
	code = execute(ctx, args, &errs)
	text, err := os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	return code, string(text), errs.String()
}

func startStub(t *testing.T, o stub.Options) *stub.Stub {
	t.Helper()
	s, err := stub.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func TestWrongCommandLines(t *testing.T) {
	for line, want := range map[string]string{
		"dance":                           `unknown command "dance"`,
		"produce now":                     `takes options only, not "now"`,
		"produce --sise 5":                "unknown flag: --sise",
		"produce --rate fast":             "want messages per second",
		"produce --acks 2":                "want 0, 1 or all",
		"produce --brokers nowhere":       `--brokers: "nowhere": want host:port`,
		"produce --duration 5":            "want a time with its unit",
		"produce --client java":           "want one of raw, franz",
		"produce --tls":                   "use --client franz",
		"produce --threads 9 --topic a/b": "--topic",
		"e2e --size 8":                    "--size: 8: a value must hold the stamp",
		"txn --client raw":                "--client: transactions are made by --client franz only",
		"consume --rate 5":                "unknown flag: --rate",
		"run":                             "wants one file, got 0",
		"run /none.yaml":                  "no such file",
		"run ../../bench/scenarios/11-fan-out.yaml --only x":      "there are 10-groups, 50-groups",
		"run ../../bench/scenarios/11-fan-out.yaml -o x":          "--dir writes them all",
		"run ../../bench/scenarios/11-fan-out.yaml --size 10":     "load 10-groups: --size",
		"run ../../bench/scenarios/11-fan-out.yaml --size big":    "want bytes",
		"run ../../bench/scenarios/11-fan-out.yaml --txn-abort 1": "in any load of this scenario",
		"produce --limits /none.json":                             "/none.json",
	} {
		code, _, stderr := invoke(t, context.Background(), strings.Fields(line)...)
		if code != exitUsage || !strings.Contains(stderr, want) {
			t.Errorf("%s: exit %d, %q, want %q", line, code, stderr, want)
		}
	}
}

func TestEveryExampleOfTheHelpIsRight(t *testing.T) {
	for _, m := range modes {
		for line := range strings.SplitSeq(m.example, "\n") {
			line = strings.NewReplacer("$(pidof millrace)", "1").Replace(line)
			words := strings.Fields(line)
			cmd := modeCommand(m)
			if words[0] != "loadgen" || words[1] != string(m.of) {
				t.Fatalf("example %q of %s", line, m.of)
			}
			if err := cmd.ParseFlags(words[2:]); err != nil {
				t.Errorf("%s: %v", line, err)
			}
			w := workload.New(m.of)
			for _, o := range workload.Options() {
				if f := cmd.Flags().Lookup(o.Name); f != nil && f.Changed {
					if err := w.Set(o.Name, f.Value.String()); err != nil {
						t.Errorf("%s: %v", line, err)
					}
				}
			}
			if err := w.Check(); err != nil {
				t.Errorf("%s: %v", line, err)
			}
		}
	}
}

func TestARunAndItsFiles(t *testing.T) {
	s := startStub(t, stub.Options{Keep: 1 << 30})
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	t.Setenv(passwordFromEnvironment, "s3cret")
	code, stdout, stderr := invoke(t, context.Background(), "e2e", "--brokers", s.Addr(0), "--create", "--delete",
		"--rate", "1000", "--warmup", "100ms", "--duration", "500ms", "--name", "ours", "--json", "-o", at("r.json"),
		"--hlog", at("r.hlog"), "--html", at("r.html"))
	if code != 0 && code != exitVoid {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	var printed result.Run
	if err := json.Unmarshal([]byte(stdout), &printed); err != nil {
		t.Fatal(err)
	}
	r, err := result.ReadFile(at("r.json"))
	if err != nil {
		t.Fatal(err)
	}
	if r.ID != printed.ID || r.Name != "ours" || r.Load != "e2e" || r.Client != "raw" || r.Options["rate"] != "1000" ||
		r.Target.Addr != s.Addr(0) || r.Host.Cores == 0 || r.Acked < 450 || r.Latencies[result.EndToEnd].Count < 450 {
		t.Errorf("%+v", r)
	}
	if _, err := result.ReadLogFile(at("r.hlog")); err != nil {
		t.Error(err)
	}
	html, err := os.ReadFile(at("r.html"))
	if err != nil || !bytes.Contains(html, []byte("ours")) {
		t.Errorf("report: %v", err)
	}
	if s.Delete("load") {
		t.Error("the topic is still there")
	}
}

func TestExitCodes(t *testing.T) {
	s := startStub(t, stub.Options{Keep: 1 << 30, Store: func(topic string, p int32, v batch.View) []batch.View {
		if topic == "lossy" && p == 3 {
			return nil
		}
		return []batch.View{v}
	}})
	common := []string{"--brokers", s.Addr(0), "--quiet", "--warmup", "100ms", "--create"}
	for line, want := range map[string]int{
		"produce --topic a --duration 300ms":                        0,
		"verify --topic b --duration 300ms":                         0,
		"verify --topic lossy --duration 300ms":                     exitWrong,
		"produce --topic a2 --duration 300ms --brokers 127.0.0.1:1": exitFailed,
	} {
		args := strings.Fields(line)
		code, stdout, stderr := invoke(t, context.Background(), append(append(args[:1:1], common...), args[1:]...)...)
		if code != want {
			t.Errorf("%s: exit %d, want %d\n%s%s", line, code, want, stdout, stderr)
		}
	}
	for name, r := range map[string]struct {
		run  result.Run
		want int
	}{
		"good":    {result.Run{}, 0},
		"partial": {result.Run{Partial: "why", Void: "slow"}, exitFailed},
		"errors":  {result.Run{Errors: []result.ErrorCount{{Name: "X"}}}, exitFailed},
		"void":    {result.Run{Void: "slow"}, exitVoid},
	} {
		var f *failure
		err := verdict(&r.run, nil)
		if r.want == 0 && err != nil || r.want != 0 && (!errors.As(err, &f) || f.code != r.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAStoppedRunKeepsItsResult(t *testing.T) {
	s := startStub(t, stub.Options{})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	time.AfterFunc(600*time.Millisecond, cancel)
	file := filepath.Join(t.TempDir(), "r.json")
	code, stdout, _ := invoke(t, ctx, "produce", "--brokers", s.Addr(0), "--create", "--delete", "--quiet", "--rate", "1000",
		"--warmup", "0", "--duration", "1m", "-o", file)
	r, err := result.ReadFile(file)
	if code != exitFailed || err != nil || !strings.Contains(stdout, "PARTIAL") {
		t.Fatalf("exit %d, %v\n%s", code, err, stdout)
	}
	if r.Partial == "" || r.Acked < 200 || r.Seconds > 10 || s.Delete("load") {
		t.Errorf("partial %q, %d messages in %.1f s", r.Partial, r.Acked, r.Seconds)
	}
}

func TestAScenario(t *testing.T) {
	s := startStub(t, stub.Options{Keep: 1 << 30})
	dir := t.TempDir()
	file := filepath.Join(dir, "two.yaml")
	text := `
scenario: two
common: {create: true, delete: true, partitions: 2, warmup: 100ms, duration: 400ms}
loads:
  - {name: all that goes, mode: produce, rate: max, topic: a}
  - {name: a tenth, mode: produce, rate: 1% of all that goes, topic: b, batch: 1}
`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := invoke(t, context.Background(), "run", file, "--brokers", s.Addr(0), "--quiet", "--dir", dir,
		"--html", filepath.Join(dir, "r.html"))
	if code != 0 && code != exitVoid {
		t.Fatalf("exit %d\n%s%s", code, stdout, stderr)
	}
	all, err := result.ReadFile(filepath.Join(dir, "all-that-goes.json"))
	if err != nil {
		t.Fatal(err)
	}
	tenth, err := result.ReadFile(filepath.Join(dir, "a-tenth.json"))
	if err != nil {
		t.Fatal(err)
	}
	if want := float64(all.Acked) / all.Seconds / 100; tenth.Rate < want*0.99 || tenth.Rate > want*1.01 {
		t.Errorf("rate %.0f, want %.0f", tenth.Rate, want)
	}
	for _, name := range []string{"all-that-goes.hlog", "a-tenth.hlog", "r.html"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
	code, stdout, _ = invoke(t, context.Background(), "run", file, "--list", "--only", "a tenth", "--rate", "5")
	if code != 0 || strings.Count(stdout, "==") != 1 || !strings.Contains(stdout, "a tenth: produce by raw, 5 messages/s") {
		t.Errorf("exit %d, %q", code, stdout)
	}
}
