package engine

import (
	"errors"

	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/protocol"
	"millrace/protocol/hot"
	"millrace/raftmeta"
)

// api is one row of the table of requests that are answered. It is also what
// ApiVersions says: an absent row is an unsupported API. Versions are those of
// protocol.VersionsOf.
type api struct {
	serve    func(c *Core, cn *conn, seq uint32, h *hot.Header, body []byte)
	overlaps bool // may be outstanding together with others of its connection (I1)
}

var apis [protocol.KeyCount]api

// The table is filled at start, since handlers refer to it (ApiVersions).
func init() {
	apis = [protocol.KeyCount]api{
		protocol.Produce: {serve: (*Core).produce, overlaps: true},
		protocol.Fetch:   {serve: (*Core).fetch, overlaps: true},

		protocol.ApiVersions:             {serve: cold((*Core).apiVersions)},
		protocol.Metadata:                {serve: cold((*Core).metadata)},
		protocol.ListOffsets:             {serve: cold((*Core).listOffsets)},
		protocol.CreateTopics:            {serve: cold((*Core).createTopics)},
		protocol.DeleteTopics:            {serve: cold((*Core).deleteTopics)},
		protocol.CreatePartitions:        {serve: cold((*Core).createPartitions)},
		protocol.DeleteRecords:           {serve: cold((*Core).deleteRecords)},
		protocol.InitProducerId:          {serve: cold((*Core).initProducerID)},
		protocol.OffsetForLeaderEpoch:    {serve: cold((*Core).offsetForLeaderEpoch)},
		protocol.DescribeConfigs:         {serve: cold((*Core).describeConfigs)},
		protocol.AlterConfigs:            {serve: cold((*Core).alterConfigs)},
		protocol.IncrementalAlterConfigs: {serve: cold((*Core).incrementalAlterConfigs)},
		protocol.DescribeCluster:         {serve: cold((*Core).describeCluster)},
		protocol.DescribeTopicPartitions: {serve: cold((*Core).describeTopicPartitions)},
		protocol.DescribeLogDirs:         {serve: cold((*Core).describeLogDirs)},
		protocol.DescribeProducers:       {serve: cold((*Core).describeProducers)},

		protocol.FindCoordinator: {serve: cold((*Core).findCoordinator)},
		protocol.JoinGroup:       {serve: cold((*Core).joinGroup)},
		protocol.SyncGroup:       {serve: cold((*Core).syncGroup)},
		protocol.Heartbeat:       {serve: cold((*Core).heartbeat)},
		protocol.LeaveGroup:      {serve: cold((*Core).leaveGroup)},
		protocol.OffsetCommit:    {serve: cold((*Core).offsetCommit)},
		protocol.OffsetFetch:     {serve: cold((*Core).offsetFetch)},
		protocol.OffsetDelete:    {serve: cold((*Core).offsetDelete)},
		protocol.DescribeGroups:  {serve: cold((*Core).describeGroups)},
		protocol.ListGroups:      {serve: cold((*Core).listGroups)},
		protocol.DeleteGroups:    {serve: cold((*Core).deleteGroups)},
	}
}

// Request is one request off the hot path. Its handler answers exactly once, now or
// later, from the core that got it; Answer does nothing when the connection is gone.
type Request struct {
	Key         protocol.Key
	Version     int16
	Correlation int32
	ClientID    string
	Host        string // of the client, without port
	Listener    int32  // index in Core.bound
	Local       string // address that the client connected to
	Principal   string // User:ANONYMOUS until authentication comes

	core *Core
	to   answerTo
}

// cold makes a row's serve from a handler that takes decoded messages. The body is
// copied: decoded byte slices lie in it for as long as the handler likes.
func cold[T kmsg.Request](handle func(c *Core, rq *Request, req T)) func(
	*Core, *conn, uint32, *hot.Header, []byte) {
	return func(c *Core, cn *conn, seq uint32, h *hot.Header, body []byte) {
		rq := &Request{
			Key: h.Key, Version: h.Version, Correlation: h.Correlation,
			ClientID: string(h.ClientID), Host: cn.host, Listener: cn.lsn, Local: cn.local,
			Principal: "User:ANONYMOUS", core: c, to: cn.to(seq),
		}
		if h.Key == protocol.ApiVersions && !protocol.VersionsOf(h.Key).Has(h.Version) {
			c.unknownApiVersions(rq)
			return
		}
		req, err := protocol.Decode(h.Key, h.Version, append([]byte(nil), body...))
		if err != nil {
			c.badFrame(cn, "malformed "+h.Key.String())
			return
		}
		handle(c, rq, req.(T))
	}
}

// Answer sends resp, whose version is set to the request's. It must be called on the
// core that got the request.
func (rq *Request) Answer(resp kmsg.Response) {
	resp.SetVersion(rq.Version)
	rq.core.reply(rq.to, protocol.Encode(nil, rq.Correlation, resp), false)
}

// AnswerCode is Answer, counted as a failure when the code is one.
func (rq *Request) AnswerCode(resp kmsg.Response, code protocol.Code) {
	resp.SetVersion(rq.Version)
	rq.core.reply(rq.to, protocol.Encode(nil, rq.Correlation, resp), code != protocol.None)
}

// Gone says whether nobody waits for the answer any more.
func (rq *Request) Gone() bool {
	cn, _ := rq.core.pendingAnswer(rq.to)
	return cn == nil
}

// gather runs fn once on each core named in at, and then done here. fn may answer
// later by calling its argument, from its own core, exactly once. It is the way of cold
// requests that touch partitions of several cores.
func (c *Core) gather(cores []int, fn func(c *Core, i int, ok func()), done func()) {
	left := len(cores)
	if left == 0 {
		done()
		return
	}
	home := c.id
	for i, core := range cores {
		c.call(core, func(on *Core) {
			fn(on, i, func() {
				on.call(home, func(*Core) {
					if left--; left == 0 {
						done()
					}
				})
			})
		})
	}
}

// propose asks the quorum to agree on a command; then runs here, when this core's
// image has it (I5).
func (c *Core) propose(cmd raftCommand, then func(o raftOutcome, err error)) {
	c.meta.Propose(cmd, func(o raftOutcome, err error) {
		c.inbox.Post(func(*Core) { then(o, err) })
	})
}

// proposalCode is what a client is told of a proposal that the quorum did not take.
func proposalCode(err error) protocol.Code {
	if errors.Is(err, raftmeta.ErrNoSpace) {
		return protocol.KafkaStorageError
	}
	return protocol.RequestTimedOut // retriable, and true: its fate may be unknown
}
