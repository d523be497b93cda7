// Package randmsg fills kmsg messages with random contents, for tests that hold our
// codecs against kmsg's.
//
// Not its job: meaningful contents. Data in: a seeded source, an empty message. Data
// out: the message, every field set, arrays short, nulls where pointers allow them.
package randmsg

import (
	"math/rand/v2"
	"reflect"

	"github.com/twmb/franz-go/pkg/kmsg"
)

const letters = "abcdefghijklmnopqrstuvwxyz.-_ABC"

// Fill sets every field of the message that v points to. Unknown tags get numbers
// from 100, beyond every known one.
func Fill(r *rand.Rand, v any) { fill(r, reflect.ValueOf(v).Elem()) }

var tagsType = reflect.TypeFor[kmsg.Tags]()

func fill(r *rand.Rand, v reflect.Value) {
	if v.Type() == tagsType {
		tags := v.Addr().Interface().(*kmsg.Tags)
		for i := range r.Uint32N(3) {
			tags.Set(100+i, []byte(word(r)))
		}
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(r.IntN(2) == 1)
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(r.Int64() >> r.IntN(64))
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(r.Uint64())
	case reflect.Float64:
		v.SetFloat(r.NormFloat64())
	case reflect.String:
		v.SetString(word(r))
	case reflect.Pointer:
		if r.IntN(3) > 0 {
			v.Set(reflect.New(v.Type().Elem()))
			fill(r, v.Elem())
		}
	case reflect.Array:
		for i := range v.Len() {
			fill(r, v.Index(i))
		}
	case reflect.Slice:
		n := r.IntN(4)
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			fill(r, v.Index(i))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			f := v.Type().Field(i)
			if f.IsExported() && f.Name != "Version" {
				fill(r, v.Field(i))
			}
		}
	}
}

func word(r *rand.Rand) string {
	b := make([]byte, r.IntN(20))
	if r.IntN(10) == 0 {
		b = make([]byte, 100+r.IntN(200)) // compact lengths of two bytes
	}
	for i := range b {
		b[i] = letters[r.IntN(len(letters))]
	}
	return string(b)
}
