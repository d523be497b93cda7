package engine

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/protocol"
	"millrace/raftmeta"
)

// supportedFeatures is what this program could finalize: the release profile of Kafka
// 4.3.1, as far as it is served. Clients go by what is finalized: without
// transaction.version they leave the newest transaction protocol alone.
var supportedFeatures = []kmsg.ApiVersionsResponseSupportedFeature{
	{Name: "kraft.version", MinVersion: 0, MaxVersion: 1},
	{Name: "metadata.version", MinVersion: 7, MaxVersion: 30},
}

// apiVersions says which requests are answered, in which versions.
func (c *Core) apiVersions(rq *Request, req *kmsg.ApiVersionsRequest) {
	resp := kmsg.NewPtrApiVersionsResponse()
	resp.FinalizedFeaturesEpoch = -1
	if rq.Version >= 3 && !(softwareName(req.ClientSoftwareName) && softwareName(req.ClientSoftwareVersion)) {
		resp.ErrorCode = int16(protocol.InvalidRequest)
		rq.AnswerCode(resp, protocol.InvalidRequest)
		return
	}
	for k := range protocol.Key(protocol.KeyCount) {
		if c.apis[k].serve != nil {
			resp.ApiKeys = append(resp.ApiKeys, apiRow(k))
		}
	}
	c.addFeatures(resp, rq.Version, c.topics.image)
	rq.Answer(resp)
}

func apiRow(k protocol.Key) kmsg.ApiVersionsResponseApiKey {
	row := kmsg.NewApiVersionsResponseApiKey()
	v := protocol.VersionsOf(k)
	row.ApiKey, row.MinVersion, row.MaxVersion = int16(k), v.Min, v.Max
	if k == protocol.Produce {
		row.MinVersion = protocol.ProduceAdvertisedMin
	}
	return row
}

func (c *Core) addFeatures(resp *kmsg.ApiVersionsResponse, version int16, img *raftmeta.Image) {
	if version < 3 {
		return
	}
	for _, f := range supportedFeatures {
		if f.MinVersion > 0 || version >= 4 { // clients of version 3 cannot read a 0 here
			resp.SupportedFeatures = append(resp.SupportedFeatures, f)
		}
	}
	resp.FinalizedFeaturesEpoch = int64(img.Index())
	for _, f := range img.Features() {
		if f.Name == "kraft.version" {
			continue // as in Kafka: it is not agreed on as the others are
		}
		row := kmsg.NewApiVersionsResponseFinalizedFeature()
		row.Name, row.MaxVersionLevel, row.MinVersionLevel = f.Name, f.Level, f.Level
		resp.FinalizedFeatures = append(resp.FinalizedFeatures, row)
	}
}

// unknownApiVersions answers a version of ApiVersions that is newer than ours, in the
// form of version 0, so that the client can ask again (KIP-511).
func (c *Core) unknownApiVersions(rq *Request) {
	resp := kmsg.NewPtrApiVersionsResponse()
	resp.ErrorCode = int16(protocol.UnsupportedVersion)
	resp.ApiKeys = []kmsg.ApiVersionsResponseApiKey{apiRow(protocol.ApiVersions)}
	rq.Version = 0
	rq.AnswerCode(resp, protocol.UnsupportedVersion)
}

// softwareName is Kafka's pattern: letters and digits, with dots and dashes inside.
func softwareName(s string) bool {
	for i := range len(s) {
		b := s[i]
		alnum := b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9'
		inside := i > 0 && i < len(s)-1 && (b == '.' || b == '-')
		if !alnum && !inside {
			return false
		}
	}
	return s != ""
}
