package engine

import (
	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sys/unix"

	"millrace/protocol"
)

// describeLogDirs tells how much space partitions take in the one log directory.
func (c *Core) describeLogDirs(rq *Request, req *kmsg.DescribeLogDirsRequest) {
	var spots []spot
	var sizes []int64
	var topics []kmsg.DescribeLogDirsResponseDirTopic
	var ends []int // where each topic's partitions end in sizes
	add := func(top *topic, index int32) {
		if tp, core, ok := c.partitionAt(top, index); ok {
			spots = append(spots, spot{tp, core, len(spots)})
		}
	}
	describe := func(top *topic, indexes []int32) {
		from := len(spots)
		if indexes == nil {
			for i := range top.parts {
				add(top, int32(i))
			}
		}
		for _, i := range indexes {
			add(top, i)
		}
		if len(spots) > from {
			rt := kmsg.NewDescribeLogDirsResponseDirTopic()
			rt.Topic = top.meta.Name
			topics, ends = append(topics, rt), append(ends, len(spots))
		}
	}
	if req.Topics == nil {
		for _, t := range c.topics.image.Topics() {
			if top := c.topics.byID[t.ID]; top != nil {
				describe(top, nil)
			}
		}
	}
	for i := range req.Topics {
		if top := c.topics.byName[req.Topics[i].Topic]; top != nil {
			describe(top, append([]int32{}, req.Topics[i].Partitions...))
		}
	}
	sizes = make([]int64, len(spots))
	c.visit(spots, func(_ *Core, part *partition, at int, ok func()) {
		sizes[at] = -1
		if part != nil {
			sizes[at] = part.log.Bytes()
		}
		ok()
	}, func() { c.answerLogDirs(rq, topics, ends, spots, sizes) })
}

func (c *Core) answerLogDirs(rq *Request, topics []kmsg.DescribeLogDirsResponseDirTopic, ends []int,
	spots []spot, sizes []int64) {
	dir := kmsg.NewDescribeLogDirsResponseDir()
	dir.Dir = logDir(c.cfg.DataDir)
	at := 0
	for i := range topics {
		for ; at < ends[i]; at++ {
			if sizes[at] < 0 {
				continue // deleted meanwhile
			}
			p := kmsg.NewDescribeLogDirsResponseDirTopicPartition()
			p.Partition, p.Size = spots[at].tp.Partition, sizes[at]
			topics[i].Partitions = append(topics[i].Partitions, p)
		}
	}
	dir.Topics = topics
	fs, data := c.cfg.FS, c.cfg.DataDir
	c.work(func() any { // asking the file system may block
		total, free := int64(-1), int64(-1)
		if n, err := fs.Free(data); err == nil {
			free = n
		}
		var st unix.Statfs_t
		if unix.Statfs(data, &st) == nil {
			total = int64(st.Blocks) * st.Bsize
		}
		return [2]int64{total, free}
	}, func(_ *Core, v any) {
		space := v.([2]int64)
		dir.TotalBytes, dir.UsableBytes = space[0], space[1]
		resp := kmsg.NewPtrDescribeLogDirsResponse()
		resp.ErrorCode = int16(protocol.None)
		resp.Dirs = []kmsg.DescribeLogDirsResponseDir{dir}
		rq.Answer(resp)
	})
}
