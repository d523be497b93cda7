package result

import (
	"bytes"
	"strings"
	"testing"
)

// FuzzRead: what is read can be true, and is the same when it is written and read again.
func FuzzRead(f *testing.F) {
	var whole bytes.Buffer
	if err := made(1, 2, 30).Write(&whole); err != nil {
		f.Fatal(err)
	}
	f.Add(whole.Bytes())
	f.Add([]byte(`{"format":"loadgen/1","seconds":1}`))
	f.Add([]byte(`{"format":"loadgen/1","intervals":[{"seconds":1e300}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := Read(bytes.NewReader(data), "x")
		if err != nil {
			return
		}
		var again bytes.Buffer
		if err := r.Write(&again); err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		if _, err := Read(&again, "x"); err != nil {
			t.Fatalf("what was written cannot be read: %v", err)
		}
		_, _ = Merge([]*Run{r, r})
	})
}

// FuzzReadLog: a log that can be read makes a run that can be true.
func FuzzReadLog(f *testing.F) {
	var log bytes.Buffer
	if err := made(1, 2, 30).WriteLog(&log); err != nil {
		f.Fatal(err)
	}
	f.Add(log.String())
	f.Add("#[BaseTime: 5 (x\nTag=a,1,1,1,HISTFAAA")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := ReadLog(strings.NewReader(text), "x")
		if err != nil {
			return
		}
		var again bytes.Buffer
		if err := r.WriteLog(&again); err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzDecode: a histogram of any bytes takes no more memory than is allowed.
func FuzzDecode(f *testing.F) {
	h := NewHistogram()
	_ = h.RecordValue(5_000_000)
	f.Add(Encode(h))
	f.Add("HISTFAAA")
	f.Fuzz(func(t *testing.T, text string) {
		h, err := Decode(text)
		if err != nil {
			return
		}
		if h.ByteSize() > 16*maxCounts {
			t.Fatalf("%d bytes", h.ByteSize())
		}
	})
}
