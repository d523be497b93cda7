package engine

import (
	"millrace/protocol"
	"millrace/protocol/batch"
	"millrace/segment"
)

// timeAt is the timestamp of the batch that holds an offset, if it is in memory.
func (c *Core) timeAt(tp protocol.TopicPartition, offset int64) int64 {
	part := c.topics.find(tp)
	if part == nil {
		return -1
	}
	exts, where := part.log.Locate(offset, part.log.Marks().High, 1, true, nil)
	if where != segment.InMemory {
		return -1
	}
	var head []byte
	for _, e := range exts {
		if len(head) < batch.HeaderSize {
			head = append(head, e.Mem[:min(len(e.Mem), batch.HeaderSize)]...)
		}
		c.pool.Release(e.Buf)
	}
	if len(head) < batch.HeaderSize {
		return -1
	}
	return batch.View(head).MaxTimestamp()
}
