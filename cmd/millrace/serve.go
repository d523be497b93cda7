package main

import (
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"

	"millrace/internal/cli"
	"millrace/raftmeta/configdef"

	"github.com/spf13/cobra"
)

// serveFlags are the flags of serve as given; those that name a setting become one.
type serveFlags struct {
	nodeID     int32
	data       string
	listen     []string
	advertise  []string
	admin      string
	cores      int
	io         string
	durability string
	config     string
	set        []string
	logFormat  string
	logLevel   string
	pprof      bool
	grace      time.Duration
}

const defaultGrace = 30 * time.Second

func serveCommand() *cobra.Command {
	f := new(serveFlags)
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the broker",
		Long: "Run the broker. Settings come from flags, then --set, then KAFKA_... environment variables, then\n" +
			"--config, then defaults: the first that names one wins. Names are those of Kafka's server\n" +
			"properties; docs/OPERATIONS.md lists the ones that are this program's own.",
		Example: "  millrace serve\n" +
			"  millrace serve --data /var/lib/millrace --set num.partitions=3\n" +
			"  millrace serve --listen INSIDE://0.0.0.0:9092 --listen OUTSIDE://0.0.0.0:19092 \\\n" +
			"      --advertise INSIDE://broker:9092 --advertise OUTSIDE://localhost:19092 --set allow.insecure=true",
		Args: cobra.NoArgs,
	}
	fl := cmd.Flags()
	fl.Int32Var(&f.nodeID, "node-id", 1, "node.id")
	fl.StringVar(&f.data, "data", "data", "data directory, or several with commas between (log.dirs)")
	fl.StringArrayVar(&f.listen, "listen", []string{defaultBind},
		"HOST:PORT or NAME://HOST:PORT (listeners; repeatable)")
	fl.StringArrayVar(&f.advertise, "advertise", nil,
		"what clients are told, HOST:PORT or NAME://HOST:PORT (advertised.listeners;\n"+
			"repeatable; default: the address that the client came to)")
	fl.StringVar(&f.admin, "admin", defaultAdmin, "HOST:PORT of the admin HTTP server, or none")
	fl.IntVar(&f.cores, "cores", defaultCores(), "threads that serve")
	fl.StringVar(&f.io, "io", "auto", "auto, uring or epoll")
	fl.StringVar(&f.durability, "durability", "fsync",
		"what an acknowledgement promises: fsync survives a power loss, write a kill")
	fl.StringVar(&f.config, "config", "", "file of server properties")
	fl.StringArrayVar(&f.set, "set", nil, "name=value of a server property (repeatable)")
	fl.StringVar(&f.logFormat, "log-format", "text", "text or json")
	fl.StringVar(&f.logLevel, "log-level", "info", "debug, info, warn or error")
	fl.BoolVar(&f.pprof, "pprof", false, "serve /debug/pprof on the admin address")
	fl.DurationVar(&f.grace, "stop-timeout", defaultGrace, "how long a clean stop may take")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		began := time.Now()
		log, err := f.logger(cmd.ErrOrStderr())
		if err != nil {
			return err
		}
		s, idle, err := f.settings(cmd.Flags().Changed, os.Environ())
		if err != nil {
			return err
		}
		o, err := s.options()
		if err != nil {
			return err
		}
		if idle = append(idle, o.idle...); len(idle) > 0 {
			log.Warn("accepted without effect here", "settings", strings.Join(idle, " "))
		}
		o.engine.Log = log
		o.engine.Version = version()
		r := &runner{options: o, flags: f, out: cmd.OutOrStdout(), log: log, began: began}
		return r.run()
	}
	return cmd
}

func (f *serveFlags) logger(w io.Writer) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(f.logLevel)); err != nil {
		return nil, cli.Usage("--log-level %q: want debug, info, warn or error", f.logLevel)
	}
	o := &slog.HandlerOptions{Level: level}
	switch f.logFormat {
	case "text":
		return slog.New(slog.NewTextHandler(w, o)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, o)), nil
	}
	return nil, cli.Usage("--log-format %q: want text or json", f.logFormat)
}

// settings lays the sources over each other, the weakest first, and checks the names.
// idle are those that have no effect here.
func (f *serveFlags) settings(changed func(string) bool, environ []string) (settings, []string, error) {
	s := make(settings)
	if f.config != "" {
		values, err := readProperties(f.config)
		if err != nil {
			return nil, nil, err
		}
		s.add(values, f.config)
	}
	values, skipped := configdef.FromEnv(environ)
	s.add(values, "environment")
	values, err := assignments(f.set)
	if err != nil {
		return nil, nil, err
	}
	s.add(values, "--set")
	for flag, v := range f.flagged() {
		if changed(flag) {
			s[v.name] = setting{v.value, "--" + flag}
		}
	}
	idle, err := s.checkNames()
	return s, append(idle, skipped...), err
}

type named struct{ name, value string }

func (f *serveFlags) flagged() map[string]named {
	return map[string]named{
		"node-id":    {"node.id", strconv.Itoa(int(f.nodeID))},
		"data":       {"log.dirs", f.data},
		"listen":     {setListeners, strings.Join(f.listen, ",")},
		"advertise":  {setAdvertise, strings.Join(f.advertise, ",")},
		"admin":      {setAdmin, f.admin},
		"cores":      {setCores, strconv.Itoa(f.cores)},
		"io":         {setIO, f.io},
		"durability": {setDurability, f.durability},
	}
}
