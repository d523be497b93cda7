package engine

import (
	"millrace/protocol"
	"millrace/protocol/batch"
	"millrace/raftmeta/configdef"
	"millrace/segment"
)

// Cooking is what a topic's configuration asks to be done to the records themselves:
// another compression, or a look at every key. It runs on a helper, and a partition's
// batches come out in the order they went in.

// inflateMax bounds what one batch may become when it is inflated.
const inflateMax = 256 << 20

// cooked is one batch on its way.
type cooked struct {
	share *produceShare
	part  *producePart
	done  bool
	view  batch.View
	code  protocol.Code
}

// needsCooking says whether the batch cannot be stored as it came, or not yet: the
// batches before it are still being cooked.
func (p *partition) needsCooking(v batch.View) bool {
	cfg := p.topic.cfg
	return len(p.cooking) > 0 || cfg.CleanupCompact ||
		cfg.Compression != configdef.CompressionProducer && int8(cfg.Compression) != int8(v.Codec())
}

// cook sends a copy of the batch to a helper.
func (c *Core) cook(part *partition, s *produceShare, p *producePart, v batch.View) {
	s.open++
	part.cooking = append(part.cooking, cooked{share: s, part: p})
	ticket := part.cooks
	part.cooks++
	v = append(batch.View(nil), v...)
	cfg, limits := part.topic.cfg, c.scratch.limits
	limits.Compacted = cfg.CleanupCompact
	c.work(func() any { return cookOne(v, cfg, limits) }, func(c *Core, r any) {
		at := &part.cooking[ticket-part.cooked]
		at.done = true
		res := r.(cooked)
		at.view, at.code = res.view, res.code
		c.serveCooked(part)
	})
}

// cookOne is pure.
func cookOne(v batch.View, cfg *configdef.TopicConfig, limits batch.Limits) cooked {
	if cfg.CleanupCompact {
		if code, _ := batch.Inspect(v, &limits, inflateMax); code != protocol.None {
			return cooked{code: code}
		}
	}
	to := batch.Codec(cfg.Compression)
	if cfg.Compression == configdef.CompressionProducer || to == v.Codec() {
		return cooked{view: v}
	}
	w, code := batch.Recompress(v, to, levelOf(cfg, to), inflateMax)
	return cooked{view: w, code: code}
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

// serveCooked stages what is done, from the front.
func (c *Core) serveCooked(part *partition) {
	for len(part.cooking) > 0 && part.cooking[0].done {
		k := part.cooking[0]
		part.cooking = part.cooking[1:]
		part.cooked++
		k.part.code = k.code
		seq := segment.Seq(0)
		switch {
		case part.gone:
			k.part.code = protocol.UnknownTopicOrPartition
		case k.code != protocol.None:
			c.stats.FailedProduce++
		default:
			seq = c.stage(part, k.part, k.view)
		}
		c.acks.push(ack{seq: max(seq, c.acks.newest()), share: k.share})
	}
	if len(part.cooking) == 0 {
		part.cooking = nil
	}
}
