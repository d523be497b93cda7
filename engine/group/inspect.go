package group

import (
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/protocol"
)

// describeSaysUnknown is the first version of DescribeGroups with GROUP_ID_NOT_FOUND.
const describeSaysUnknown = 6

// classicType is the type of all groups here, as ListGroups spells it.
const classicType = "classic"

// Describe answers for one group of DescribeGroups.
func (c *Coordinator) Describe(version int16, name string) kmsg.DescribeGroupsResponseGroup {
	resp := kmsg.NewDescribeGroupsResponseGroup()
	resp.Group = strings.Clone(name)
	_, g, code := c.find(name)
	if code != protocol.None {
		resp.ErrorCode = int16(code)
		return resp
	}
	if g == nil {
		resp.State = Dead.String()
		if version >= describeSaysUnknown {
			resp.ErrorCode = int16(protocol.GroupIdNotFound)
			resp.ErrorMessage = kmsg.StringPtr("Group " + name + " not found.")
		}
		return resp
	}
	resp.State = g.state.String()
	resp.ProtocolType = g.protocolType
	if g.state == Stable && g.protocol != nil {
		resp.Protocol = *g.protocol
	}
	for m := g.first; m != nil; m = m.next {
		d := kmsg.NewDescribeGroupsResponseGroupMember()
		d.MemberID, d.InstanceID = m.id, m.instance
		d.ClientID, d.ClientHost = m.client.ID, m.client.Host
		d.MemberAssignment = m.assignment
		if g.state == Stable {
			d.ProtocolMetadata = m.metadata(g.protocol)
		}
		resp.Members = append(resp.Members, d)
	}
	return resp
}

// List appends the groups that pass the filters of ListGroups to dst; an empty filter lets
// all pass. The code is COORDINATOR_LOAD_IN_PROGRESS while a partition loads.
func (c *Coordinator) List(states, types []string, dst []kmsg.ListGroupsResponseGroup) (
	[]kmsg.ListGroupsResponseGroup, protocol.Code) {
	for _, p := range c.order {
		if p.loading {
			return dst, protocol.CoordinatorLoadInProgress
		}
	}
	if !passes(types, classicType) {
		return dst, protocol.None
	}
	for _, p := range c.order {
		for _, g := range p.list {
			if !passes(states, g.state.String()) {
				continue
			}
			l := kmsg.NewListGroupsResponseGroup()
			l.Group, l.ProtocolType = g.name, g.protocolType
			l.GroupState, l.GroupType = g.state.String(), classicType
			dst = append(dst, l)
		}
	}
	return dst, protocol.None
}

func passes(filter []string, what string) bool {
	for _, f := range filter {
		if strings.EqualFold(f, what) {
			return true
		}
	}
	return len(filter) == 0
}
