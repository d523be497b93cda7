package admin

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
)

// Mover brings a partition to another core of the broker, and returns when it is there or
// stays where it was.
type Mover interface {
	Move(topic string, partition int32, core int) error
}

// What a Mover may refuse, by errors.Is; anything else is the broker's trouble.
var (
	ErrNotThere = errors.New("not found")
	ErrNotNow   = errors.New("not now")
)

// moveBytes is the most that the body of a move may have.
const moveBytes = 4096

// Placement says where a partition is: an item of /v1/partitions, the body of a move and
// its answer.
type Placement struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Core      int    `json:"core"`
	Bytes     int64  `json:"bytes,omitempty"`
	In        uint64 `json:"messages_in,omitempty"`
}

// partitionsJSON lists all partitions, or those of ?topic=.
func partitionsJSON(src *shared) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		snap, err := src.get()
		if err != nil {
			answer(w, http.StatusServiceUnavailable, refusal{err.Error()})
			return
		}
		topic := r.URL.Query().Get("topic")
		list := []Placement{}
		for i := range snap.Partitions {
			p := &snap.Partitions[i]
			if topic == "" || p.Topic == topic {
				list = append(list, Placement{p.Topic, p.Partition, p.Core, p.Bytes, p.MessagesIn})
			}
		}
		answer(w, http.StatusOK, list)
	}
}

// move takes JSON only: a form of a foreign web page must not be enough.
func move(m Mover) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
		if kind != "application/json" {
			answer(w, http.StatusUnsupportedMediaType, refusal{"want Content-Type: application/json"})
			return
		}
		var p struct {
			Topic     *string `json:"topic"`
			Partition *int32  `json:"partition"`
			Core      *int    `json:"core"`
		}
		dec := json.NewDecoder(io.LimitReader(r.Body, moveBytes))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&p); err != nil || p.Topic == nil || p.Partition == nil || p.Core == nil {
			answer(w, http.StatusBadRequest, refusal{`want {"topic": "…", "partition": 0, "core": 0}`})
			return
		}
		err := m.Move(*p.Topic, *p.Partition, *p.Core)
		switch {
		case err == nil:
			answer(w, http.StatusOK, Placement{Topic: *p.Topic, Partition: *p.Partition, Core: *p.Core})
		case errors.Is(err, ErrNotThere):
			answer(w, http.StatusNotFound, refusal{err.Error()})
		case errors.Is(err, ErrNotNow):
			answer(w, http.StatusConflict, refusal{err.Error()})
		default:
			answer(w, http.StatusServiceUnavailable, refusal{err.Error()})
		}
	}
}

type refusal struct {
	Error string `json:"error"`
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	_ = enc.Encode(v)
}
