package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"millrace/internal/admin/status"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Limits of the server. A scrape of a large broker takes milliseconds, so every
// time-out is far above need and only there against clients that hang.
const (
	headerTimeout  = 5 * time.Second
	readTimeout    = 10 * time.Second
	writeTimeout   = 60 * time.Second // a pprof profile takes 30 s by default
	idleTimeout    = 2 * time.Minute
	maxHeaderBytes = 16 << 10
	maxScrapes     = 4
)

// DefaultMaxSeries is enough for 2 000 group × topic × partition triples and
// keeps an answer near one megabyte.
const DefaultMaxSeries = 2000

// Options of a server.
type Options struct {
	Addr      string // HOST:PORT; port 0 picks a free one
	Source    status.Source
	Mover     Mover // nil: partitions cannot be moved
	Pprof     bool
	MaxSeries int // 0 = DefaultMaxSeries
	Log       *slog.Logger
}

// Server is a running admin server.
type Server struct {
	http *http.Server
	addr string
	done chan error
}

// Start listens and serves until Stop.
func Start(o Options) (*Server, error) {
	l, err := net.Listen("tcp", o.Addr)
	if err != nil {
		return nil, fmt.Errorf("admin: listen %s: %w", o.Addr, err)
	}
	s := &Server{addr: l.Addr().String(), done: make(chan error, 1)}
	s.http = &http.Server{
		Handler:           Handler(o),
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug),
	}
	go func() { s.done <- s.http.Serve(l) }()
	return s, nil
}

// Addr is the address in use, with the real port.
func (s *Server) Addr() string { return s.addr }

// Stop ends the server: requests under way have until ctx ends.
func (s *Server) Stop(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	if err != nil {
		_ = s.http.Close()
	}
	if serr := <-s.done; !errors.Is(serr, http.ErrServerClosed) {
		return fmt.Errorf("admin: serve: %w", serr)
	}
	return err
}

// Handler is the server's routes.
func Handler(o Options) http.Handler {
	if o.MaxSeries == 0 {
		o.MaxSeries = DefaultMaxSeries
	}
	src := &shared{src: o.Source}
	reg := prometheus.NewRegistry()
	reg.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		&collector{src: src, maxSeries: o.MaxSeries},
	)

	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", index)
	mux.HandleFunc("GET /healthz", probe(o.Source.Healthy))
	mux.HandleFunc("GET /readyz", probe(ready(o.Source)))
	mux.HandleFunc("GET /v1/status/ready", probe(ready(o.Source)))
	mux.HandleFunc("GET /v1/status", statusJSON(src))
	mux.HandleFunc("GET /v1/partitions", partitionsJSON(src))
	if o.Mover != nil {
		mux.HandleFunc("POST /v1/partitions/move", move(o.Mover))
	}
	mux.Handle("GET /metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{
		MaxRequestsInFlight: maxScrapes,
		ErrorHandling:       promhttp.ContinueOnError,
		Timeout:             writeTimeout / 2,
	}))
	if o.Pprof {
		mux.HandleFunc("GET /debug/pprof/", pprof.Index)
		mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	}
	return mux
}

// ready is stricter than alive: a broker whose disk has failed is not ready.
func ready(s status.Source) func() error {
	return func() error {
		if err := s.Healthy(); err != nil {
			return err
		}
		return s.Ready()
	}
}

func probe(check func() error) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		if err := check(); err != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprintln(w, err)
			return
		}
		fmt.Fprintln(w, "ok")
	}
}

func index(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprint(w, "millrace admin\n\n/healthz\n/readyz\n/metrics\n/v1/status\n/v1/partitions\n")
}

func statusJSON(src *shared) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		snap, err := src.get()
		if err != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
			_ = json.NewEncoder(w).Encode(map[string]string{"error": err.Error()})
			return
		}
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		_ = enc.Encode(summary(snap))
	}
}
