package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// fakeMover notes what it was asked, and refuses with err.
type fakeMover struct {
	asked []Placement
	err   error
}

func (m *fakeMover) Move(topic string, partition int32, core int) error {
	m.asked = append(m.asked, Placement{Topic: topic, Partition: partition, Core: core})
	return m.err
}

func TestPartitions(t *testing.T) {
	src := sample()
	src.snap.Partitions[1].Core = 1
	src.snap.Partitions = append(src.snap.Partitions, src.snap.Partitions[0])
	src.snap.Partitions[2].Topic = "other"
	h := Handler(Options{Source: src, Log: slog.New(slog.DiscardHandler)})
	for path, want := range map[string]string{
		"/v1/partitions":            "t-0@0 t-1@1 other-0@0 ",
		"/v1/partitions?topic=t":    "t-0@0 t-1@1 ",
		"/v1/partitions?topic=none": "",
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		var list []Placement
		if err := json.Unmarshal(w.Body.Bytes(), &list); err != nil || w.Code != http.StatusOK {
			t.Fatalf("%s: %d %v", path, w.Code, err)
		}
		got := ""
		for _, p := range list {
			got += fmt.Sprintf("%s-%d@%d ", p.Topic, p.Partition, p.Core)
		}
		if got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
}

func TestMove(t *testing.T) {
	m := &fakeMover{}
	h := Handler(Options{Source: sample(), Mover: m, Log: slog.New(slog.DiscardHandler)})
	post := func(kind, body string) (int, string) {
		r := httptest.NewRequest(http.MethodPost, "/v1/partitions/move", strings.NewReader(body))
		r.Header.Set("Content-Type", kind)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		text, _ := io.ReadAll(w.Body)
		return w.Code, string(text)
	}
	const right = `{"topic":"t","partition":2,"core":1}`
	for _, c := range []struct {
		kind, body string
		err        error
		status     int
	}{
		{"application/json", right, nil, 200},
		{"application/json; charset=utf-8", right, nil, 200},
		{"application/json", right, fmt.Errorf("%w: no such partition", ErrNotThere), 404},
		{"application/json", right, fmt.Errorf("%w: another", ErrNotNow), 409},
		{"application/json", right, errors.New("dead"), 503},
		{"application/x-www-form-urlencoded", right, nil, 415},
		{"text/plain", right, nil, 415},
		{"application/json", `{"topic":"t","partition":2}`, nil, 400},
		{"application/json", `{"topic":"t","partition":2,"core":1,"more":1}`, nil, 400},
		{"application/json", `{"topic":"t","partition":99999999999,"core":1}`, nil, 400},
		{"application/json", "", nil, 400},
		{"application/json", `{"topic":"` + strings.Repeat("x", 2*moveBytes) + `","partition":2,"core":1}`, nil, 400},
	} {
		m.asked, m.err = nil, c.err
		status, text := post(c.kind, c.body)
		if status != c.status {
			t.Errorf("%s %.60s: %d %s, want %d", c.kind, c.body, status, text, c.status)
		}
		if asked := len(m.asked) > 0; asked != (c.body == right && c.status != 415) {
			t.Errorf("%s %.60s: asked %v", c.kind, c.body, m.asked)
		}
		if len(m.asked) > 0 && m.asked[0] != (Placement{Topic: "t", Partition: 2, Core: 1}) {
			t.Errorf("asked %+v", m.asked[0])
		}
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/v1/partitions/move", nil))
	if w.Code == http.StatusOK {
		t.Error("a GET moves")
	}
	without := Handler(Options{Source: sample(), Log: slog.New(slog.DiscardHandler)})
	w = httptest.NewRecorder()
	without.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/v1/partitions/move", strings.NewReader(right)))
	if w.Code == http.StatusOK {
		t.Error("moved without a mover")
	}
}
