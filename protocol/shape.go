package protocol

import (
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"millrace/internal/invariant"
)

//go:embed shapes.txt
var shapesText string

// shapes is what each request looks like, parsed from shapes.txt.
var shapes = parseShapes(shapesText)

// Limits of one request body, before anything is allocated for it.
const (
	// MaxElements is how many elements a body's arrays and tag buffers may have, all
	// together. Kafka 4.4 allows as many in each array.
	MaxElements = 1_000_000
	// MaxTags is Kafka 4.4's limit for one tag buffer.
	MaxTags = 10_000
)

// Errors of Decode and Elements.
var (
	ErrUnserved  = errors.New("protocol: not a request or version of a client listener")
	ErrMalformed = errors.New("protocol: malformed request")
	ErrTooMany   = errors.New("protocol: request has too many elements or tags")
)

type kind int8

const (
	kindFixed kind = iota
	kindString
	kindBytes
	kindArray
	kindStruct
)

// shape is one field of a message: a tree as deep as the message's definition.
type shape struct {
	kind      kind
	size      int // fixed
	nullable  bool
	tag       int // −1: not tagged
	low, high int16
	fields    []shape // of a struct; of an array: its element
}

// Elements walks a request's body and counts its arrays' elements and its tags,
// without allocating: what it lets through is as long as it says, and small enough
// to decode.
func Elements(key Key, version int16, body []byte) (int, error) {
	if !VersionsOf(key).Has(version) || shapes[key] == nil {
		return 0, ErrUnserved
	}
	w := walker{b: body, version: version, flexible: key.IsFlexible(version)}
	w.structure(shapes[key].fields)
	if w.err != nil {
		return 0, w.err
	}
	return w.elements, nil
}

// walker is a bounds-checked walk over one body. After the first error it holds no
// bytes, so every loop of it ends at once.
type walker struct {
	b        []byte
	version  int16
	flexible bool
	elements int
	err      error
}

func (w *walker) fail(err error) {
	if w.err == nil {
		w.err = err
	}
	w.b = nil
}

func (w *walker) skip(n int64) {
	if w.err != nil || n < 0 || n > int64(len(w.b)) {
		w.fail(ErrMalformed)
		return
	}
	w.b = w.b[n:]
}

func (w *walker) uvarint() int64 {
	var v uint64
	for i := 0; i < 5 && i < len(w.b); i++ {
		c := w.b[i]
		v |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			w.b = w.b[i+1:]
			if v > 1<<32-1 {
				break
			}
			return int64(v)
		}
	}
	w.fail(ErrMalformed)
	return 0
}

// length reads a length of width bytes, or a compact one. Null is −1.
func (w *walker) length(width int, nullable bool) int64 {
	var n int64
	switch {
	case w.flexible:
		n = w.uvarint() - 1
	case len(w.b) < width:
		w.fail(ErrMalformed)
	case width == 2:
		n = int64(int16(binary.BigEndian.Uint16(w.b)))
		w.b = w.b[2:]
	default:
		n = int64(int32(binary.BigEndian.Uint32(w.b)))
		w.b = w.b[4:]
	}
	if n < -1 || n == -1 && !nullable || n > int64(len(w.b)) {
		w.fail(ErrMalformed)
		return -1
	}
	return n
}

func (w *walker) structure(fields []shape) {
	tags := 0
	for i := range fields {
		f := &fields[i]
		if w.version < f.low || w.version > f.high {
			continue
		}
		if f.tag >= 0 {
			tags++
			continue
		}
		w.value(f)
	}
	if w.flexible {
		w.tags(fields, tags)
	}
}

