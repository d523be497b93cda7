package broker

import (
	"fmt"
	"net"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/protocol/batch"
)

// keyed is a batch of n records; those in without have no key.
func keyed(codec batch.Codec, n int, without ...int) []byte {
	var b batch.Builder
	b.Reset(batch.Options{Codec: codec})
	for i := range n {
		key := fmt.Appendf(nil, "k%d", i)
		if slices.Contains(without, i) {
			key = nil
		}
		b.Add(time.Now().UnixMilli(), key, []byte("value"), nil)
	}
	v, err := b.Finish()
	if err != nil {
		panic(err)
	}
	return slices.Clone(v)
}

// refusal is what a broker answers to one batch.
func refusal(t *testing.T, conn net.Conn, topic string, version int16, records []byte) string {
	t.Helper()
	req := kmsg.NewPtrProduceRequest()
	req.Version, req.Acks, req.TimeoutMillis = version, -1, 10_000
	rt := kmsg.NewProduceRequestTopic()
	rt.Topic = topic
	rp := kmsg.NewProduceRequestTopicPartition()
	rp.Records = records
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	p := exchange(t, conn, req).(*kmsg.ProduceResponse).Topics[0].Partitions[0]
	out := fmt.Sprintf("code %d", p.ErrorCode)
	for _, r := range p.ErrorRecords {
		out += fmt.Sprintf(" [%d: %s]", r.RelativeOffset, *r.ErrorMessage)
	}
	if p.ErrorMessage != nil {
		out += ": " + *p.ErrorMessage
	}
	return out
}

// Records without a key are refused on a compacted topic, in every codec, with Kafka's
// code and words; where PEER_ADDR names a real one its answers are compared.
func TestRecordsWithoutKey(t *testing.T) {
	p := Start(t, "")
	brokers := []string{p.Addr}
	if kafka := os.Getenv("PEER_ADDR"); kafka != "" {
		brokers = append(brokers, kafka)
	}
	var answers [][]string
	for _, addr := range brokers {
		c, err := kgo.NewClient(kgo.SeedBrokers(addr))
		if err != nil {
			t.Fatal(err)
		}
		createTopic(t, c, "compacted", 1, map[string]string{"cleanup.policy": "compact,delete"})
		c.Close()
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		var all []string
		for codec := batch.None; codec <= batch.Zstd; codec++ {
			for _, b := range [][]byte{keyed(codec, 3), keyed(codec, 1, 0), keyed(codec, 5, 1, 3),
				keyed(codec, 6, 0, 1, 2, 3, 4, 5)} {
				for _, version := range []int16{7, 8, 12} {
					all = append(all, refusal(t, conn, "compacted", version, b))
				}
			}
		}
		answers = append(answers, all)
	}
	for i, a := range answers[0] {
		if want := i/3%4 == 0; want != (a == "code 0") {
			t.Errorf("answer %d: %s", i, a)
		}
		if len(answers) > 1 && answers[1][i] != a {
			t.Errorf("answer %d: %s\nKafka: %s", i, a, answers[1][i])
		}
	}
	const told = "code 87 [0: Compacted topic cannot accept message without key in topic partition compacted-0]: " +
		"One or more records have been rejected due to 1 record errors in total, and only showing the first three errors " +
		"at most: [RecordError(batchIndex=0, message='Compacted topic cannot accept message without key in topic " +
		"partition compacted-0')]"
	if got := answers[0][5]; got != told {
		t.Errorf("one record without key: %s", got)
	}
}
