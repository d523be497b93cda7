package cli

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// adminServer answers as a broker's admin server and notes the bodies that it gets.
func adminServer(t *testing.T, status int, answer string) (addr string, got *[]string) {
	got = new([]string)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		*got = append(*got, r.Method+" "+r.URL.String()+" "+r.Header.Get("Content-Type")+" "+string(body))
		w.WriteHeader(status)
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://"), got
}

func TestClusterCores(t *testing.T) {
	addr, got := adminServer(t, http.StatusOK,
		`[{"topic":"a b","partition":0,"core":1,"bytes":12,"messages_in":3},{"topic":"a b","partition":1,"core":0}]`)
	code, out, errs := run("cluster", "cores", "--admin", addr, "--topic", "a b")
	if code != ExitOK || !strings.Contains(out, "MESSAGES-IN") || strings.Count(out, "a b") != 2 {
		t.Errorf("code %d, stdout %q, stderr %q", code, out, errs)
	}
	if len(*got) != 1 || (*got)[0] != "GET /v1/partitions?topic=a+b  " {
		t.Errorf("asked %q", *got)
	}
	code, out, _ = run("cluster", "cores", "--admin", addr, "--json")
	var rows []placement
	if err := json.Unmarshal([]byte(out), &rows); code != ExitOK || err != nil || len(rows) != 2 || rows[0].Core != 1 {
		t.Errorf("code %d, %q: %v", code, out, err)
	}
}

func TestClusterMove(t *testing.T) {
	move := []string{"cluster", "move", "--topic", "t", "--partition", "3", "--core", "1", "--admin"}
	addr, got := adminServer(t, http.StatusOK, `{"topic":"t","partition":3,"core":1}`)
	if code, out, errs := run(append(move, addr)...); code != ExitOK || !strings.Contains(out, "CORE") {
		t.Errorf("code %d, stdout %q, stderr %q", code, out, errs)
	}
	const want = `POST /v1/partitions/move application/json {"core":1,"partition":3,"topic":"t"}`
	if len(*got) != 1 || (*got)[0] != want {
		t.Errorf("asked %q", *got)
	}
	addr, _ = adminServer(t, http.StatusConflict, `{"error":"not now: another partition is on its way"}`)
	if code, _, errs := run(append(move, addr)...); code != ExitFailed || !strings.Contains(errs, "another partition") {
		t.Errorf("code %d, stderr %q", code, errs)
	}
	addr, _ = adminServer(t, http.StatusNotFound, `404 page not found`)
	if code, _, errs := run(append(move, addr)...); code != ExitFailed || !strings.Contains(errs, "404") {
		t.Errorf("code %d, stderr %q", code, errs)
	}
	if code, _, errs := run(append(move, "127.0.0.1:1")...); code != ExitUnreachable {
		t.Errorf("code %d, stderr %q", code, errs)
	}
	if code, _, errs := run("cluster", "move", "--topic", "t"); code != ExitUsage || !strings.Contains(errs, "partition") {
		t.Errorf("code %d, stderr %q", code, errs)
	}
}
