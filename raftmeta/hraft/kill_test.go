package hraft

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"millrace/raftmeta"
)

// TestMain runs this binary as the victim of TestKill when it is told to.
func TestMain(m *testing.M) {
	if dir := os.Getenv("HRAFT_VICTIM"); dir != "" {
		victim(dir)
	}
	os.Exit(m.Run())
}

// victim creates topics without end, with snapshots and small log files between, and says
// every acknowledged number.
func victim(dir string) {
	q, err := Open(Options{Dir: dir, Node: 1, SegmentBytes: 4 << 10, Trailing: 16})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	fmt.Println("open", q.Image().TopicCount())
	if q.Image().Broker(1) == nil {
		_, _ = ask(q, raftmeta.RegisterBroker{ID: 1})
	}
	slots := make(chan struct{}, 64)
	for i := q.Image().TopicCount(); ; i++ {
		slots <- struct{}{}
		q.Propose(topicNamed(i), func(out raftmeta.Outcome, err error) {
			if err != nil {
				fmt.Println("error", err)
				os.Exit(1)
			}
			if out.Code() == 0 {
				_, _ = os.Stdout.WriteString("ack " + strconv.Itoa(i) + "\n")
			}
			<-slots
		})
		if i%100 == 99 {
			go func() { _ = q.Snapshot() }()
		}
	}
}

// TestKill kills the process at moments all over its life, from the first file on; what was
// acknowledged has to be there at the next start, and nothing has to be mended by hand.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	last, rounds := -1, 25
	if testing.Short() {
		rounds = 5
	}
	for round := range rounds {
		// The first rounds die while the directory is being made.
		d := dir
		if round%5 == 0 {
			d = t.TempDir()
		}
		delay := time.Duration(round*round) * 300 * time.Microsecond
		acked, count := killed(t, d, delay)
		if d != dir {
			reopen(t, d, acked)
			continue
		}
		if count >= 0 && count <= last {
			t.Fatalf("round %d: %d topics after restart, %d was acknowledged", round, count, last)
		}
		last = max(last, acked)
	}
	reopen(t, dir, last)
}

// killed runs the victim for a while and returns the highest acknowledged number and how
// many topics it found (-1: it was killed before).
func killed(t *testing.T, dir string, after time.Duration) (acked, count int) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "HRAFT_VICTIM="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill := time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
	defer kill.Stop()
	acked, count = -1, -1
	for sc := bufio.NewScanner(out); sc.Scan(); {
		word, rest, _ := strings.Cut(sc.Text(), " ")
		n, err := strconv.Atoi(rest)
		switch {
		case word == "error":
			t.Error(sc.Text())
		case err != nil: // cut by the kill
		case word == "open":
			count = n
		case word == "ack":
			acked = max(acked, n)
		}
	}
	_ = cmd.Wait()
	return acked, count
}

func reopen(t *testing.T, dir string, acked int) {
	t.Helper()
	q := mustOpen(t, options(t, dir))
	for i := range acked + 1 {
		if q.Image().Topic(fmt.Sprintf("t%06d", i)) == nil {
			t.Fatalf("topic %d was acknowledged and is gone", i)
		}
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
}
