package engine

import (
	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sys/unix"

	"millrace/internal/vfs"
	"millrace/protocol"
)

// describeLogDirs tells how much space partitions take in each log directory.
func (c *Core) describeLogDirs(rq *Request, req *kmsg.DescribeLogDirsRequest) {
	var spots []spot
	var topics []kmsg.DescribeLogDirsResponseDirTopic
	var ends []int // where each topic's partitions end in spots
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
	found := make([]held, len(spots))
	c.visit(spots, func(_ *Core, part *partition, at int, ok func()) {
		if part != nil {
			found[at] = held{part.log.Root(), part.log.Bytes()}
		}
		ok()
	}, func() { c.answerLogDirs(rq, topics, ends, spots, found) })
}

// held is where a partition's files are, and how many bytes; no root: deleted meanwhile.
type held struct {
	root  string
	bytes int64
}

func (c *Core) answerLogDirs(rq *Request, topics []kmsg.DescribeLogDirsResponseDirTopic, ends []int,
	spots []spot, found []held) {
	resp := kmsg.NewPtrDescribeLogDirsResponse()
	resp.ErrorCode = int16(protocol.None)
	roots := c.cfg.dirs()
	for _, root := range roots {
		dir := kmsg.NewDescribeLogDirsResponseDir()
		dir.Dir = logDir(root)
		at := 0
		for i := range topics {
			topic := topics[i]
			for ; at < ends[i]; at++ {
				if found[at].root != root {
					continue
				}
				p := kmsg.NewDescribeLogDirsResponseDirTopicPartition()
				p.Partition, p.Size = spots[at].tp.Partition, found[at].bytes
				topic.Partitions = append(topic.Partitions, p)
			}
			if len(topic.Partitions) > 0 {
				dir.Topics = append(dir.Topics, topic)
			}
		}
		resp.Dirs = append(resp.Dirs, dir)
	}
	fs := c.cfg.FS
	c.work(func() any { // asking the file system may block
		space := make([][2]int64, len(roots))
		for i, root := range roots {
			space[i] = spaceOf(fs, root)
		}
		return space
	}, func(_ *Core, v any) {
		for i, space := range v.([][2]int64) {
			resp.Dirs[i].TotalBytes, resp.Dirs[i].UsableBytes = space[0], space[1]
		}
		rq.Answer(resp)
	})
}

// spaceOf is a file system's size and free space, −1 where it does not tell.
func spaceOf(fs vfs.FS, dir string) [2]int64 {
	total, free := int64(-1), int64(-1)
	if n, err := fs.Free(dir); err == nil {
		free = n
	}
	var st unix.Statfs_t
	if unix.Statfs(dir, &st) == nil {
		total = int64(st.Blocks) * st.Bsize
	}
	return [2]int64{total, free}
}
