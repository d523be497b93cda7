package batch

// Zigzag varints, as records use them. The reader is bounds-checked and takes at
// most ten bytes; what does not fit is an error, never a wrong number.

func appendVarint(b []byte, v int64) []byte {
	u := uint64(v<<1) ^ uint64(v>>63)
	for u >= 0x80 {
		b = append(b, byte(u)|0x80)
		u >>= 7
	}
	return append(b, byte(u))
}

func varintSize(v int64) int {
	u := uint64(v<<1) ^ uint64(v>>63)
	n := 1
	for ; u >= 0x80; u >>= 7 {
		n++
	}
	return n
}

// readVarint returns how many bytes it took; 0 or less means that b has no varint.
func readVarint(b []byte) (v int64, n int) {
	if len(b) > 0 && b[0] < 0x80 { // most are that small
		return int64(b[0]>>1) ^ -int64(b[0]&1), 1
	}
	return readLongVarint(b)
}

func readLongVarint(b []byte) (v int64, n int) {
	var u uint64
	for i := 0; i < len(b) && i < 10; i++ {
		c := b[i]
		if i == 9 && c > 1 {
			return 0, -1
		}
		u |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			return int64(u>>1) ^ -int64(u&1), i + 1
		}
	}
	return 0, 0
}

// cursor walks record bytes. After the first failure it is bad and returns zeros.
type cursor struct {
	b   []byte
	bad bool
}

func (c *cursor) varlong() int64 {
	v, n := readVarint(c.b)
	if n <= 0 {
		c.bad, c.b = true, nil
		return 0
	}
	c.b = c.b[n:]
	return v
}

func (c *cursor) varint() int32 {
	v := c.varlong()
	if v != int64(int32(v)) {
		c.bad, c.b = true, nil
		return 0
	}
	return int32(v)
}

func (c *cursor) int8() int8 {
	if len(c.b) < 1 {
		c.bad = true
		return 0
	}
	v := c.b[0]
	c.b = c.b[1:]
	return int8(v)
}

// bytes reads a length and as many bytes; −1 is null.
func (c *cursor) bytes() []byte {
	n := c.varint()
	if c.bad || n == -1 {
		return nil
	}
	if n < 0 || int(n) > len(c.b) {
		c.bad, c.b = true, nil
		return nil
	}
	v := c.b[:n:n]
	c.b = c.b[n:]
	if v == nil {
		v = []byte{}
	}
	return v
}
