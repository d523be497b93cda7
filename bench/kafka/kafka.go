package kafka

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Version is the release that pom.xml names.
const Version = "4.3.1"

//go:embed pom.xml
var pom []byte

// logging keeps warnings on standard error and nothing else.
const logging = `rootLogger.level=WARN
rootLogger.appenderRef.s.ref=S
appender.s.type=Console
appender.s.name=S
appender.s.target=SYSTEM_ERR
appender.s.layout.type=PatternLayout
appender.s.layout.pattern=[%d] %p %m (%c)%n
`

// Jars is the class path of one Kafka release.
type Jars struct {
	home string
}

// Fetch resolves the jars into cache/kafka-VERSION, once.
func Fetch(ctx context.Context, cache string) (*Jars, error) {
	home, err := filepath.Abs(filepath.Join(cache, "kafka-"+Version))
	if err != nil {
		return nil, err
	}
	j := &Jars{home: home}
	if _, err := os.Stat(filepath.Join(home, "complete")); err == nil {
		return j, nil
	}
	if err := os.MkdirAll(home, 0o755); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(home, "pom.xml"), pom, 0o644); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(home, "log4j2.properties"), []byte(logging), 0o644); err != nil {
		return nil, err
	}
	mvn := exec.CommandContext(ctx, "mvn", "-q", "-B", "dependency:copy-dependencies",
		"-DoutputDirectory="+filepath.Join(home, "libs"))
	mvn.Dir = home
	if out, err := mvn.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("kafka: resolve jars: %w\n%s", err, out)
	}
	return j, os.WriteFile(filepath.Join(home, "complete"), nil, 0o644)
}

// Classpath is what java -cp wants.
func (j *Jars) Classpath() string { return filepath.Join(j.home, "libs", "*") }

// Logging is the JVM argument that quietens log4j.
func (j *Jars) Logging() string {
	return "-Dlog4j2.configurationFile=" + filepath.Join(j.home, "log4j2.properties")
}

// Tool is one of Kafka's command line tools, by class, in a JVM tuned to start quickly.
func (j *Jars) Tool(ctx context.Context, class string, args ...string) *exec.Cmd {
	argv := append([]string{"-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx256m",
		j.Logging(), "-cp", j.Classpath(), class}, args...)
	return exec.CommandContext(ctx, "java", argv...)
}

// Options of one broker.
type Options struct {
	Dir   string // data, log and properties live in it
	Port  int    // 0: a free one
	Heap  string // as for -Xmx; "1g" when empty
	Extra map[string]string
	Wipe  bool          // format a new, empty log directory
	Wait  time.Duration // until it answers; three minutes at least, for a machine that is busy
}

// Broker is one running node.
type Broker struct {
	Addr string
	cmd  *exec.Cmd
	done chan struct{}
}

// Start formats (if asked or needed) and starts one node and waits until it answers.
func (j *Jars) Start(ctx context.Context, o Options) (*Broker, error) {
	if o.Heap == "" {
		o.Heap = "1g"
	}
	if o.Port == 0 {
		o.Port = FreePort()
	}
	data, conf := filepath.Join(o.Dir, "data"), filepath.Join(o.Dir, "server.properties")
	if o.Wipe {
		if err := os.RemoveAll(data); err != nil {
			return nil, err
		}
	}
	if err := os.MkdirAll(data, 0o755); err != nil {
		return nil, err
	}
	if err := os.WriteFile(conf, []byte(properties(o, data)), 0o644); err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(data, "meta.properties")); err != nil {
		if err := j.format(ctx, conf); err != nil {
			return nil, err
		}
	}
	return j.launch(ctx, o, conf)
}

// properties of a node. Files of deleted topics go after a second, not after a minute: the disk
// would be busy with gigabytes of them in somebody else's turn.
func properties(o Options, data string) string {
	var b strings.Builder
	ctl := FreePort()
	fmt.Fprintf(&b, `process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:%d
listeners=PLAINTEXT://127.0.0.1:%d,CONTROLLER://127.0.0.1:%d
advertised.listeners=PLAINTEXT://127.0.0.1:%d
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs=%s
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
log.segment.delete.delay.ms=1000
`, ctl, o.Port, ctl, o.Port, data)
	for k, v := range o.Extra {
		fmt.Fprintf(&b, "%s=%s\n", k, v)
	}
	return b.String()
}

func (j *Jars) format(ctx context.Context, conf string) error {
	out, err := j.Tool(ctx, "kafka.tools.StorageTool", "random-uuid").Output()
	if err != nil {
		return fmt.Errorf("kafka: random-uuid: %w", err)
	}
	id := strings.TrimSpace(string(out))
	format := j.Tool(ctx, "kafka.tools.StorageTool", "format", "-t", id, "-c", conf)
	if out, err := format.CombinedOutput(); err != nil {
		return fmt.Errorf("kafka: format: %w\n%s", err, out)
	}
	return nil
}

func (j *Jars) launch(ctx context.Context, o Options, conf string) (*Broker, error) {
	log, err := os.OpenFile(filepath.Join(o.Dir, "kafka.log"),
		os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command("java", "-Xmx"+o.Heap, "-Xms"+o.Heap, "-server", "-XX:+UseG1GC",
		"-XX:MaxGCPauseMillis=20", "-XX:InitiatingHeapOccupancyPercent=35",
		"-XX:+ExplicitGCInvokesConcurrent", "-Djava.awt.headless=true", j.Logging(),
		"-cp", j.Classpath(), "kafka.Kafka", conf)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	b := &Broker{
		Addr: fmt.Sprintf("127.0.0.1:%d", o.Port), cmd: cmd, done: make(chan struct{}),
	}
	go func() { _ = cmd.Wait(); close(b.done) }()
	if err := WaitPort(ctx, b.Addr, b.done, max(o.Wait, 3*time.Minute)); err != nil {
		_ = b.Kill()
		text, _ := os.ReadFile(log.Name())
		return nil, fmt.Errorf("kafka: start: %w\n%s", err, text)
	}
	return b, nil
}

// Pid is the broker's process.
func (b *Broker) Pid() int { return b.cmd.Process.Pid }

// Done is closed when the process has ended.
func (b *Broker) Done() <-chan struct{} { return b.done }

// Stop asks the broker to end and waits; after 30 s it is killed.
func (b *Broker) Stop() error {
	_ = b.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-b.done:
		return nil
	case <-time.After(30 * time.Second):
		_ = b.Kill()
		return errors.New("kafka: did not stop within 30 s")
	}
}

// Kill ends the broker at once.
func (b *Broker) Kill() error {
	err := b.cmd.Process.Kill()
	<-b.done
	return err
}

// FreePort finds a port that nothing listens on.
func FreePort() int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// WaitPort waits until addr accepts, died closes or the time is over.
func WaitPort(ctx context.Context, addr string, died <-chan struct{}, limit time.Duration) error {
	deadline := time.Now().Add(limit)
	for time.Now().Before(deadline) {
		if c, err := net.DialTimeout("tcp", addr, time.Second); err == nil {
			return c.Close()
		}
		select {
		case <-died:
			return errors.New("the process ended")
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
	return fmt.Errorf("nothing answers on %s after %v", addr, limit)
}
