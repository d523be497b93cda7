package franz

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"millrace/loadgen/workload"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

const (
	// dialTimeout and firstAnswer bound how long an unreachable broker takes to be told.
	dialTimeout = 5 * time.Second
	firstAnswer = 15 * time.Second

	// deliveryLimit is how long the library may try to deliver one message.
	deliveryLimit = 30 * time.Second

	// stallLimit is how long nothing may be acknowledged before the load ends; reachLimit the same
	// where connections fail.
	stallLimit = 30 * time.Second
	reachLimit = 10 * time.Second

	// unknownLimit is how long a topic may be unknown: metadata may be old, a deletion is not.
	unknownLimit = 3 * time.Second
)

// common are the options of every client of a load.
func common(w *workload.Workload) ([]kgo.Opt, error) {
	opts := []kgo.Opt{
		kgo.SeedBrokers(w.Brokers...), kgo.ClientID("loadgen"),
		kgo.SoftwareNameAndVersion("loadgen", "1"), kgo.DisableClientMetrics(),
		kgo.DialTimeout(dialTimeout), kgo.MetadataMinAge(250 * time.Millisecond),
	}
	if w.TLS.On {
		c, err := tlsConfig(&w.TLS)
		if err != nil {
			return nil, err
		}
		d := &tls.Dialer{NetDialer: &net.Dialer{Timeout: dialTimeout}, Config: c}
		opts = append(opts, kgo.Dialer(d.DialContext))
	}
	s := &w.SASL
	switch s.Mechanism {
	case workload.Plain:
		opts = append(opts, kgo.SASL(plain.Auth{User: s.User, Pass: string(s.Password)}.AsMechanism()))
	case workload.ScramSHA256:
		opts = append(opts,
			kgo.SASL(scram.Auth{User: s.User, Pass: string(s.Password)}.AsSha256Mechanism()))
	case workload.ScramSHA512:
		opts = append(opts,
			kgo.SASL(scram.Auth{User: s.User, Pass: string(s.Password)}.AsSha512Mechanism()))
	}
	return opts, nil
}

func tlsConfig(t *workload.TLS) (*tls.Config, error) {
	c := &tls.Config{ServerName: t.ServerName, InsecureSkipVerify: t.Insecure,
		MinVersion: tls.VersionTLS12}
	if t.CA != "" {
		pem, err := os.ReadFile(t.CA)
		if err != nil {
			return nil, fmt.Errorf("loadgen: --tls-ca: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("loadgen: --tls-ca: %s has no certificate in PEM", t.CA)
		}
	}
	if t.Cert != "" {
		pair, err := tls.LoadX509KeyPair(t.Cert, t.Key)
		if err != nil {
			return nil, fmt.Errorf("loadgen: --tls-cert: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// newClient is a client with the load's common options and more.
func newClient(w *workload.Workload, more ...kgo.Opt) (*kgo.Client, error) {
	opts, err := common(w)
	if err != nil {
		return nil, err
	}
	cl, err := kgo.NewClient(append(opts, more...)...)
	if err != nil {
		return nil, fmt.Errorf("loadgen: franz-go: %w", err)
	}
	return cl, nil
}

// reach connects and asks something, so that what is wrong with the way to the broker is told
// before any load.
func reach(ctx context.Context, cl *kgo.Client, w *workload.Workload) error {
	within, cancel := context.WithTimeout(ctx, firstAnswer)
	defer cancel()
	err := cl.Ping(within)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, context.DeadlineExceeded):
		err = fmt.Errorf("no answer within %v", firstAnswer)
	}
	return fmt.Errorf("loadgen: no way to a broker at %s: %w%s", strings.Join(w.Brokers, ", "), err, hint(w, err))
}

// hint says what the words of an error often mean.
func hint(w *workload.Workload, err error) string {
	text := err.Error()
	switch {
	case errors.Is(err, kerr.SaslAuthenticationFailed):
		return " (user or password are wrong, or the user does not exist)"
	case errors.Is(err, kerr.IllegalSaslState):
		return " (this listener may not want SASL at all: leave out --sasl)"
	case errors.Is(err, kerr.UnsupportedSaslMechanism):
		return " (the broker does not offer this SASL mechanism)"
	case !w.TLS.On && (strings.Contains(text, "EOF") || strings.Contains(text, "reset by peer")):
		return " (if this listener speaks TLS or wants SASL, say so: --tls, --sasl)"
	case w.TLS.On && strings.Contains(text, "first record does not look like a TLS handshake"):
		return " (this listener does not speak TLS: leave out --tls)"
	}
	return ""
}

// errorName is the protocol's code and name of an error, or 0 and a few words.
func errorName(err error) (code int, name string) {
	var k *kerr.Error
	switch {
	case errors.As(err, &k):
		return int(k.Code), k.Message
	case errors.Is(err, kgo.ErrRecordTimeout):
		return 0, "not delivered in time"
	case errors.Is(err, kgo.ErrRecordRetries):
		return 0, "not delivered after retries"
	case errors.Is(err, context.Canceled):
		return 0, "given up at the end of the run"
	case errors.Is(err, context.DeadlineExceeded):
		return 0, "no answer in time"
	}
	return 0, "connection"
}

// fatal says that going on would show nothing new.
func fatal(err error) bool {
	var k *kerr.Error
	return errors.As(err, &k) && (!k.Retriable || unknown(err))
}

// unknown says that the broker does not know the topic.
func unknown(err error) bool {
	return errors.Is(err, kerr.UnknownTopicOrPartition) || errors.Is(err, kerr.UnknownTopicID)
}
