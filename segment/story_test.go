package segment

import (
	"bytes"
	"testing"

	"millrace/protocol"
)

func TestAppendCommitLocate(t *testing.T) {
	r := newRig(t, 1)
	r.topic(1, 1, DefaultConfig())
	r.open()
	tp := protocol.TopicPartition{Topic: topicID(1)}
	s, l := r.shardOf(tp), r.log(tp)
	if a := s.Admit(1000); a != Admitted {
		t.Fatalf("admission %d", a)
	}
	var want []byte
	var last Seq
	for i := range 10 {
		v := makeBatch(t, 3, 100, r.now.Wall, uint64(i))
		base, seq := s.Append(l, v, 5, r.now.Wall)
		if base != int64(3*i) {
			t.Fatalf("base %d of batch %d", base, i)
		}
		want = append(want, v...)
		last = seq
	}
	if s.Durable() >= last || l.Marks().High != 0 {
		t.Fatal("acknowledged before anything was written")
	}
	r.turn()
	if len(r.waiting) == 0 || r.waiting[0].io == nil || !r.waiting[0].io.Dsync {
		t.Fatalf("no durable write in %v", r.waiting)
	}
	r.settle()
	st := s.Stats()
	if n := st.CommitTime.Count(); n != st.Commits || st.CommitTime.Sum < 1000 ||
		st.CommitSize.Sum != st.CommitBytes {
		t.Fatalf("%d commits, %d measured, in %d µs", st.Commits, n, st.CommitTime.Sum)
	}
	if s.Durable() < last || l.Marks().High != 30 {
		t.Fatalf("durable %d of %d, high %d", s.Durable(), last, l.Marks().High)
	}
	if got := r.readAll(l, 0, 30, 1<<20); !bytes.Equal(got, want) {
		t.Fatal("bytes differ")
	}
	if got := r.readAll(l, 0, 30, 1); !bytes.Equal(got, want) {
		t.Fatal("bytes differ in small pieces")
	}
	if _, where := l.Locate(31, 40, 1, true, nil); where != Above {
		t.Fatalf("above: %d", where)
	}
	if _, where := l.Locate(30, 30, 1, true, nil); where != AtEnd {
		t.Fatalf("at end: %d", where)
	}
	r.crash(false)
	r.open()
	l = r.log(tp)
	if m := l.Marks(); m.End != 30 || m.High != 30 {
		t.Fatalf("after a kill: %+v", m)
	}
	if got := r.readAll(l, 0, 30, 1<<20); !bytes.Equal(got, want) {
		t.Fatal("bytes differ after a kill")
	}
	r.settle()
	r.stop()
	r.open()
	if !r.rep.Clean {
		t.Fatal("the stop was clean")
	}
	if got := r.readAll(r.log(tp), 0, 30, 1<<20); !bytes.Equal(got, want) {
		t.Fatal("bytes differ after a clean stop")
	}
	r.stop()
}
