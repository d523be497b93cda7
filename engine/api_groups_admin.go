package engine

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/engine/group"
	"millrace/protocol"
)

// Kinds of coordinators (FindCoordinator.key_type).
const (
	coordinatorGroup       = 0
	coordinatorTransaction = 1
)

// findCoordinator names the coordinator of groups. Transactional ids get an error that
// no client retries: they are not served yet.
func (c *Core) findCoordinator(rq *Request, req *kmsg.FindCoordinatorRequest) {
	if req.CoordinatorType != coordinatorGroup {
		rq.AnswerCode(c.coordinators(rq, req, notServed(req.CoordinatorType)), protocol.InvalidRequest)
		return
	}
	c.groups.ensureOffsets(c, func(c *Core) {
		code := protocol.None
		if c.topics.byName[offsetsTopic] == nil {
			code = protocol.CoordinatorNotAvailable
		}
		rq.AnswerCode(c.coordinators(rq, req, code), code)
	})
}

// notServed is the fatal code for coordinators that are not here.
func notServed(kind int8) protocol.Code {
	if kind == coordinatorTransaction {
		return protocol.TransactionalIdAuthorizationFailed
	}
	return protocol.InvalidRequest
}

func (c *Core) coordinators(rq *Request, req *kmsg.FindCoordinatorRequest, code protocol.Code) kmsg.Response {
	resp := kmsg.NewPtrFindCoordinatorResponse()
	keys := req.CoordinatorKeys
	if rq.Version < 4 {
		keys = []string{req.CoordinatorKey}
	}
	host, port := c.advertised(rq)
	var message *string
	if code != protocol.None {
		host, port = "", -1
		text := code.Message()
		if req.CoordinatorType == coordinatorTransaction {
			text = "Transactions are not served by this broker."
		}
		message = &text
	}
	for _, key := range keys {
		co := kmsg.NewFindCoordinatorResponseCoordinator()
		co.Key, co.NodeID, co.Host, co.Port = key, c.cfg.NodeID, host, port
		co.ErrorCode, co.ErrorMessage = int16(code), message
		if code != protocol.None {
			co.NodeID = -1
		}
		resp.Coordinators = append(resp.Coordinators, co)
	}
	if rq.Version < 4 {
		co := resp.Coordinators[0]
		resp.NodeID, resp.Host, resp.Port = co.NodeID, co.Host, co.Port
		resp.ErrorCode, resp.ErrorMessage = co.ErrorCode, co.ErrorMessage
		resp.Coordinators = nil
	}
	return resp
}

func (c *Core) describeGroups(rq *Request, req *kmsg.DescribeGroupsRequest) {
	resp := kmsg.NewPtrDescribeGroupsResponse()
	resp.Groups = make([]kmsg.DescribeGroupsResponseGroup, len(req.Groups))
	c.gather(c.groupCores(req.Groups), func(on *Core, i int, ok func()) {
		resp.Groups[i] = on.groups.coord.Describe(rq.Version, req.Groups[i])
		ok()
	}, func() { rq.Answer(resp) })
}

// groupCores are the coordinators of some groups; this core where there is none, which
// then says so.
func (c *Core) groupCores(names []string) []int {
	cores := make([]int, len(names))
	for i, name := range names {
		core, ok := c.groups.coreOf(c, name)
		if !ok {
			core = c.id
		}
		cores[i] = core
	}
	return cores
}

func (c *Core) listGroups(rq *Request, req *kmsg.ListGroupsRequest) {
	resp := kmsg.NewPtrListGroupsResponse()
	lists := make([][]kmsg.ListGroupsResponseGroup, len(c.peers))
	codes := make([]protocol.Code, len(c.peers))
	c.gather(c.everyCore(), func(on *Core, i int, ok func()) {
		lists[i], codes[i] = on.groups.coord.List(req.StatesFilter, req.TypesFilter, nil)
		ok()
	}, func() {
		for i := range lists {
			resp.Groups = append(resp.Groups, lists[i]...)
			if codes[i] != protocol.None {
				resp.ErrorCode = int16(codes[i])
			}
		}
		rq.Answer(resp)
	})
}

func (c *Core) everyCore() []int {
	cores := make([]int, len(c.peers))
	for i := range cores {
		cores[i] = i
	}
	return cores
}

// deleteGroups deletes each group on its core and puts the answers together.
func (c *Core) deleteGroups(rq *Request, req *kmsg.DeleteGroupsRequest) {
	resp := kmsg.NewPtrDeleteGroupsResponse()
	resp.Groups = make([]kmsg.DeleteGroupsResponseGroup, len(req.Groups))
	c.gather(c.groupCores(req.Groups), func(on *Core, i int, ok func()) {
		tok := on.groups.token(func(r kmsg.Response) {
			resp.Groups[i] = r.(*kmsg.DeleteGroupsResponse).Groups[0]
			ok()
		})
		on.groups.coord.Delete(on.now, group.Token(tok), req.Groups[i], rq.Version, &on.groups.fx)
		on.groups.run(on)
	}, func() { rq.Answer(resp) })
}
