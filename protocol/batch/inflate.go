package batch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"

	"millrace/internal/invariant"
)

// Errors of Inflate.
var (
	ErrInflate = errors.New("batch: compressed records are corrupt")
	ErrTooBig  = errors.New("batch: records inflate beyond the cap")
	ErrCodec   = errors.New("batch: unknown codec")
)

const (
	inflateChunk = 64 << 10
	// snappyRatio bounds what snappy can expand: a copy of 64 bytes takes 3.
	snappyRatio = 22
	// zstdWindow is libzstd's largest window without a special flag (2^27).
	zstdWindow = 128 << 20
)

// xerial is the framing of snappy-java, which Java clients write: magic, two
// versions, then blocks of length and raw snappy.
var xerial = []byte{0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0}

const xerialHeader = 16

// Inflate returns the records without compression, never more than limit bytes. For
// codec None these are the batch's own; otherwise they are appended to dst[:0].
// It is for cold paths: codecs allocate.
func (v View) Inflate(dst []byte, limit int) ([]byte, error) {
	src := v.RecordBytes()
	switch v.Codec() {
	case None:
		if len(src) > limit {
			return nil, ErrTooBig
		}
		return src, nil
	case Gzip:
		r, err := gzip.NewReader(bytes.NewReader(src))
		if err != nil {
			return nil, fmt.Errorf("%w: gzip: %w", ErrInflate, err)
		}
		defer r.Close()
		return readAll(dst[:0], r, limit)
	case Snappy:
		return inflateSnappy(dst[:0], src, limit)
	case LZ4:
		return readAll(dst[:0], lz4.NewReader(bytes.NewReader(src)), limit)
	case Zstd:
		return inflateZstd(dst[:0], src, limit)
	}
	return nil, ErrCodec
}

// readAll appends all of r to dst, growing by what really arrives.
func readAll(dst []byte, r io.Reader, limit int) ([]byte, error) {
	for idle := 0; idle < 100; idle++ {
		if len(dst) == cap(dst) {
			grown := make([]byte, len(dst), 2*cap(dst)+inflateChunk)
			copy(grown, dst)
			dst = grown
		}
		n, err := r.Read(dst[len(dst):cap(dst)])
		dst = dst[:len(dst)+n]
		if n > 0 {
			idle = 0
		}
		if len(dst) > limit {
			return nil, ErrTooBig
		}
		if err == io.EOF {
			return dst, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrInflate, err)
		}
	}
	return nil, fmt.Errorf("%w: %w", ErrInflate, io.ErrNoProgress)
}

func inflateSnappy(dst, src []byte, limit int) ([]byte, error) {
	if !bytes.HasPrefix(src, xerial) {
		return appendSnappy(dst, src, limit)
	}
	if len(src) < xerialHeader {
		return nil, ErrInflate
	}
	src = src[xerialHeader:]
	for len(src) > 0 {
		if len(src) < 4 {
			return nil, ErrInflate
		}
		n := int64(int32(binary.BigEndian.Uint32(src)))
		src = src[4:]
		if n < 0 || n > int64(len(src)) {
			return nil, ErrInflate
		}
		var err error
		if dst, err = appendSnappy(dst, src[:n], limit); err != nil {
			return nil, err
		}
		src = src[n:]
	}
	return dst, nil
}

// appendSnappy checks the claimed length against what src can hold before it
// allocates.
func appendSnappy(dst, src []byte, limit int) ([]byte, error) {
	n, err := snappy.DecodedLen(src)
	if err != nil || n > snappyRatio*len(src) {
		return nil, ErrInflate
	}
	if n > limit-len(dst) {
		return nil, ErrTooBig
	}
	at := len(dst)
	if cap(dst)-at < n {
		grown := make([]byte, at, max(2*cap(dst), at+n))
		copy(grown, dst)
		dst = grown
	}
	out, err := snappy.Decode(dst[at:at+n:at+n], src)
	if err != nil {
		return nil, fmt.Errorf("%w: snappy: %w", ErrInflate, err)
	}
	if len(out) != n {
		return nil, ErrInflate
	}
	return dst[:at+n], nil
}

var zstdDecoders = sync.Pool{New: func() any {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecodeAllCapLimit(true), zstd.WithDecoderMaxWindow(zstdWindow))
	invariant.Check(err == nil) // only options can fail
	return d
}}

// inflateZstd decodes into memory that it sizes itself, because a frame may lie about
// its window and its content: a buffer that proves too small is doubled.
func inflateZstd(dst, src []byte, limit int) ([]byte, error) {
	d := zstdDecoders.Get().(*zstd.Decoder)
	defer zstdDecoders.Put(d)
	size := 4*len(src) + inflateChunk
	var h zstd.Header
	if h.Decode(src) == nil && h.HasFCS {
		if h.FrameContentSize > uint64(limit) {
			return nil, ErrTooBig
		}
		size = max(int(h.FrameContentSize), 1)
	}
	for size = min(size, limit); ; size = min(2*size, limit) {
		if cap(dst) < size {
			dst = make([]byte, 0, size)
		}
		out, err := d.DecodeAll(src, dst[:0:size])
		if err == nil {
			return out, nil
		}
		if !errors.Is(err, zstd.ErrDecoderSizeExceeded) {
			return nil, fmt.Errorf("%w: zstd: %w", ErrInflate, err)
		}
		if size >= limit {
			return nil, ErrTooBig
		}
	}
}
