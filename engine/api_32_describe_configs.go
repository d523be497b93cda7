package engine

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/protocol"
	"millrace/raftmeta/configdef"
)

// describeConfigs tells what configs are in force, and why.
func (c *Core) describeConfigs(rq *Request, req *kmsg.DescribeConfigsRequest) {
	img, configs := c.topics.image, c.configs
	size := len(req.Resources) * manyPartitions / 10 // each is some ten µs of work
	c.answerFrom(rq, size, func() kmsg.Response {
		resp := kmsg.NewPtrDescribeConfigsResponse()
		for i := range req.Resources {
			r := &req.Resources[i]
			ask := configdef.Ask{
				Resource: resourceOf(r.ResourceType, r.ResourceName), Names: r.ConfigNames,
				Synonyms: req.IncludeSynonyms, Docs: req.IncludeDocumentation,
			}
			if len(ask.Names) == 0 {
				ask.Names = nil // Kafka's answer to an empty list is everything
			}
			rr := kmsg.NewDescribeConfigsResponseResource()
			rr.ResourceType, rr.ResourceName = r.ResourceType, r.ResourceName
			entries, it := configs.Describe(img, ask)
			rr.ErrorCode, rr.ErrorMessage = int16(it.Code), &it.Message
			if it.Code == protocol.None {
				rr.Configs = configRows(entries)
			}
			resp.Resources = append(resp.Resources, rr)
		}
		return resp
	})
}

func configRows(entries []configdef.Entry) []kmsg.DescribeConfigsResponseResourceConfig {
	rows := make([]kmsg.DescribeConfigsResponseResourceConfig, 0, len(entries))
	for i := range entries {
		e := &entries[i]
		row := kmsg.NewDescribeConfigsResponseResourceConfig()
		row.Name, row.Value, row.ReadOnly = e.Name, e.Value, e.ReadOnly
		row.Source, row.IsSensitive = kmsg.ConfigSource(e.Source), e.Sensitive
		row.ConfigType = kmsg.ConfigType(e.Type)
		if e.Doc != "" {
			row.Documentation = &e.Doc
		}
		for _, s := range e.Synonyms {
			syn := kmsg.NewDescribeConfigsResponseResourceConfigConfigSynonym()
			syn.Name, syn.Value, syn.Source = s.Name, s.Value, kmsg.ConfigSource(s.Source)
			row.ConfigSynonyms = append(row.ConfigSynonyms, syn)
		}
		rows = append(rows, row)
	}
	return rows
}
