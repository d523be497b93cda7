package franz

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"millrace/loadgen/measure"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// needed are the requests without which there are no transactions.
var needed = []kmsg.Key{kmsg.InitProducerID, kmsg.AddPartitionsToTxn, kmsg.EndTxn,
	kmsg.FindCoordinator}

// supportsTransactions asks the broker, so that one without them is told before the load.
func supportsTransactions(ctx context.Context, cl *kgo.Client) error {
	versions, err := apiVersions(ctx, cl)
	if err != nil {
		return err
	}
	has := map[int16]bool{}
	for _, k := range versions.ApiKeys {
		has[k.ApiKey] = true
	}
	var missing []string
	for _, k := range needed {
		if !has[int16(k)] {
			missing = append(missing, k.Name())
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("loadgen: this broker has no transactions: its ApiVersions answer does not "+
			"offer %s", strings.Join(missing, ", "))
	}
	return nil
}

// transaction is what one producer has under way: its own goroutine begins and ends it, the
// library's adds what was acknowledged.
type transaction struct {
	p     *producer
	open  bool
	begun int64
	count int
	total int64
	lost  atomic.Bool // a message of it was not delivered

	mu   sync.Mutex
	list []commitment
}

// commitment is a message that is acknowledged, and counts once its transaction does.
type commitment struct {
	due    int64
	place  int
	number uint64
}

// begin makes sure that there is a transaction for the next message.
func (t *transaction) begin(_ context.Context, due int64) bool {
	if t.open {
		return true
	}
	if err := t.p.cl.BeginTransaction(); err != nil {
		t.fail("begin", err)
		return false
	}
	t.open, t.begun, t.count = true, due, 0
	t.lost.Store(false)
	return true
}

// sent ends the transaction when it is full.
func (t *transaction) sent(ctx context.Context) bool {
	t.count++
	if t.count < t.p.l.w.TxnMessages {
		return true
	}
	return t.end(ctx, false)
}

// end commits or aborts. The last one of a run, which may not be full, is committed.
func (t *transaction) end(ctx context.Context, last bool) bool {
	if !t.open {
		return true
	}
	t.open = false
	p, l := t.p, t.p.l
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainLimit)
	defer cancel()
	if err := p.cl.Flush(within); err != nil {
		t.fail("flush", err)
		return false
	}
	t.total++
	abort := !last && aborts(t.total, l.w.TxnAbort) || t.lost.Load()
	err := p.cl.EndTransaction(within, kgo.TransactionEndTry(!abort))
	now := l.m.Now()
	t.mu.Lock()
	list := t.list
	t.list = nil
	t.mu.Unlock()
	if err != nil {
		t.fail("end", err)
		return false
	}
	for _, c := range list {
		if abort {
			l.book.Aborted(uint32(p.n), c.place, c.number, 1)
		} else {
			l.book.Acked(uint32(p.n), c.place, c.number, 1)
		}
	}
	p.unstuck = now // what was due in between waited for the broker
	p.rec.Do(func(r *measure.Recorder) {
		r.Turn(now)
		if abort {
			r.Aborted++
			return
		}
		r.Transactions++
		r.Record(measure.Commit, t.begun, now)
		for _, c := range list {
			r.Record(measure.Response, c.due, now)
		}
	})
	return true
}

// aborts spreads a share of the transactions evenly: the n-th one is aborted when the share has
// grown by one with it.
func aborts(n int64, share float64) bool {
	return int64(float64(n)*share) > int64(float64(n-1)*share)
}

func (t *transaction) acked(m *message) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.list = append(t.list, commitment{m.due, m.place, m.number})
}

func (t *transaction) fail(what string, err error) {
	code, name := errorName(err)
	t.p.rec.Do(func(r *measure.Recorder) { r.Fail(code, name, err.Error()) })
	t.p.l.stop(fmt.Errorf("loadgen: transaction: %s: %w", what, err))
}
