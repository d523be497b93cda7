package batch

import (
	"encoding/binary"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// DefaultLevel asks for the codec's own default, as compression.gzip.level −1 does.
const DefaultLevel = -1

// snappyBlock is how much snappy-java puts into one block.
const snappyBlock = 32 << 10

// deflate appends plain, compressed, to dst. Levels are Kafka's: gzip 1–9, lz4 1–17,
// zstd −131072–22; snappy has none. Levels that a Go codec has not are the nearest
// that it has.
func deflate(dst, plain []byte, c Codec, level int) ([]byte, error) {
	out := appender{dst}
	switch c {
	case None:
		return append(dst, plain...), nil
	case Gzip:
		w, err := gzip.NewWriterLevel(&out, gzipLevel(level))
		if err != nil {
			return nil, fmt.Errorf("batch: gzip: %w", err)
		}
		return finish(&out, w, plain)
	case Snappy:
		return deflateSnappy(dst, plain), nil
	case LZ4:
		w := lz4.NewWriter(&out)
		// As Kafka's own frames: Java refuses frames whose blocks depend on each other.
		err := w.Apply(lz4.BlockSizeOption(lz4.Block64Kb), lz4.ChecksumOption(false),
			lz4.ConcurrencyOption(1), lz4.CompressionLevelOption(lz4Level(level)))
		if err != nil {
			return nil, fmt.Errorf("batch: lz4: %w", err)
		}
		return finish(&out, w, plain)
	case Zstd:
		pool := &zstdEncoders[zstdLevel(level)]
		w, _ := pool.Get().(*zstd.Encoder)
		if w == nil {
			var err error
			w, err = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true),
				zstd.WithEncoderCRC(false), zstd.WithEncoderLevel(zstdLevel(level)))
			if err != nil {
				return nil, fmt.Errorf("batch: zstd: %w", err)
			}
		}
		defer pool.Put(w)
		return w.EncodeAll(plain, dst), nil
	}
	return nil, ErrCodec
}

// appender is an io.Writer onto a slice.
type appender struct{ b []byte }

func (a *appender) Write(p []byte) (int, error) {
	a.b = append(a.b, p...)
	return len(p), nil
}

func finish(out *appender, w io.WriteCloser, plain []byte) ([]byte, error) {
	if _, err := w.Write(plain); err != nil {
		return nil, fmt.Errorf("batch: compress: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("batch: compress: %w", err)
	}
	return out.b, nil
}

// deflateSnappy writes snappy-java's framing, which every client reads.
func deflateSnappy(dst, plain []byte) []byte {
	dst = append(dst, xerial...)
	dst = binary.BigEndian.AppendUint32(dst, 1) // version
	dst = binary.BigEndian.AppendUint32(dst, 1) // lowest compatible version
	var block []byte
	for len(plain) > 0 {
		n := min(len(plain), snappyBlock)
		block = snappy.Encode(block[:cap(block)], plain[:n])
		dst = binary.BigEndian.AppendUint32(dst, uint32(len(block)))
		dst = append(dst, block...)
		plain = plain[n:]
	}
	return dst
}

func gzipLevel(level int) int {
	if level < 1 || level > 9 {
		return gzip.DefaultCompression
	}
	return level
}

// lz4Level maps lz4's 1–17: below 3 it is the fast method, and 3 and above are the
// high-compression method, of which Go's codec has the levels up to 9.
func lz4Level(level int) lz4.CompressionLevel {
	if level < 3 {
		return lz4.Fast
	}
	return lz4.Level1 << (min(level, 9) - 1)
}

// zstdEncoders keeps encoders, whose tables take megabytes, by level.
var zstdEncoders [zstd.SpeedBestCompression + 1]sync.Pool

func zstdLevel(level int) zstd.EncoderLevel {
	if level == DefaultLevel {
		return zstd.SpeedDefault
	}
	return zstd.EncoderLevelFromZstd(level)
}
