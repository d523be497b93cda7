package hot

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/protocol"
	"millrace/protocol/internal/randmsg"
)

// stripProduce removes what our answers never have: unknown tags, "" beside null.
func stripProduce(r *kmsg.ProduceResponse) {
	r.UnknownTags = kmsg.Tags{}
	for i := range r.Brokers {
		r.Brokers[i].UnknownTags = kmsg.Tags{}
		emptyToNull(&r.Brokers[i].Rack)
	}
	for i := range r.Topics {
		t := &r.Topics[i]
		t.UnknownTags = kmsg.Tags{}
		for j := range t.Partitions {
			p := &t.Partitions[j]
			p.UnknownTags, p.CurrentLeader.UnknownTags = kmsg.Tags{}, kmsg.Tags{}
			emptyToNull(&p.ErrorMessage)
			for k := range p.ErrorRecords {
				p.ErrorRecords[k].UnknownTags = kmsg.Tags{}
				emptyToNull(&p.ErrorRecords[k].ErrorMessage)
			}
		}
	}
}

func stripFetch(r *kmsg.FetchResponse) {
	r.UnknownTags = kmsg.Tags{}
	for i := range r.Brokers {
		r.Brokers[i].UnknownTags = kmsg.Tags{}
		emptyToNull(&r.Brokers[i].Rack)
	}
	for i := range r.Topics {
		t := &r.Topics[i]
		t.UnknownTags = kmsg.Tags{}
		for j := range t.Partitions {
			p := &t.Partitions[j]
			p.UnknownTags, p.CurrentLeader.UnknownTags = kmsg.Tags{}, kmsg.Tags{}
			p.DivergingEpoch.UnknownTags, p.SnapshotID.UnknownTags = kmsg.Tags{}, kmsg.Tags{}
			if p.RecordBatches == nil {
				p.RecordBatches = []byte{}
			}
			for k := range p.AbortedTransactions {
				p.AbortedTransactions[k].UnknownTags = kmsg.Tags{}
			}
		}
	}
}

func emptyToNull(p **string) {
	if *p != nil && **p == "" {
		*p = nil
	}
}

func value(p *string) string {
	if p == nil {
		return ""
	}
	return *p
}

func endpoints[B any](brokers []B, get func(*B) Endpoint) (list []Endpoint) {
	for i := range brokers {
		list = append(list, get(&brokers[i]))
	}
	return list
}

func TestProduceAnswerIsKmsgs(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for version := int16(3); version <= 13; version++ {
		for range 200 {
			resp := kmsg.NewProduceResponse()
			randmsg.Fill(r, &resp)
			stripProduce(&resp)
			resp.SetVersion(version)
			if version < 10 { // kmsg writes tags that older versions have not
				resp.Brokers = nil
				for i := range resp.Topics {
					for j := range resp.Topics[i].Partitions {
						resp.Topics[i].Partitions[j].CurrentLeader.Default()
					}
				}
			}
			want := protocol.Encode(nil, 1234, &resp)
			size := ProduceAnswerMax
			var w ProduceWriter
			w.Begin([]byte("before"), version, 1234, len(resp.Topics))
			for _, topic := range resp.Topics {
				size += ProduceTopicMax + len(topic.Topic)
				w.Topic([]byte(topic.Topic), topic.TopicID, len(topic.Partitions))
				for _, p := range topic.Partitions {
					size += writeProduce(&w, &p)
				}
			}
			nodes := endpoints(resp.Brokers, func(b *kmsg.ProduceResponseBroker) Endpoint {
				return Endpoint{b.NodeID, b.Host, b.Port, value(b.Rack)}
			})
			got := w.End(resp.ThrottleMillis, nodes)[len("before"):]
			if !bytes.Equal(got, want) {
				t.Fatalf("v%d:\n%x\n%x", version, got, want)
			}
			if size += endpointsMax(nodes); len(got) > size {
				t.Fatalf("v%d: %d bytes, at most %d", version, len(got), size)
			}
		}
	}
}

func endpointsMax(nodes []Endpoint) int {
	n := EndpointsMax
	for _, e := range nodes {
		n += EndpointMax + len(e.Host) + len(e.Rack)
	}
	return n
}

func writeProduce(w *ProduceWriter, p *kmsg.ProduceResponseTopicPartition) (max int) {
	max = ProducePartitionMax + len(value(p.ErrorMessage))
	result := ProduceResult{Index: p.Partition, Code: protocol.Code(p.ErrorCode), BaseOffset: p.BaseOffset,
		AppendMillis: p.LogAppendTime, LogStart: p.LogStartOffset, Message: value(p.ErrorMessage)}
	for _, e := range p.ErrorRecords {
		max += RecordErrorMax + len(value(e.ErrorMessage))
		result.RecordErrors = append(result.RecordErrors,
			RecordError{e.RelativeOffset, value(e.ErrorMessage)})
	}
	if p.CurrentLeader.LeaderID != -1 || p.CurrentLeader.LeaderEpoch != -1 {
		result.Leader = Leader{true, p.CurrentLeader.LeaderID, p.CurrentLeader.LeaderEpoch}
	}
	w.Partition(&result)
	return max
}

