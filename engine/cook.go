package engine

import (
	"fmt"
	"strings"

	"millrace/protocol"
	"millrace/protocol/batch"
	"millrace/protocol/hot"
	"millrace/raftmeta/configdef"
	"millrace/segment"
)

// Cooking is what a topic's configuration asks to be done to the records themselves:
// another compression, or a look at every key. It runs on a helper, and a partition's
// batches come out in the order they went in.

const (
	// A batch may become inflateTimes the largest batch of its topic when it is inflated,
	// within these bounds: what compression bombs can take is cooksAtOnce times that.
	inflateTimes = 64
	inflateLeast = 16 << 20
	inflateMost  = 256 << 20
	// cooksAtOnce is how many helpers cook for one core.
	cooksAtOnce = 2
	// cookShare of the core's memory budget is the most that batches take which are being
	// cooked or wait for it; then more producers wait.
	cookShare = 8
	// faultsMax is how many records of a batch are named in its refusal.
	faultsMax = 1000
)

// kitchen is a core's cooking.
type kitchen struct {
	running int
	queue   []Job        // wait for a helper
	bytes   int          // of batches in there, and of those that are served but not stored
	ready   []*partition // have batches that wait for storage
}

func (k *kitchen) full(c *Core) bool {
	return k.bytes > 0 && int64(k.bytes) >= c.pool.Budget()/cookShare
}

// start lets helpers begin with what waits for them.
func (k *kitchen) start(c *Core) {
	for k.running < cooksAtOnce && len(k.queue) > 0 {
		k.running++
		c.work(k.queue[0].Run, k.queue[0].Then)
		k.queue[0] = Job{}
		k.queue = k.queue[1:]
	}
	if len(k.queue) == 0 {
		k.queue = nil
	}
}

// cooked is one batch on its way.
type cooked struct {
	share   *produceShare
	part    *producePart
	done    bool
	bytes   int // of the batch, as the kitchen counts it
	view    batch.View
	code    protocol.Code
	faults  []hot.RecordError
	message string
}

// needsCooking says whether the batch cannot be stored as it came, or not yet: the
// batches before it are still being cooked.
func (p *partition) needsCooking(v batch.View) bool {
	cfg := p.topic.cfg
	return len(p.cooking) > 0 || cfg.CleanupCompact ||
		cfg.Compression != configdef.CompressionProducer && int8(cfg.Compression) != int8(v.Codec())
}

// mayCook is needsCooking as far as it is known without the batch.
func (p *partition) mayCook() bool {
	cfg := p.topic.cfg
	return len(p.cooking) > 0 || cfg.CleanupCompact || cfg.Compression != configdef.CompressionProducer
}

// cook sends a copy of the batch to a helper.
func (c *Core) cook(part *partition, s *produceShare, p *producePart, v batch.View) {
	s.open++
	part.cooking = append(part.cooking, cooked{share: s, part: p, bytes: len(v)})
	ticket := part.cooks
	part.cooks++
	c.kitchen.bytes += len(v)
	v = append(batch.View(nil), v...)
	r := recipe{
		cfg: part.topic.cfg, limits: c.scratch.limits, topic: part.topic.meta.Name, index: part.tp.Partition,
	}
	c.kitchen.queue = append(c.kitchen.queue, Job{
		Run: func() any { return r.cook(v) },
		Then: func(c *Core, res any) {
			c.kitchen.running--
			at, done := &part.cooking[ticket-part.cooked], res.(cooked)
			at.done, at.view, at.code = true, done.view, done.code
			at.faults, at.message = done.faults, done.message
			c.kitchen.bytes += len(at.view) - at.bytes
			at.bytes = len(at.view)
			c.serveCooked(part)
			c.kitchen.start(c)
		},
	})
	c.kitchen.start(c)
}

// recipe is what a helper has to know of the partition.
type recipe struct {
	cfg    *configdef.TopicConfig
	limits batch.Limits
	topic  string
	index  int32
}

