package raw

import (
	"errors"
	"fmt"
	"hash/crc32"

	"millrace/loadgen/workload"
	"millrace/protocol/batch"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Fields of a record batch that are patched.
const (
	lengthAt    = 8
	crcAt       = 17
	dataAt      = 21 // where what the CRC covers begins
	lastDeltaAt = 23
	baseTimeAt  = 27
	maxTimeAt   = 35
	countAt     = 57
)

// slot is one pre-encoded request of a lane; it is free again when its answer has come.
type slot struct {
	place     int    // over all topics
	buf       []byte // room for a head, the batch, what is behind it
	frame     []byte // of buf: the request as it is encoded now
	batchAt   int    // in buf
	records   int    // of the whole batch
	size      int    // of the whole batch, as it is encoded in the template
	shape     int    // records that are encoded now
	shapeSize int    // bytes of them
	cut       [3]byte
	millis    int64 // the batch's time

	ends   []int32  // behind each record; where batches may be cut
	values []int32  // of each record; where values are stamped
	sizes  []int32  // of the values
	sums   []uint32 // of the values' contents
	plain  []byte   // the batch without compression, where it is compressed as it leaves

	// while it is under way
	n     int // messages
	due   int64
	sent  int64
	first uint64  // number of its first message
	dues  []int64 // of each message, where they have their own
}

// recipe makes the slots of one lane.
type recipe struct {
	w        *workload.Workload
	v        versions
	topics   []string
	stream   int
	streams  int
	run      uint32
	codec    batch.Codec
	stamped  bool
	cuttable bool // batches may leave with fewer messages

	sizer *workload.Sizer
	keyer *workload.Keyer
	pool  *workload.Pool
}

func newRecipe(r *run, stream int) (*recipe, error) {
	pool, err := r.w.NewPool(stream)
	if err != nil {
		return nil, err
	}
	return &recipe{w: r.w, v: r.cluster.versions, topics: r.topics, stream: stream,
		streams: r.lanes, run: r.id, codec: r.codec, stamped: r.w.Stamp, cuttable: r.w.Linger > 0,
		sizer: r.w.NewSizer(stream), keyer: r.w.NewKeyer(stream, r.lanes), pool: pool}, nil
}

// asLeaves says that batches are compressed as they leave.
func (c *recipe) asLeaves() bool { return c.codec != batch.None && (c.stamped || c.cuttable) }

// Enough messages for distributions of sizes and keys to show, and for every value of the pool to
// occur, within this memory.
const (
	enoughMessages = 8192
	enoughBytes    = 16 << 20 // of a lane
	maxTemplates   = 4 << 30  // of all lanes
)

// slots draws messages and batches them for the lane's places, as its connection will send them:
// at least `least` of them.
func (c *recipe) slots(places []int, least int) ([]slot, error) {
	if len(places) == 0 {
		return nil, nil
	}
	varied := c.w.Size.Kind != workload.SizeFixed || c.w.Keys.Kind != workload.KeysNone
	g := gatherer{recipe: c, mine: map[int]*gathering{}, places: places}
	if c.w.Keys.Kind != workload.KeysNone {
		for _, p := range places {
			g.mine[p] = &gathering{}
		}
	}
	var out []slot
	bytes, messages, enough := 0, 0, min(enoughBytes, maxTemplates/2/c.streams)
	want := 0
	if varied {
		want = enoughMessages
	}
	if c.w.Payload.File == "" {
		want = max(want, c.w.Payload.Pool)
	}
	for tries := 0; len(out) < least ||
		messages < want && bytes < enough; tries++ {
		// Few keys need not reach every place, and those of one lane least of all.
		if tries > 1<<20+64*least*c.w.BatchRecords() {
			return nil, errors.New("raw: the keys hardly ever belong to the partitions of one " +
				"connection: want more keys or fewer brokers")
		}
		b, place := g.next()
		if b == nil {
			continue
		}
		s, err := c.slot(b, place)
		if err != nil {
			return nil, err
		}
		b.reset()
		bytes, messages = bytes+len(s.buf)+len(s.plain), messages+s.records
		if bytes > maxTemplates/c.streams {
			return nil, fmt.Errorf("raw: the requests that may be in flight take more than %d GB: want "+
				"fewer connections, fewer in flight or smaller batches", maxTemplates>>30)
		}
		out = append(out, s)
	}
	return out, nil
}

// gathering is the messages of one batch.
type gathering struct {
	keys   [][]byte
	values [][]byte
	bytes  int
}

func (b *gathering) reset() { b.keys, b.values, b.bytes = b.keys[:0], b.values[:0], 0 }

// gatherer draws messages one by one.
type gatherer struct {
	*recipe
	places []int
	turn   int
	one    gathering          // without keys: batch by batch, place by place
	mine   map[int]*gathering // with keys: every place's
	topic  int
}

// room of one record beside its key and value: lengths and deltas, at most.
const recordRoom = 24

// next draws a message; when it completes a batch, or does not fit into it, the batch is returned.
func (g *gatherer) next() (*gathering, int) {
	key, place, ok := g.key()
	if !ok {
		return nil, 0
	}
	value := g.pool.Next(g.sizer.Next())
	b := &g.one
	if key != nil {
		b = g.mine[place]
	} else {
		place = g.places[g.turn%len(g.places)]
	}
	limit := g.w.Batch
	each := len(key) + len(value) + recordRoom
	b.keys, b.values, b.bytes = append(b.keys, key), append(b.values, value), b.bytes+each
	full := limit.Bytes > 0 && b.bytes+each > limit.Bytes-batch.HeaderSize ||
		limit.Bytes == 0 && len(b.values) >= max(1, limit.Records)
	if !full {
		return nil, 0
	}
	g.turn++
	return b, place
}

// key draws the next key that belongs to one of the lane's places.
func (g *gatherer) key() (key []byte, place int, ok bool) {
	n, has := g.keyer.Next()
	if !has {
		return nil, 0, true
	}
	key = g.w.AppendKey(nil, n)
	g.topic = (g.topic + 1) % len(g.topics)
	place = g.topic*g.w.Partitions + workload.PartitionOf(key, g.w.Partitions)
	return key, place, g.mine[place] != nil
}

// slot encodes a batch and its request.
func (c *recipe) slot(b *gathering, place int) (slot, error) {
	live := c.asLeaves()
	o := batch.Options{ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1}
	if !live {
		o.Codec = c.codec
	}
	var bb batch.Builder
	bb.Reset(o)
	for i, v := range b.values {
		bb.Add(0, b.keys[i], v, nil)
	}
	view, err := bb.Finish()
	if err != nil {
		return slot{}, fmt.Errorf("raw: batch: %w", err)
	}
	s := slot{place: place, records: len(b.values), shape: len(b.values), size: view.Size(),
		shapeSize: view.Size()}
	if c.stamped || c.cuttable {
		s.survey(view, c)
	}
	if c.cuttable {
		s.dues = make([]int64, s.records)
	}
	topic := c.topics[place/c.w.Partitions]
	head := c.v.produceHead(nil, topic, int32(place%c.w.Partitions), c.w.Acks, 1<<30)
	s.batchAt = len(head)
	room := view.Size()
	if live {
		s.plain = append([]byte(nil), view...)
		room += room/8 + 4096 // what does not compress grows a little
	}
	s.buf = make([]byte, s.batchAt+room+c.v.produceTail())
	copy(s.buf[s.batchAt:], view)
	c.enframe(&s)
	return s, nil
}

// survey notes where records end and where values lie.
func (s *slot) survey(view batch.View, c *recipe) {
	at := batch.HeaderSize
	for it := view.Records(view.RecordBytes()); it.Next(); {
		r := &it.Record
		at += r.Size()
		s.ends = append(s.ends, int32(at))
		if c.stamped {
			// The header count, one byte, is behind the value.
			s.values = append(s.values, int32(at-1-len(r.Value)))
			s.sizes = append(s.sizes, int32(len(r.Value)))
			s.sums = append(s.sums, workload.ContentSum(r.Value))
		}
	}
}

// enframe writes the head before the encoded batch, right-aligned, and the tags behind it.
func (c *recipe) enframe(s *slot) {
	topic := c.topics[s.place/c.w.Partitions]
	var scratch [512]byte
	head := c.v.produceHead(scratch[:0], topic, int32(s.place%c.w.Partitions), c.w.Acks, s.shapeSize)
	from, to := s.batchAt-len(head), s.batchAt+s.shapeSize
	copy(s.buf[from:], head)
	tail := s.buf[to : to+c.v.produceTail()]
	copy(s.cut[:], tail)
	clear(tail)
	s.frame = s.buf[from : to+len(tail)]
}

// stale is how old a batch's time may become.
const stale = 1000 // ms

// encode brings the slot's request up to n messages, due when its fields say so.
func (c *recipe) encode(s *slot, millis int64) error {
	if c.asLeaves() {
		return c.compress(s, millis)
	}
	if s.n == s.shape && !c.stamped && millis-s.millis < stale {
		return nil
	}
	if s.n != s.shape {
		copy(s.buf[s.batchAt+s.shapeSize:], s.cut[:c.v.produceTail()])
		s.shape, s.shapeSize = s.n, s.size
		if s.n < s.records {
			s.shapeSize = int(s.ends[s.n-1])
		}
		c.enframe(s)
	}
	c.patch(s, s.buf[s.batchAt:s.batchAt+s.shapeSize], millis)
	return nil
}

// patch renews what changes in a batch: stamps, counts, times, checksum.
func (c *recipe) patch(s *slot, b []byte, millis int64) {
	if c.stamped {
		stamp := workload.Stamp{Stream: uint32(c.stream), Run: c.run, Due: s.due}
		for i := range s.n {
			stamp.Number = s.first + uint64(i)
			if s.dues != nil {
				stamp.Due = s.dues[i]
			}
			at := s.values[i]
			stamp.Put(b[at:at+s.sizes[i]], s.sums[i])
		}
	}
	s.millis = millis
	be.PutUint32(b[lengthAt:], uint32(len(b)-lengthAt-4))
	be.PutUint32(b[lastDeltaAt:], uint32(s.n-1))
	be.PutUint64(b[baseTimeAt:], uint64(millis))
	be.PutUint64(b[maxTimeAt:], uint64(millis))
	be.PutUint32(b[countAt:], uint32(s.n))
	be.PutUint32(b[crcAt:], crc32.Checksum(b[dataAt:], castagnoli))
}

// compress makes the batch anew from its plain form.
func (c *recipe) compress(s *slot, millis int64) error {
	size := len(s.plain)
	if s.n < s.records {
		size = int(s.ends[s.n-1])
	}
	plain := s.plain[:size]
	c.patch(s, plain, millis)
	view, code := batch.Recompress(batch.View(plain), c.codec, batch.DefaultLevel, len(plain))
	if code != 0 {
		return fmt.Errorf("raw: compressing a batch: %w", code)
	}
	if need := s.batchAt + len(view) + c.v.produceTail(); need > len(s.buf) {
		s.buf = append(s.buf, make([]byte, need-len(s.buf))...)
	}
	copy(s.buf[s.batchAt:], view)
	s.shape, s.shapeSize = s.n, len(view)
	c.enframe(s)
	return nil
}
