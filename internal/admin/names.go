package admin

import (
	"fmt"
	"strconv"

	"millrace/internal/admin/status"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// The names under which jmx_exporter shows Kafka's own figures: dashboards made
// for Kafka ask for them.
const (
	kafkaTopic      = "kafka_server_brokertopicmetrics_"
	kafkaReplicas   = "kafka_server_replicamanager_"
	kafkaController = "kafka_controller_kafkacontroller_"
	kafkaRequests   = "kafka_network_requestmetrics_totaltimems"
)

func (e *emitter) kafka(s *status.Snapshot) {
	var messages, in, out, failedProduce, failedFetch uint64
	for i := range s.Cores {
		c := &s.Cores[i]
		messages += c.MessagesIn
		in += c.BytesIn
		out += c.BytesOut
		failedProduce += c.FailedProduce
		failedFetch += c.FailedFetch
	}
	e.counter(kafkaTopic+"messagesin_total", helpKafka, float64(messages))
	e.counter(kafkaTopic+"bytesin_total", helpKafka, float64(in))
	e.counter(kafkaTopic+"bytesout_total", helpKafka, float64(out))
	e.counter(kafkaTopic+"failedproducerequests_total", helpKafka, float64(failedProduce))
	e.counter(kafkaTopic+"failedfetchrequests_total", helpKafka, float64(failedFetch))

	under, leads := 0, 0
	for i := range s.Partitions {
		p := &s.Partitions[i]
		if p.InSync < p.Replicas {
			under++
		}
		if p.Leader == s.Broker.NodeID {
			leads++
		}
	}
	e.gauge(kafkaReplicas+"underreplicatedpartitions", helpKafka, float64(under))
	e.gauge(kafkaReplicas+"partitioncount", helpKafka, float64(len(s.Partitions)))
	e.gauge(kafkaReplicas+"leadercount", helpKafka, float64(leads))
	active := 0.0
	if s.Broker.Controller {
		active = 1
	}
	e.gauge(kafkaController+"activecontrollercount", helpKafka, active)
	e.gauge(kafkaController+"offlinepartitionscount", helpKafka, float64(s.Broker.OfflineLogs))
	e.gauge(kafkaController+"globaltopiccount", helpKafka, float64(s.Broker.Topics))
	e.gauge(kafkaController+"globalpartitioncount", helpKafka, float64(len(s.Partitions)))

	for key, a := range apiTotals(s.Cores) {
		for _, q := range []float64{0.5, 0.75, 0.95, 0.99, 0.999} {
			e.gauge(kafkaRequests, helpKafka, float64(a.Latency.Quantile(q))/1000,
				"request", kmsg.NameForKey(int16(key)), "quantile", fmt.Sprint(q))
		}
	}
}

// maxName is the longest group name that becomes a label: the limit of topics'
// names. The protocol allows 32 KiB.
const maxName = 249

const helpKafka = "Under the name that Kafka dashboards use."

// topics shows each topic's sums: per partition would be 10 000 series and more.
func (e *emitter) topics(topics []topic) {
	const series = 10
	for i := range topics {
		t := &topics[i]
		if !e.room(series) {
			continue
		}
		show := func(typ prometheus.ValueType, name, help string, v float64) {
			e.emit(typ, name, help, v, lab("topic", t.name))
		}
		gauge, counter := prometheus.GaugeValue, prometheus.CounterValue
		show(gauge, "millrace_topic_partitions", "Partitions of the topic.", float64(t.partitions))
		show(gauge, "millrace_topic_log_bytes", "Bytes kept, all partitions.", float64(t.bytes))
		show(gauge, "millrace_topic_log_start_offset_sum", "Sum of the partitions' first offsets.", float64(t.start))
		show(gauge, "millrace_topic_high_watermark_sum", "Sum of the partitions' high watermarks.", float64(t.high))
		show(counter, "millrace_topic_messages_in_total", "Records appended.", float64(t.messagesIn))
		show(counter, "millrace_topic_bytes_in_total", "Bytes appended.", float64(t.bytesIn))
		show(counter, "millrace_topic_bytes_out_total", "Bytes sent to consumers.", float64(t.bytesOut))
		show(counter, kafkaTopic+"messagesin_total", helpKafka, float64(t.messagesIn))
		show(counter, kafkaTopic+"bytesin_total", helpKafka, float64(t.bytesIn))
		show(counter, kafkaTopic+"bytesout_total", helpKafka, float64(t.bytesOut))
	}
}

// groups shows members and state of each group, and the lag of each partition
// that it committed, until the budget is used up.
func (e *emitter) groups(groups []status.Group) {
	e.gauge("millrace_groups", "Consumer groups.", float64(len(groups)))
	for i := range groups {
		g := &groups[i]
		if len(g.Name) > maxName {
			e.dropped += 2 + 3*len(g.Offsets)
			continue
		}
		if e.room(2) {
			e.gauge("millrace_group_members", "Members of the group.", float64(g.Members), "group", g.Name)
			e.gauge("millrace_group_info", "Always 1; the state is a label.", 1, "group", g.Name, "state", g.State)
		}
		for j := range g.Offsets {
			o := &g.Offsets[j]
			if e.room(3) {
				e.lag(g.Name, o)
			}
		}
	}
}

func (e *emitter) lag(group string, o *status.GroupOffset) {
	at := []string{"group", group, "topic", o.Topic, "partition", strconv.Itoa(int(o.Partition))}
	e.gauge("millrace_group_committed_offset", "Offset committed.", float64(o.Committed), at...)
	if o.Lag >= 0 {
		e.gauge("millrace_group_lag_records", "Records between commit and high watermark.", float64(o.Lag), at...)
	}
	if o.LagTime >= 0 {
		e.gauge("millrace_group_lag_seconds", "Age of the first record not yet read.", o.LagTime, at...)
	}
}
