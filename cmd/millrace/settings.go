package main

import (
	"fmt"
	"sort"
	"strconv"
	"strings"

	"millrace/internal/cli"
)

// settings are server properties by name, each with where it came from, so that a
// refusal can say it.
type settings map[string]setting

type setting struct {
	value  string
	origin string // "--set", "KAFKA_… in the environment", a file's name
}

// The names that are this program's own; everything else is Kafka's.
const (
	setAdmin      = "admin.listener"    // HOST:PORT of the admin HTTP server
	setInsecure   = "allow.insecure"    // plaintext without authentication beyond loopback
	setCache      = "cache.bytes"       // written chunks kept for readers, all cores
	setCores      = "cores"             // threads that serve
	setDurability = "durability"        // fsync or write
	setIO         = "io"                // auto, uring or epoll
	setJournal    = "journal.max.bytes" // all cores' journals
	setJournalDir = "journal.dir"       // of the journal files, perhaps on another disk
	setJournals   = "journal.count"     // cores that own partitions
	setMemory     = "memory.bytes"      // off-heap memory, all cores
)

var own = map[string]bool{
	setAdmin: true, setInsecure: true, setCache: true, setCores: true,
	setDurability: true, setIO: true, setJournal: true, setJournalDir: true, setJournals: true, setMemory: true,
}

// prefixed is the second spelling of the own names, for files that keep vendors apart.
const prefixed = "millrace."

// ownName gives the short form of an own name in either spelling.
func ownName(name string) (string, bool) {
	short := strings.TrimPrefix(name, prefixed)
	return short, own[short]
}

// add lays values over what is there: call it from the weakest source to the strongest.
func (s settings) add(values map[string]string, origin string) {
	for name, v := range values {
		if short, isOwn := ownName(name); isOwn {
			name = short
		}
		s[name] = setting{strings.TrimSpace(v), origin}
	}
}

// split parts Kafka's names from ours.
func (s settings) split() (kafka map[string]string) {
	kafka = make(map[string]string)
	for name, v := range s {
		if !own[name] {
			kafka[name] = v.value
		}
	}
	return kafka
}

func (s settings) names() []string {
	out := make([]string, 0, len(s))
	for name := range s {
		out = append(out, name)
	}
	sort.Strings(out)
	return out
}

func (s settings) text(name, otherwise string) string {
	if v, given := s[name]; given {
		return v.value
	}
	return otherwise
}

// refuse is the error for an impossible value: name, value, where from, why.
func (s settings) refuse(name, format string, args ...any) error {
	v := s[name]
	return cli.Usage("%s=%s (%s): %s", name, v.value, v.origin, fmt.Sprintf(format, args...))
}

// number reads an integer within bounds into dst; without a setting dst stays.
func number[T int | int32 | int64](s settings, name string, dst *T, least, most int64) error {
	v, given := s[name]
	if !given {
		return nil
	}
	n, err := strconv.ParseInt(v.value, 10, 64)
	switch {
	case err != nil:
		return s.refuse(name, "not a whole number")
	case n < least:
		return s.refuse(name, "at least %d", least)
	case n > most:
		return s.refuse(name, "at most %d", most)
	}
	*dst = T(n)
	return nil
}

func boolean(s settings, name string, dst *bool) error {
	v, given := s[name]
	if !given {
		return nil
	}
	switch strings.ToLower(v.value) {
	case "true":
		*dst = true
	case "false":
		*dst = false
	default:
		return s.refuse(name, "want true or false")
	}
	return nil
}

func choice(s settings, name string, dst *string, words ...string) error {
	v, given := s[name]
	if !given {
		return nil
	}
	for _, w := range words {
		if v.value == w {
			*dst = w
			return nil
		}
	}
	return s.refuse(name, "want %s", strings.Join(words, ", "))
}

// assignments reads --set arguments.
func assignments(args []string) (map[string]string, error) {
	out := make(map[string]string)
	for _, a := range args {
		name, value, found := strings.Cut(a, "=")
		name = strings.TrimSpace(name)
		if !found || name == "" {
			return nil, cli.Usage("--set %q: want name=value", a)
		}
		out[name] = value
	}
	return out, nil
}
