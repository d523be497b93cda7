package hraft

import (
	"context"
	"io"
	"log"
	"log/slog"

	"github.com/hashicorp/go-hclog"
)

// logger hands the library's words from Warn up to slog. onError, if set, sees every
// message of level Error: raft-wal tells failures of its background work in no other way.
type logger struct {
	to      *slog.Logger
	name    string
	args    []any
	onError func(msg string, args []any)
}

var _ hclog.Logger = (*logger)(nil)

func (l *logger) Log(level hclog.Level, msg string, args ...any) {
	if level < hclog.Warn || level == hclog.Off {
		return
	}
	to := slog.LevelWarn
	if level >= hclog.Error {
		to = slog.LevelError
		if l.onError != nil {
			l.onError(msg, args)
		}
	}
	all := make([]any, 0, 2+len(l.args)+len(args))
	all = append(all, "from", l.name)
	all = append(append(all, l.args...), args...)
	for i, a := range all {
		if f, ok := a.(hclog.Format); ok && len(f) > 0 {
			all[i] = f[0]
		}
	}
	l.to.Log(context.Background(), to, msg, all...)
}

func (l *logger) Trace(string, ...any)          {}
func (l *logger) Debug(string, ...any)          {}
func (l *logger) Info(string, ...any)           {}
func (l *logger) Warn(msg string, args ...any)  { l.Log(hclog.Warn, msg, args...) }
func (l *logger) Error(msg string, args ...any) { l.Log(hclog.Error, msg, args...) }

func (l *logger) IsTrace() bool { return false }
func (l *logger) IsDebug() bool { return false }
func (l *logger) IsInfo() bool  { return false }
func (l *logger) IsWarn() bool  { return true }
func (l *logger) IsError() bool { return true }

func (l *logger) ImpliedArgs() []any { return l.args }

func (l *logger) With(args ...any) hclog.Logger {
	n := *l
	n.args = append(append([]any(nil), l.args...), args...)
	return &n
}

func (l *logger) Name() string { return l.name }

func (l *logger) Named(name string) hclog.Logger { return l.ResetNamed(l.name + "." + name) }

func (l *logger) ResetNamed(name string) hclog.Logger {
	n := *l
	n.name = name
	return &n
}

func (l *logger) SetLevel(hclog.Level)  {}
func (l *logger) GetLevel() hclog.Level { return hclog.Warn }

func (l *logger) StandardLogger(*hclog.StandardLoggerOptions) *log.Logger {
	return slog.NewLogLogger(l.to.Handler(), slog.LevelWarn)
}

func (l *logger) StandardWriter(o *hclog.StandardLoggerOptions) io.Writer {
	return l.StandardLogger(o).Writer()
}
