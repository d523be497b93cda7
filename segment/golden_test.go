package segment

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"millrace/protocol"
	"millrace/protocol/batch"
)

var rewrite = flag.Bool("rewrite", false, "write what the stories say now")

// TestStories runs testdata/*.txt: a name, commands, and what they print.
//
//	open | turn | io N | settle | stop | crash | kill
//	append records=N bytes=N [p=N]   start p=N to=N   truncate p=N to=N
//	flip FILE AT                     read p=N         files
func TestStories(t *testing.T) {
	names, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(names) == 0 {
		t.Fatalf("no stories: %v", err)
	}
	for _, name := range names {
		t.Run(filepath.Base(name), func(t *testing.T) {
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			for i, s := range strings.Split(string(b), "\n\n") {
				head, _, _ := strings.Cut(s, "----")
				if i > 0 {
					out.WriteString("\n\n")
				}
				out.WriteString(head + "----\n" + strings.TrimSuffix(tell(t, head), "\n"))
			}
			got := strings.TrimRight(out.String(), "\n") + "\n"
			if *rewrite {
				if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if got != string(b) {
				t.Fatalf("the story has changed (-rewrite accepts it):\n%s", got)
			}
		})
	}
}

type teller struct {
	*rig
	out  strings.Builder
	fill uint64
}

// tell runs one story's commands and returns what they print.
func tell(t *testing.T, story string) string {
	w := &teller{rig: newRig(t, 1)}
	w.o.JournalFile, w.o.JournalMax = 256<<10, 1<<20
	w.topic(1, 2, DefaultConfig())
	for line := range strings.Lines(story) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		words := strings.Fields(line)
		args := map[string]int{}
		for _, word := range words[1:] {
			if k, v, ok := strings.Cut(word, "="); ok {
				n, err := strconv.Atoi(v)
				if err != nil {
					t.Fatalf("%s: %v", line, err)
				}
				args[k] = n
			}
		}
		w.do1(words, args)
	}
	return w.out.String()
}

func (w *teller) say(format string, args ...any) { fmt.Fprintf(&w.out, format+"\n", args...) }

func (w *teller) do1(words []string, args map[string]int) {
	tp := protocol.TopicPartition{Topic: topicID(1), Partition: int32(args["p"])}
	switch words[0] {
	case "open":
		w.tellOpen()
	case "turn":
		w.turn()
		w.say("turn: %d in flight, durable %d of %d", len(w.waiting), w.shards[0].Durable(),
			w.shards[0].st.seq)
	case "io":
		n, _ := strconv.Atoi(words[1])
		w.perform(n)
	case "settle":
		w.settle()
		w.say("settled: durable %d of %d", w.shards[0].Durable(), w.shards[0].st.seq)
	case "stop":
		w.stop()
	case "crash":
		w.crash(true)
	case "kill":
		w.crash(false)
	case "append":
		w.fill++
		l := w.log(tp)
		base, seq := l.shard.Append(l,
			makeBatch(w.t, args["records"], args["bytes"], w.now.Wall, w.fill), 1, w.now.Wall)
		w.say("p%d: %d..%d is entry %d", tp.Partition, base, l.Marks().End-1, seq)
	case "start":
		w.log(tp).shard.SetStart(w.log(tp), int64(args["to"]))
	case "truncate":
		w.log(tp).shard.Truncate(w.log(tp), int64(args["to"]), 2)
	case "flip":
		at, err := strconv.ParseInt(words[2], 10, 64)
		if err != nil {
			w.t.Fatal(err)
		}
		w.flip(words[1], at)
	case "read":
		w.tellRead(tp)
	case "files":
		w.say("files: %s.", strings.Join(w.list(partitionDir("/data", "t1", tp.Partition)), " "))
	default:
		w.t.Fatalf("no command %q", words[0])
	}
}

func (w *teller) tellOpen() {
	err := w.openErr()
	var bad *CorruptError
	if errors.As(err, &bad) {
		w.say("refused: %v", bad)
		return
	}
	if err != nil {
		w.t.Fatal(err)
	}
	r := w.rep
	w.say("open %d: clean=%v logs=%d dropped=%d", r.Boot, r.Clean, r.Logs, r.Dropped)
	for _, n := range r.Notes {
		w.say("  %s", n)
	}
	for _, l := range w.shards[0].Logs() {
		if m := l.Marks(); m.End > 0 {
			w.say("  p%d: %d..%d durable=%d", l.TP.Partition, m.Start, m.End-1, m.Durable)
		}
	}
}

func (w *teller) tellRead(tp protocol.TopicPartition) {
	l := w.log(tp)
	m := l.Marks()
	_, where := l.Locate(m.Start, m.High, 1, false, nil)
	names := map[Where]string{InMemory: "memory", Cold: "disk", AtEnd: "nothing"}
	if where == AtEnd {
		w.say("p%d: nothing", tp.Partition)
		return
	}
	n := 0
	for b := w.readAll(l, m.Start, m.High, 4096); len(b) > 0; n++ {
		_, b, _ = batch.Next(b)
	}
	w.say("p%d: %d..%d in %d batches, first from %s", tp.Partition, m.Start, m.High-1, n, names[where])
}
