package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand"
	"os"
	"time"
)

// partitions of every topic that holds the fixture.
const partitions = 3

// record is one row of the fixture; a nil slice is a null.
type record struct {
	partition  int32
	key, value []byte
	headers    []header
	timestamp  int64 // milliseconds
}

type header struct {
	name  string
	value []byte
}

// fixture returns the records that every client writes and reads: nulls, empty and binary
// values, text outside ASCII, repeated headers and a value near the limit of one message.
func fixture(now time.Time) []record {
	base := now.Add(-time.Hour).UnixMilli()
	rnd := rand.New(rand.NewSource(7))
	binary := make([]byte, 256)
	for i := range binary {
		binary[i] = byte(i)
	}
	large := make([]byte, 900_000)
	for i := 0; i < len(large); i += 64 { // half noise, half compressible
		_, _ = rnd.Read(large[i:min(i+32, len(large))])
	}
	special := []record{
		{key: []byte("k"), value: []byte("v"), headers: []header{{"h", []byte("1")}}},
		{key: nil, value: []byte("null key")},
		{key: []byte("null value"), value: nil},
		{key: []byte{}, value: []byte{}, headers: []header{{"empty", []byte{}}}},
		{key: []byte("ключ-鍵-🔑"), value: []byte("значение — 値 — 🌊"),
			headers: []header{{"заголовок", []byte("頭")}, {"b", binary}}},
		{key: binary, value: binary, headers: []header{
			{"a", []byte("1")}, {"z", []byte("2")}, {"m", []byte("3")}}},
		{key: []byte("large"), value: large, headers: []header{{"size", []byte("900000")}}},
	}
	var out []record
	for p := range int32(partitions) {
		for _, r := range special {
			r.partition = p
			out = append(out, r)
		}
		for i := range 60 {
			out = append(out, record{
				partition: p,
				key:       fmt.Appendf(nil, "key-%d", i%7),
				value:     fmt.Appendf(nil, `{"partition":%d,"n":%d,"text":"%0*d"}`, p, i, i*3+1, i),
				headers:   []header{{"n", fmt.Appendf(nil, "%d", i)}},
			})
		}
	}
	for i := range out {
		out[i].timestamp = base + int64(i)*37
	}
	return out
}

// writeFixture stores the records as JSON with base64 for bytes, as suites read them.
func writeFixture(path string, records []record) error {
	type row struct {
		P int32    `json:"p"`
		K *string  `json:"k"`
		V *string  `json:"v"`
		H [][2]any `json:"h"`
		T int64    `json:"t"`
	}
	text := func(b []byte) *string {
		if b == nil {
			return nil
		}
		s := base64.StdEncoding.EncodeToString(b)
		return &s
	}
	var all struct {
		Partitions int   `json:"partitions"`
		Records    []row `json:"records"`
	}
	all.Partitions = partitions
	for _, r := range records {
		out := row{P: r.partition, K: text(r.key), V: text(r.value), T: r.timestamp, H: [][2]any{}}
		for _, h := range r.headers {
			out.H = append(out.H, [2]any{h.name, text(h.value)})
		}
		all.Records = append(all.Records, out)
	}
	data, err := json.Marshal(all)
	if err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o644)
}