func TestFetchAnswerIsKmsgs(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	for version := int16(4); version <= 18; version++ {
		for range 200 {
			resp := kmsg.NewFetchResponse()
			randmsg.Fill(r, &resp)
			stripFetch(&resp)
			resp.SetVersion(version)
			if version < 16 { // kmsg writes tags that older versions have not
				resp.Brokers = nil
			}
			want := protocol.Encode(nil, 1234, &resp)

			const before = "before"
			size := FetchAnswerMax
			var w FetchWriter
			var cuts []int
			var records [][]byte
			w.Begin([]byte(before), version, 1234, resp.ThrottleMillis, protocol.Code(resp.ErrorCode),
				resp.SessionID, len(resp.Topics))
			for _, topic := range resp.Topics {
				size += FetchTopicMax + len(topic.Topic)
				w.Topic([]byte(topic.Topic), topic.TopicID, len(topic.Partitions))
				for _, p := range topic.Partitions {
					size += FetchPartitionMax + AbortedMax*len(p.AbortedTransactions)
					cuts = append(cuts, writeFetch(&w, &p))
					records = append(records, p.RecordBatches)
				}
			}
			nodes := endpoints(resp.Brokers, func(b *kmsg.FetchResponseBroker) Endpoint {
				return Endpoint{b.NodeID, b.Host, b.Port, value(b.Rack)}
			})
			meta := w.End(nodes)
			if size += endpointsMax(nodes); len(meta)-len(before) > size {
				t.Fatalf("v%d: %d bytes, at most %d", version, len(meta), size)
			}
			if got := splice(meta, len(before), cuts, records); !bytes.Equal(got, want) {
				t.Fatalf("v%d:\n%x\n%x", version, got, want)
			}
		}
	}
}

// splice sends what the engine would: the writer's memory, and records at the cuts.
func splice(meta []byte, from int, cuts []int, records [][]byte) (out []byte) {
	for i, cut := range cuts {
		out = append(append(out, meta[from:cut]...), records[i]...)
		from = cut
	}
	return append(out, meta[from:]...)
}

func writeFetch(w *FetchWriter, p *kmsg.FetchResponseTopicPartition) (cut int) {
	result := FetchResult{Index: p.Partition, Code: protocol.Code(p.ErrorCode), HighWatermark: p.HighWatermark,
		LastStable: p.LastStableOffset, LogStart: p.LogStartOffset, Preferred: p.PreferredReadReplica,
		Records: len(p.RecordBatches)}
	if p.AbortedTransactions != nil {
		result.Aborted = []Aborted{}
	}
	for _, a := range p.AbortedTransactions {
		result.Aborted = append(result.Aborted, Aborted{a.ProducerID, a.FirstOffset})
	}
	if d := p.DivergingEpoch; d.Epoch != -1 || d.EndOffset != -1 {
		result.DivergingEpoch = EpochEnd{true, d.Epoch, d.EndOffset}
	}
	if l := p.CurrentLeader; l.LeaderID != -1 || l.LeaderEpoch != -1 {
		result.Leader = Leader{true, l.LeaderID, l.LeaderEpoch}
	}
	if s := p.SnapshotID; s.Epoch != -1 || s.EndOffset != -1 {
		result.Snapshot = EpochEnd{true, s.Epoch, s.EndOffset}
	}
	return w.Partition(&result)
}

func TestResponseHeader(t *testing.T) {
	for _, c := range []struct {
		key     protocol.Key
		version int16
		want    []byte
	}{
		{protocol.ApiVersions, 4, []byte{0, 0, 0, 9, 0, 0, 0, 5}},
		{protocol.Metadata, 8, []byte{0, 0, 0, 9, 0, 0, 0, 5}},
		{protocol.Metadata, 9, []byte{0, 0, 0, 10, 0, 0, 0, 5, 0}},
	} {
		b := AppendResponseHeader(nil, c.key, c.version, 5)
		SetSize(b, 5)
		if !bytes.Equal(b, c.want) || len(b) > ResponseHeaderMax {
			t.Errorf("%v v%d: %v", c.key, c.version, b)
		}
	}
	if n := binary.BigEndian.Uint32(AppendResponseHeader(nil, protocol.Fetch, 4, 1)); n != 0 {
		t.Errorf("size before it is known: %d", n)
	}
}
