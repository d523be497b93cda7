package engine

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/protocol"
	"millrace/raftmeta"
)

// Endpoint types of DescribeCluster (KIP-919).
const (
	endpointBrokers     = 1
	endpointControllers = 2
)

// describeCluster names the cluster and its brokers.
func (c *Core) describeCluster(rq *Request, req *kmsg.DescribeClusterRequest) {
	resp := kmsg.NewPtrDescribeClusterResponse()
	resp.EndpointType = endpointBrokers
	resp.ControllerID, resp.ClusterAuthorizedOperations = -1, noOperations
	if rq.Version >= 1 && req.EndpointType != endpointBrokers {
		code := protocol.UnsupportedEndpointType
		text := fmt.Sprintf("Unsupported endpoint type %d", req.EndpointType)
		if req.EndpointType == endpointControllers {
			code = protocol.MismatchedEndpointType
			text = "The request was sent to an endpoint of type BROKER, but we wanted an " +
				"endpoint of type CONTROLLER"
		}
		resp.ErrorCode, resp.ErrorMessage = int16(code), &text
		rq.AnswerCode(resp, code)
		return
	}
	img := c.topics.image
	resp.ClusterID, resp.ControllerID = img.ClusterID(), c.cfg.NodeID
	if req.IncludeClusterAuthorizedOperations {
		resp.ClusterAuthorizedOperations = clusterOperations
	}
	for _, n := range c.nodes(rq, img) {
		if n.fenced && !req.IncludeFencedBrokers {
			continue
		}
		b := kmsg.NewDescribeClusterResponseBroker()
		b.NodeID, b.Host, b.Port, b.Rack, b.IsFenced = n.id, n.host, n.port, n.rack, n.fenced
		resp.Brokers = append(resp.Brokers, b)
	}
	rq.Answer(resp)
}

// node is a broker as one client is told of it: by the listener it came in on.
type node struct {
	id     protocol.NodeID
	host   string
	port   int32
	rack   *string
	fenced bool
}

// nodes lists the registered brokers that have the client's listener.
func (c *Core) nodes(rq *Request, img *raftmeta.Image) []node {
	var list []node
	listener := c.bound[rq.Listener].Name
	for i := range img.Brokers() {
		b := &img.Brokers()[i]
		n := node{id: b.ID, fenced: b.Fenced}
		if b.Rack != "" {
			n.rack = &b.Rack
		}
		if b.ID == c.cfg.NodeID {
			n.host, n.port = c.advertised(rq)
			list = append(list, n)
			continue
		}
		for _, e := range b.Endpoints {
			if e.Listener == listener {
				n.host, n.port = e.Host, e.Port
				list = append(list, n)
				break
			}
		}
	}
	return list
}
