package engine

import (
	"unsafe"

	"millrace/netio"
)

func unsafeBytes(v netio.Vec) []byte { return unsafe.Slice(v.Base, v.Len) }
