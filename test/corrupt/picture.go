package main

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// place is one partition.
type place struct {
	topic     string
	partition int32
}

func (p place) String() string { return fmt.Sprintf("%s-%d", p.topic, p.partition) }

// picture is all that a broker serves. What it answered with an error is told apart.
type picture struct {
	cluster string
	topics  map[string]string // name → id and configs
	logs    map[place]*logPicture
	groups  map[string]map[place]string // committed offset, epoch and metadata
	errors  []string
}

// logPicture is one partition.
type logPicture struct {
	start, end int64
	batches    map[int64][]byte // by base offset, as they came
	times      map[int64]string // timestamp asked for → offset and timestamp
	failed     []int64          // offsets of which a fetch was answered with an error
	refused    bool             // even its bounds were answered with an error
}

// reader makes a picture. known is what to ask for beyond errors, nil the first time.
type reader struct {
	c     *client
	known *picture
	pic   *picture
	ids   map[string][16]byte
}

// read makes a picture of what a broker serves.
func read(addr string, groups []string, known *picture) (*picture, error) {
	c, err := dial(addr)
	if err != nil {
		return nil, err
	}
	defer c.close()
	r := &reader{c: c, known: known, ids: map[string][16]byte{}, pic: &picture{
		topics: map[string]string{}, logs: map[place]*logPicture{}, groups: map[string]map[place]string{},
	}}
	for _, step := range []func() error{r.metadata, r.configs, r.bounds, r.records, r.times} {
		if err := step(); err != nil {
			return r.pic, err
		}
	}
	for _, g := range groups {
		if err := r.group(g); err != nil {
			return r.pic, err
		}
	}
	return r.pic, nil
}

// failed notes an answer that is an error; true if it was one.
func (r *reader) failed(code int16, what string, args ...any) bool {
	err := kerr.ErrorForCode(code)
	if err == nil {
		return false
	}
	r.pic.errors = append(r.pic.errors, fmt.Sprintf("%s: %v", fmt.Sprintf(what, args...), err))
	return true
}

func (r *reader) metadata() error {
	req := kmsg.NewPtrMetadataRequest()
	req.Topics = nil
	resp, err := ask[*kmsg.MetadataResponse](r.c, req, 12)
	if err != nil {
		return err
	}
	if resp.ClusterID != nil {
		r.pic.cluster = *resp.ClusterID
	}
	for _, t := range resp.Topics {
		if r.failed(t.ErrorCode, "Metadata %s", *t.Topic) {
			continue
		}
		r.ids[*t.Topic] = t.TopicID
		r.pic.topics[*t.Topic] = fmt.Sprintf("%x %d", t.TopicID, len(t.Partitions))
		for _, p := range t.Partitions {
			r.failed(p.ErrorCode, "Metadata %s-%d", *t.Topic, p.Partition)
			r.pic.logs[place{*t.Topic, p.Partition}] = &logPicture{
				start: -1, end: -1, batches: map[int64][]byte{}, times: map[int64]string{},
			}
		}
	}
	return nil
}

func (r *reader) configs() error {
	req := kmsg.NewPtrDescribeConfigsRequest()
	for _, name := range slices.Sorted(maps.Keys(r.ids)) {
		x := kmsg.NewDescribeConfigsRequestResource()
		x.ResourceType, x.ResourceName = kmsg.ConfigResourceTypeTopic, name
		req.Resources = append(req.Resources, x)
	}
	resp, err := ask[*kmsg.DescribeConfigsResponse](r.c, req, 4)
	if err != nil {
		return err
	}
	for _, x := range resp.Resources {
		if r.failed(x.ErrorCode, "DescribeConfigs %s", x.ResourceName) {
			continue
		}
		for _, c := range x.Configs {
			value := "null"
			if c.Value != nil {
				value = *c.Value
			}
			r.pic.topics[x.ResourceName] += fmt.Sprintf(" %s=%s/%d", c.Name, value, c.Source)
		}
	}
	return nil
}

// places are the partitions in order.
func (p *picture) places() []place {
	return slices.SortedFunc(maps.Keys(p.logs), func(a, b place) int {
		if a.topic != b.topic {
			return cmpString(a.topic, b.topic)
		}
		return int(a.partition - b.partition)
	})
}

func cmpString(a, b string) int {
	if a < b {
		return -1
	}
	return 1
}

// list asks ListOffsets about one time of one partition.
func (r *reader) list(p place, at int64) (offset, ts int64, ok bool, err error) {
	req := kmsg.NewPtrListOffsetsRequest()
	req.ReplicaID = -1
	t := kmsg.NewListOffsetsRequestTopic()
	t.Topic = p.topic
	part := kmsg.NewListOffsetsRequestTopicPartition()
	part.Partition, part.Timestamp = p.partition, at
	t.Partitions = append(t.Partitions, part)
	req.Topics = append(req.Topics, t)
	resp, err := ask[*kmsg.ListOffsetsResponse](r.c, req, 7)
	if err != nil {
		return 0, 0, false, err
	}
	x := resp.Topics[0].Partitions[0]
	if r.failed(x.ErrorCode, "ListOffsets %s at %d", p, at) {
		return 0, 0, false, nil
	}
	return x.Offset, x.Timestamp, true, nil
}

func (r *reader) bounds() error {
	for _, p := range r.pic.places() {
		l := r.pic.logs[p]
		for _, at := range []int64{-2, -1} {
			offset, _, ok, err := r.list(p, at)
			if err != nil {
				return err
			}
			if !ok {
				l.refused = true
			} else if at == -2 {
				l.start = offset
			} else {
				l.end = offset
			}
		}
	}
	return nil
}

// times asks for the records of some moments, and for the latest one.
func (r *reader) times() error {
	for _, p := range r.pic.places() {
		l, moments := r.pic.logs[p], []int64{-3}
		if r.known != nil {
			if l := r.known.logs[p]; l != nil {
				moments = slices.Sorted(maps.Keys(l.times))
			}
		} else {
			for _, v := range l.batches {
				first := int64(binary.BigEndian.Uint64(v[27:]))
				moments = append(moments, first, first+1)
			}
			slices.Sort(moments)
			for len(moments) > 25 { // every second one
				for i := 1; 2*i < len(moments); i++ {
					moments[i] = moments[2*i]
				}
				moments = moments[:len(moments)/2]
			}
		}
		for _, at := range moments {
			offset, ts, ok, err := r.list(p, at)
			if err != nil {
				return err
			}
			if ok {
				l.times[at] = fmt.Sprintf("%d at %d", offset, ts)
			}
		}
	}
	return nil
}

func (r *reader) group(name string) error {
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Group = name
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group = name
	req.Groups = append(req.Groups, g)
	late := time.Now().Add(5 * time.Second)
	for {
		resp, err := ask[*kmsg.OffsetFetchResponse](r.c, req, 8)
		if err != nil {
			return err
		}
		have := resp.Groups[0]
		if kerr.IsRetriable(kerr.ErrorForCode(have.ErrorCode)) && time.Now().Before(late) {
			time.Sleep(20 * time.Millisecond) // it is still loading
			continue
		}
		if r.failed(have.ErrorCode, "OffsetFetch %s", name) {
			return nil
		}
		all := map[place]string{}
		for _, t := range have.Topics {
			for _, p := range t.Partitions {
				words := ""
				if p.Metadata != nil {
					words = *p.Metadata
				}
				all[place{t.Topic, p.Partition}] = fmt.Sprintf("%d/%d/%s", p.Offset, p.LeaderEpoch, words)
			}
		}
		r.pic.groups[name] = all
		return nil
	}
}