// inflateLimit is how large a batch may become.
func (r *recipe) inflateLimit() int {
	return min(max(inflateTimes*r.limits.MaxBytes, inflateLeast), inflateMost)
}

// cook is pure.
func (r *recipe) cook(v batch.View) cooked {
	r.limits.Compacted = r.cfg.CleanupCompact
	if r.cfg.CleanupCompact {
		if code, faults := batch.Inspect(v, &r.limits, r.inflateLimit()); code != protocol.None {
			return r.refuse(code, faults)
		}
	}
	to := batch.Codec(r.cfg.Compression)
	if r.cfg.Compression == configdef.CompressionProducer || to == v.Codec() {
		return cooked{view: v}
	}
	w, code := batch.Recompress(v, to, levelOf(r.cfg, to), r.inflateLimit())
	if code == protocol.None && len(w) > r.limits.MaxBytes {
		return cooked{code: protocol.MessageTooLarge}
	}
	return cooked{view: w, code: code}
}

// refuse puts the faults of records into Kafka's words.
func (r *recipe) refuse(code protocol.Code, faults []batch.RecordFault) cooked {
	k := cooked{code: code}
	if len(faults) == 0 {
		return k
	}
	var shown []string
	for i, f := range faults[:min(len(faults), faultsMax)] {
		if code == protocol.InvalidRecord {
			f.Message = fmt.Sprintf("Compacted topic cannot accept message without key in topic partition %s-%d",
				r.topic, r.index)
		}
		k.faults = append(k.faults, hot.RecordError{Index: f.Index, Message: f.Message})
		if i < 3 {
			shown = append(shown, fmt.Sprintf("RecordError(batchIndex=%d, message='%s')", f.Index, f.Message))
		}
	}
	k.message = "One or more records have been rejected due to invalid timestamp"
	if code != protocol.InvalidTimestamp {
		k.message = fmt.Sprintf("One or more records have been rejected due to %d record errors in total, "+
			"and only showing the first three errors at most: [%s]", len(faults), strings.Join(shown, ", "))
	}
	return k
}

func levelOf(cfg *configdef.TopicConfig, to batch.Codec) int {
	switch to {
	case batch.Gzip:
		return int(cfg.GzipLevel)
	case batch.LZ4:
		return int(cfg.Lz4Level)
	case batch.Zstd:
		return int(cfg.ZstdLevel)
	}
	return 0
}

// serveCooked stages what is done, from the front, as far as storage has room.
func (c *Core) serveCooked(part *partition) {
	for len(part.cooking) > 0 && part.cooking[0].done {
		k := &part.cooking[0]
		if k.code == protocol.None && !part.gone {
			code, wait := c.mayStore(len(k.view))
			if wait {
				c.kitchen.wait(part)
				return
			}
			k.code = code
		}
		c.storeCooked(part, k)
		c.kitchen.bytes -= k.bytes
		part.cooking[0] = cooked{}
		part.cooking = part.cooking[1:]
		part.cooked++
	}
	if len(part.cooking) == 0 {
		part.cooking = nil
	}
}

func (c *Core) storeCooked(part *partition, k *cooked) {
	p, seq := k.part, segment.Seq(0)
	p.code, p.faults, p.message = k.code, k.faults, k.message
	switch {
	case part.gone:
		p.code = protocol.UnknownTopicOrPartition
	case k.code != protocol.None:
		c.stats.FailedProduce++
	default:
		seq = c.stage(part, p, k.view)
	}
	c.acks.push(ack{seq: max(seq, c.acks.newest()), share: k.share})
}

// wait lets a partition's batches wait for storage.
func (k *kitchen) wait(part *partition) {
	if !part.served {
		part.served = true
		k.ready = append(k.ready, part)
	}
}

// serve stores what had to wait for room.
func (k *kitchen) serve(c *Core) {
	waiting := k.ready
	k.ready = nil
	for _, part := range waiting {
		part.served = false
		c.serveCooked(part)
	}
}
