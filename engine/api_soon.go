package engine

import "github.com/twmb/franz-go/pkg/kmsg"

func (c *Core) apiVersions(rq *Request, req *kmsg.ApiVersionsRequest)           { panic("soon") }
func (c *Core) metadata(rq *Request, req *kmsg.MetadataRequest)                 { panic("soon") }
func (c *Core) listOffsets(rq *Request, req *kmsg.ListOffsetsRequest)           { panic("soon") }
func (c *Core) createTopics(rq *Request, req *kmsg.CreateTopicsRequest)         { panic("soon") }
func (c *Core) deleteTopics(rq *Request, req *kmsg.DeleteTopicsRequest)         { panic("soon") }
func (c *Core) createPartitions(rq *Request, req *kmsg.CreatePartitionsRequest) { panic("soon") }
func (c *Core) deleteRecords(rq *Request, req *kmsg.DeleteRecordsRequest)       { panic("soon") }
func (c *Core) initProducerID(rq *Request, req *kmsg.InitProducerIDRequest)     { panic("soon") }
func (c *Core) offsetForLeaderEpoch(rq *Request, req *kmsg.OffsetForLeaderEpochRequest) {
	panic("soon")
}
func (c *Core) describeConfigs(rq *Request, req *kmsg.DescribeConfigsRequest) { panic("soon") }
func (c *Core) alterConfigs(rq *Request, req *kmsg.AlterConfigsRequest)       { panic("soon") }
func (c *Core) incrementalAlterConfigs(rq *Request, req *kmsg.IncrementalAlterConfigsRequest) {
	panic("soon")
}
func (c *Core) describeCluster(rq *Request, req *kmsg.DescribeClusterRequest) { panic("soon") }
func (c *Core) describeTopicPartitions(rq *Request, req *kmsg.DescribeTopicPartitionsRequest) {
	panic("soon")
}
func (c *Core) describeLogDirs(rq *Request, req *kmsg.DescribeLogDirsRequest)     { panic("soon") }
func (c *Core) describeProducers(rq *Request, req *kmsg.DescribeProducersRequest) { panic("soon") }
func (c *Core) unknownApiVersions(rq *Request)                                    { panic("soon") }
