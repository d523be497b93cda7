package franz

import (
	"net"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// wire counts what one client sends and receives. Its hooks run on several goroutines.
type wire struct {
	l        *load
	requests atomic.Int64 // produce and fetch requests that were answered
	records  atomic.Int64
	bytes    atomic.Int64 // of their batches
}

const produceKey, fetchKey = 0, 1

// OnBrokerE2E implements kgo.HookBrokerE2E.
func (c *wire) OnBrokerE2E(_ kgo.BrokerMetadata, key int16, e kgo.BrokerE2E) {
	if e.Err() != nil {
		return
	}
	c.l.lastAnswer.Store(c.l.m.Now())
	if key == produceKey || key == fetchKey {
		c.requests.Add(1)
	}
}

// OnBrokerConnect implements kgo.HookBrokerConnect.
func (c *wire) OnBrokerConnect(b kgo.BrokerMetadata, _ time.Duration, _ net.Conn, err error) {
	if err != nil {
		c.l.noAnswer.Store(&unreachable{host: b.Host, err: err})
	} else {
		c.l.noAnswer.Store(nil)
	}
}

// unreachable is the last attempt to connect that failed.
type unreachable struct {
	host string
	err  error
}

// OnProduceBatchWritten implements kgo.HookProduceBatchWritten.
func (c *wire) OnProduceBatchWritten(_ kgo.BrokerMetadata, _ string, _ int32,
	m kgo.ProduceBatchMetrics) {
	c.records.Add(int64(m.NumRecords))
	c.bytes.Add(int64(m.CompressedBytes))
}

// OnFetchBatchRead implements kgo.HookFetchBatchRead.
func (c *wire) OnFetchBatchRead(_ kgo.BrokerMetadata, _ string, _ int32, m kgo.FetchBatchMetrics) {
	c.records.Add(int64(m.NumRecords))
	c.bytes.Add(int64(m.CompressedBytes))
}

// each is how many bytes a message took on its way, by the mean so far.
func (c *wire) each() float64 {
	if n := c.records.Load(); n > 0 {
		return float64(c.bytes.Load()) / float64(n)
	}
	return 0
}
