package engine

import (
	"fmt"
	"strconv"

	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/protocol"
	"millrace/raftmeta"
	"millrace/raftmeta/configdef"
)

// alterConfigs replaces all values of resources (deprecated, still used).
func (c *Core) alterConfigs(rq *Request, req *kmsg.AlterConfigsRequest) {
	a := alteration{img: c.topics.image, node: c.cfg.NodeID, seen: make(map[raftmeta.Resource]int)}
	for i := range req.Resources {
		a.seen[resourceOf(req.Resources[i].ResourceType, req.Resources[i].ResourceName)]++
	}
	for i := range req.Resources {
		r := &req.Resources[i]
		a.add(resourceOf(r.ResourceType, r.ResourceName),
			func(res raftmeta.Resource) (raftmeta.ResourceEdits, raftmeta.Item) {
				list := make([]configdef.Wanted, 0, len(r.Configs))
				for _, e := range r.Configs {
					list = append(list, configdef.Wanted{Name: e.Name, Value: e.Value})
				}
				return c.configs.PlanReplace(a.img, res, list)
			})
	}
	c.alter(&a, req.ValidateOnly, func() {
		resp := kmsg.NewPtrAlterConfigsResponse()
		for i := range req.Resources {
			rr := kmsg.NewAlterConfigsResponseResource()
			rr.ResourceType, rr.ResourceName = req.Resources[i].ResourceType, req.Resources[i].ResourceName
			rr.ErrorCode, rr.ErrorMessage = int16(a.items[i].Code), messageOf(a.items[i].Message)
			resp.Resources = append(resp.Resources, rr)
		}
		rq.Answer(resp)
	})
}

// incrementalAlterConfigs changes single values of resources (KIP-339).
func (c *Core) incrementalAlterConfigs(rq *Request, req *kmsg.IncrementalAlterConfigsRequest) {
	a := alteration{img: c.topics.image, node: c.cfg.NodeID, seen: make(map[raftmeta.Resource]int)}
	for i := range req.Resources {
		a.seen[resourceOf(req.Resources[i].ResourceType, req.Resources[i].ResourceName)]++
	}
	for i := range req.Resources {
		r := &req.Resources[i]
		a.add(resourceOf(r.ResourceType, r.ResourceName),
			func(res raftmeta.Resource) (raftmeta.ResourceEdits, raftmeta.Item) {
				list := make([]configdef.Alter, 0, len(r.Configs))
				for _, e := range r.Configs {
					list = append(list, configdef.Alter{Op: int8(e.Op),
						Wanted: configdef.Wanted{Name: e.Name, Value: e.Value}})
				}
				return c.configs.PlanAlter(a.img, res, list)
			})
	}
	c.alter(&a, req.ValidateOnly, func() {
		resp := kmsg.NewPtrIncrementalAlterConfigsResponse()
		for i := range req.Resources {
			rr := kmsg.NewIncrementalAlterConfigsResponseResource()
			rr.ResourceType, rr.ResourceName = req.Resources[i].ResourceType, req.Resources[i].ResourceName
			rr.ErrorCode, rr.ErrorMessage = int16(a.items[i].Code), messageOf(a.items[i].Message)
			resp.Resources = append(resp.Resources, rr)
		}
		rq.Answer(resp)
	})
}

func resourceOf(t kmsg.ConfigResourceType, name string) raftmeta.Resource {
	return raftmeta.Resource{Type: raftmeta.ResourceType(t), Name: name}
}

// alteration is one request that changes configs.
type alteration struct {
	img   *raftmeta.Image
	node  protocol.NodeID
	seen  map[raftmeta.Resource]int
	items []raftmeta.Item // by resource of the request
	cmd   raftmeta.SetConfigs
	at    []int // places of cmd's resources in items
}

// add judges one resource's change.
func (a *alteration) add(res raftmeta.Resource,
	plan func(raftmeta.Resource) (raftmeta.ResourceEdits, raftmeta.Item)) {
	it := a.refusal(res)
	if it.Code == protocol.None {
		var edits raftmeta.ResourceEdits
		if edits, it = plan(res); it.Code == protocol.None {
			a.cmd.Resources = append(a.cmd.Resources, edits)
			a.at = append(a.at, len(a.items))
		}
	}
	a.items = append(a.items, it)
}

// refusal is what stands in the way before values are looked at.
func (a *alteration) refusal(res raftmeta.Resource) raftmeta.Item {
	invalid := func(format string, args ...any) raftmeta.Item {
		return raftmeta.Item{Code: protocol.InvalidRequest, Message: fmt.Sprintf(format, args...)}
	}
	if a.seen[res] > 1 {
		return invalid("Each resource must appear at most once.")
	}
	switch res.Type {
	case raftmeta.ResourceTopic:
		if why := raftmeta.InvalidTopicName(res.Name); why != "" && res.Name != "" {
			return raftmeta.Item{Code: protocol.InvalidTopicException, Message: why}
		}
	case raftmeta.ResourceBroker:
		if res.Name == "" {
			break
		}
		id, err := strconv.ParseInt(res.Name, 10, 32)
		if err != nil {
			return invalid("Node id must be an integer, but it is: %s", res.Name)
		}
		if protocol.NodeID(id) != a.node {
			return invalid("Unexpected broker id, expected %d, but received %s", a.node, res.Name)
		}
	case raftmeta.ResourceGroup, raftmeta.ResourceClientMetrics:
	case raftmeta.ResourceBrokerLogger:
		return raftmeta.Item{Code: protocol.InvalidConfig,
			Message: "Loggers of this broker have no levels of their own."}
	default:
		return invalid("Unknown resource type %d", res.Type)
	}
	return raftmeta.Item{}
}

// alter proposes what was judged good, or only asks whether it would be.
func (c *Core) alter(a *alteration, validateOnly bool, answer func()) {
	settle := func(o raftOutcome, err error) {
		for i, place := range a.at {
			if err != nil {
				a.items[place] = raftmeta.Item{Code: proposalCode(err)}
				continue
			}
			a.items[place] = o.Items[i]
		}
		answer()
	}
	switch {
	case len(a.at) == 0:
		answer()
	case validateOnly:
		settle(raftmeta.Check(a.img, a.cmd), nil)
	default:
		c.propose(a.cmd, settle)
	}
}
