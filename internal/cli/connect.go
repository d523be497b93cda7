package cli

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
)

const (
	defaultBroker  = "127.0.0.1:9092"
	brokersEnv     = "MILLRACE_BROKERS"
	defaultTimeout = 15 * time.Second
	dialTimeout    = 5 * time.Second
)

// app is what every admin command works with.
type app struct {
	brokers []string
	json    bool
	timeout time.Duration

	in  io.Reader
	out io.Writer
	cl  *kgo.Client
}

// Commands are the admin commands: topic, group, config, cluster.
func Commands() []*cobra.Command {
	a := new(app)
	cmds := []*cobra.Command{topicCommand(a), groupCommand(a), configCommand(a), clusterCommand(a)}
	for _, c := range cmds {
		f := c.PersistentFlags()
		f.StringSliceVar(&a.brokers, "brokers", defaultBrokers(),
			"brokers to ask first, HOST:PORT (also "+brokersEnv+")")
		f.BoolVar(&a.json, "json", false, "print JSON instead of tables")
		f.DurationVar(&a.timeout, "timeout", defaultTimeout, "how long to wait for brokers")
	}
	return cmds
}

func defaultBrokers() []string {
	if v := os.Getenv(brokersEnv); v != "" {
		return strings.Split(v, ",")
	}
	return []string{defaultBroker}
}

// verb fills in what a command has in common with the others: streams and a time
// limit. The client is made by the first request, after the arguments were read.
func (a *app) verb(cmd *cobra.Command, run func(ctx context.Context, args []string) error) *cobra.Command {
	return a.open(cmd, func(ctx context.Context, args []string) error {
		ctx, cancel := context.WithTimeout(ctx, a.timeout)
		defer cancel()
		defer a.close()
		return run(ctx, args)
	})
}

func (a *app) close() {
	if a.cl != nil {
		a.cl.Close()
		a.cl = nil
	}
}

// client connects at the first call.
func (a *app) client(ctx context.Context) (*kgo.Client, error) {
	if a.cl == nil {
		if err := a.connect(ctx); err != nil {
			return nil, err
		}
	}
	return a.cl, nil
}

// open is verb for commands that run on and make their own client.
func (a *app) open(cmd *cobra.Command, run func(ctx context.Context, args []string) error) *cobra.Command {
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		a.in, a.out = cmd.InOrStdin(), cmd.OutOrStdout()
		ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		return run(ctx, args)
	}
	return cmd
}

// connect makes the client and asks one broker for its versions, so that a wrong
// address is told at once and in plain words.
func (a *app) connect(ctx context.Context, opts ...kgo.Opt) error {
	for _, b := range a.brokers {
		if _, _, err := net.SplitHostPort(withPort(b)); err != nil {
			return Usage("--brokers %q: want HOST:PORT", b)
		}
	}
	opts = append([]kgo.Opt{
		kgo.SeedBrokers(a.brokers...),
		kgo.ClientID("millrace-cli"),
		kgo.MaxVersions(versions()),
		kgo.RequestRetries(3),
		kgo.RetryTimeout(a.timeout),
		kgo.MetadataMinAge(100 * time.Millisecond),
		kgo.Dialer((&net.Dialer{Timeout: min(dialTimeout, a.timeout)}).DialContext),
	}, opts...)
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		return Usage("%w", err)
	}
	if err := a.ping(ctx, cl); err != nil {
		cl.Close()
		return unreachable(a.brokers, err)
	}
	a.cl = cl
	return nil
}

// versions keeps requests at forms that name topics: OffsetCommit and OffsetFetch 10
// know topic ids only.
func versions() *kversion.Versions {
	v := kversion.Stable()
	v.SetMaxKeyVersion(int16(kmsg.OffsetCommit), 9)
	v.SetMaxKeyVersion(int16(kmsg.OffsetFetch), 9)
	return v
}

func (a *app) ping(ctx context.Context, cl *kgo.Client) error {
	var last error
	for _, seed := range cl.SeedBrokers() {
		req := kmsg.NewPtrApiVersionsRequest()
		req.ClientSoftwareName, req.ClientSoftwareVersion = "millrace-cli", "1"
		if _, last = seed.Request(ctx, req); last == nil {
			return nil
		}
	}
	return last
}

func withPort(b string) string {
	if strings.Contains(b, ":") {
		return b
	}
	return b + ":9092"
}

// millis is the client's time limit in the form that requests carry.
func (a *app) millis() int32 { return int32(min(a.timeout, time.Hour).Milliseconds()) }

// coded turns a broker's error code and message into a status.
func coded(name string, code int16, message *string) status {
	s := status{Name: name, Status: ok}
	if err := kerr.ErrorForCode(code); err != nil {
		s.Status = codeName(code)
		s.Message = kerr.TypedErrorForCode(code).Description
		if message != nil && *message != "" {
			s.Message = *message
		}
	}
	return s
}

func codeName(code int16) string {
	if e := kerr.TypedErrorForCode(code); e != nil {
		return e.Message
	}
	return fmt.Sprintf("error %d", code)
}

// refused is the error for an answer whose code is not 0, or nil.
func refused(what string, code int16, message *string) error {
	s := coded(what, code, message)
	if s.Status == ok {
		return nil
	}
	return Failed("%s: %s: %s", what, s.Status, s.Message)
}

// sharded sends req to every broker that has to do with it.
func (a *app) sharded(ctx context.Context, req kmsg.Request) ([]kgo.ResponseShard, error) {
	cl, err := a.client(ctx)
	if err != nil {
		return nil, err
	}
	return cl.RequestSharded(ctx, req), nil
}

// ask is cl.Request with the answer's type.
func ask[Resp kmsg.Response](ctx context.Context, a *app, req kmsg.Request) (Resp, error) {
	var none Resp
	cl, err := a.client(ctx)
	if err != nil {
		return none, err
	}
	resp, err := cl.Request(ctx, req)
	if err != nil {
		name := kmsg.NameForKey(req.Key())
		if ctx.Err() != nil {
			return none, Failed("%s: no answer within %v", name, a.timeout)
		}
		return none, Failed("%s: %w", name, err)
	}
	return resp.(Resp), nil
}

// pairs reads name=value arguments.
func pairs(args []string) ([][2]string, error) {
	var out [][2]string
	for _, arg := range args {
		k, v, found := strings.Cut(arg, "=")
		if !found || k == "" {
			return nil, Usage("%q: want name=value", arg)
		}
		out = append(out, [2]string{k, v})
	}
	return out, nil
}