func (w *walker) value(s *shape) {
	if w.err != nil {
		return
	}
	switch s.kind {
	case kindFixed:
		w.skip(int64(s.size))
	case kindString:
		w.skip(max(w.length(2, s.nullable), 0))
	case kindBytes:
		w.skip(max(w.length(4, s.nullable), 0))
	case kindArray:
		w.array(s)
	case kindStruct:
		if s.nullable {
			if len(w.b) < 1 {
				w.fail(ErrMalformed)
				return
			}
			null := w.b[0] == 0xff // −1; kmsg and clients write 1 for: present
			w.skip(1)
			if null {
				return
			}
		}
		w.structure(s.fields)
	}
}

func (w *walker) array(s *shape) {
	n := w.length(4, s.nullable)
	if n <= 0 || w.err != nil {
		return
	}
	w.elements += int(n)
	if w.elements > MaxElements {
		w.fail(ErrTooMany)
		return
	}
	element := &s.fields[0]
	if element.kind == kindFixed {
		w.skip(n * int64(element.size))
		return
	}
	for ; n > 0 && w.err == nil; n-- {
		w.value(element)
	}
}

// tags walks a tag buffer. Known tags are walked as the fields they are; the others
// are skipped. A known field must fill its tag.
func (w *walker) tags(fields []shape, known int) {
	n := w.uvarint()
	w.elements += int(n)
	if n > MaxTags || w.elements > MaxElements {
		w.fail(ErrTooMany)
	}
	for ; n > 0 && w.err == nil; n-- {
		number := w.uvarint()
		size := w.uvarint()
		if w.err != nil || size > int64(len(w.b)) {
			w.fail(ErrMalformed)
			return
		}
		rest := w.b[size:]
		if known > 0 {
			w.b = w.b[:size]
			for i := range fields {
				f := &fields[i]
				if int64(f.tag) == number && w.version >= f.low && w.version <= f.high {
					w.value(f)
				}
			}
		}
		if w.err == nil {
			w.b = rest
		}
	}
}

// parseShapes reads shapes.txt. It is our own file: a fault in it is a bug.
func parseShapes(text string) (all [KeyCount]*shape) {
	keys := map[string]Key{}
	for k := range Key(KeyCount) {
		keys[k.String()] = k
	}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		name, rest, _ := strings.Cut(line, " ")
		key, ok := keys[name]
		invariant.Checkf(ok, "shapes.txt: %q", name)
		s, rest := parseShape(rest)
		invariant.Checkf(rest == "", "shapes.txt: %s: %q", name, rest)
		all[key] = &s
	}
	return all
}

func parseShape(in string) (s shape, rest string) {
	s = shape{tag: -1, high: 99}
	if strings.HasPrefix(in, "#") {
		number, after, _ := strings.Cut(in[1:], ":")
		s.tag = mustInt(number)
		in = after
	}
	in, s.nullable = cutMark(in, "?")
	switch in[0] {
	case '(':
		s.kind = kindStruct
		for in = in[1:]; in[0] != ')'; in = strings.TrimPrefix(in, " ") {
			var f shape
			f, in = parseShape(in)
			s.fields = append(s.fields, f)
		}
		in = in[1:]
	case '[':
		s.kind = kindArray
		var element shape
		element, in = parseShape(in[1:])
		s.fields = []shape{element}
		in = in[1:] // the closing bracket
	case 's':
		s.kind, in = kindString, in[1:]
	case 'b':
		s.kind, in = kindBytes, in[1:]
	default:
		n := len(in) - len(strings.TrimLeft(in, "0123456789"))
		s.kind, s.size, in = kindFixed, mustInt(in[:n]), in[n:]
	}
	if strings.HasPrefix(in, "@") {
		n := strings.IndexAny(in, " )]")
		low, high, _ := strings.Cut(in[1:n], "-")
		s.low, in = int16(mustInt(low)), in[n:]
		if high != "" {
			s.high = int16(mustInt(high))
		}
	}
	return s, in
}

func cutMark(in, mark string) (rest string, found bool) {
	rest = strings.TrimPrefix(in, mark)
	return rest, len(rest) != len(in)
}

func mustInt(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		panic(fmt.Sprintf("shapes.txt: number %q", s))
	}
	return n
}
