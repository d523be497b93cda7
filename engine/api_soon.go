package engine

import "github.com/twmb/franz-go/pkg/kmsg"

func (c *Core) createTopics(rq *Request, req *kmsg.CreateTopicsRequest)       { panic("soon") }
func (c *Core) describeConfigs(rq *Request, req *kmsg.DescribeConfigsRequest) { panic("soon") }
func (c *Core) alterConfigs(rq *Request, req *kmsg.AlterConfigsRequest)       { panic("soon") }
func (c *Core) incrementalAlterConfigs(rq *Request, req *kmsg.IncrementalAlterConfigsRequest) {
	panic("soon")
}
