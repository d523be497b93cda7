package engine

import (
	"math"
	"strconv"

	"millrace/segment"
)

// configureCleaner hands the log cleaner's settings, which may change while the broker
// runs, to storage.
func (c *Core) configureCleaner() {
	if c.shard == nil { // a core that is tested without storage
		return
	}
	img := c.topics.image
	number := func(name string, otherwise float64) float64 {
		s, _ := c.configs.Value(img, name)
		f, err := strconv.ParseFloat(s, 64)
		if err != nil || math.IsNaN(f) {
			return otherwise
		}
		return f
	}
	d := segment.DefaultCleaner()
	c.shard.ConfigureCleaner(segment.CleanerConfig{
		Disabled:       !c.configs.Bool(img, "log.cleaner.enable"),
		Threads:        int(c.configs.Int64(img, "log.cleaner.threads")),
		DedupeBytes:    c.configs.Int64(img, "log.cleaner.dedupe.buffer.size"),
		LoadFactor:     number("log.cleaner.io.buffer.load.factor", d.LoadFactor),
		BufferBytes:    int(c.configs.Int64(img, "log.cleaner.io.buffer.size")),
		BytesPerSecond: number("log.cleaner.io.max.bytes.per.second", d.BytesPerSecond),
		BackoffMillis:  c.configs.Int64(img, "log.cleaner.backoff.ms"),
	})
}
