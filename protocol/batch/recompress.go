package batch

import (
	"encoding/binary"

	"millrace/protocol"
)

// Recompress writes the batch anew with another codec, for a topic whose
// compression.type is not "producer". Records, offsets, times, headers and producer
// fields stay as they are; MaxTimestamp becomes the greatest time that really occurs,
// as Kafka makes it. Limit bounds what the records may inflate to. It allocates and
// belongs off the cores.
func Recompress(v View, to Codec, level, limit int) (View, protocol.Code) {
	plain, err := v.Inflate(nil, limit)
	if err != nil {
		return nil, inflateCode(err)
	}
	greatest, code := checkRecords(v, plain, nil)
	if code != protocol.None {
		return nil, code
	}
	out := make([]byte, HeaderSize, HeaderSize+len(plain))
	copy(out, v[:HeaderSize])
	out, err = deflate(out, plain, to, level)
	if err != nil {
		return nil, protocol.UnsupportedCompressionType
	}
	if int64(len(out))-LogOverhead > 1<<31-1 {
		return nil, protocol.MessageTooLarge
	}
	w := View(out)
	binary.BigEndian.PutUint32(w[posLength:], uint32(len(w)-LogOverhead))
	w[posAttributes+1] = w[posAttributes+1]&^attrCodec | byte(to)
	if !v.IsLogAppendTime() {
		binary.BigEndian.PutUint64(w[posMaxTimestamp:], uint64(greatest))
	}
	w.rehash()
	return w, protocol.None
}
