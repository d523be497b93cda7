package engine

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/protocol"
	"millrace/raftmeta"
)

// producerBlock is how many producer ids a core takes at once, as a Kafka broker does.
const producerBlock = 1000

// producerIDs are the ids that this core may hand out. Ids are used once (raftmeta
// I6): what is left of a block at a stop is lost.
type producerIDs struct {
	next, end int64
	asking    bool
	waiting   []*Request
}

// initProducerID gives an idempotent producer its id. Transactions are not served: a
// transactional id gets an error that clients do not retry.
func (c *Core) initProducerID(rq *Request, req *kmsg.InitProducerIDRequest) {
	switch {
	case req.TransactionalID != nil && *req.TransactionalID == "",
		(req.ProducerID == -1) != (req.ProducerEpoch == -1):
		answerProducerID(rq, -1, protocol.InvalidRequest)
		return
	case req.TransactionalID != nil:
		answerProducerID(rq, -1, protocol.TransactionalIdAuthorizationFailed)
		return
	}
	c.pids.waiting = append(c.pids.waiting, rq)
	c.serveProducerIDs()
}

// serveProducerIDs answers as many as there are ids for, and asks for more if needed.
func (c *Core) serveProducerIDs() {
	p := &c.pids
	for len(p.waiting) > 0 && p.next < p.end {
		answerProducerID(p.waiting[0], p.next, protocol.None)
		p.waiting[0] = nil
		p.waiting = p.waiting[1:]
		p.next++
	}
	if len(p.waiting) == 0 {
		p.waiting = nil
		return
	}
	if p.asking {
		return
	}
	p.asking = true
	c.propose(raftmeta.AllocateProducerIDs{Count: producerBlock}, func(o raftOutcome, err error) {
		p.asking = false
		code := o.Code()
		if err != nil {
			code = protocol.CoordinatorLoadInProgress // retriable
		}
		if code != protocol.None {
			for _, rq := range p.waiting {
				answerProducerID(rq, -1, code)
			}
			p.waiting = nil
			return
		}
		p.next, p.end = o.FirstProducerID, o.FirstProducerID+producerBlock
		c.serveProducerIDs()
	})
}

func answerProducerID(rq *Request, id int64, code protocol.Code) {
	resp := kmsg.NewPtrInitProducerIDResponse()
	resp.ErrorCode, resp.ProducerID = int16(code), id
	if code != protocol.None {
		resp.ProducerEpoch = -1
	}
	rq.AnswerCode(resp, code)
}
