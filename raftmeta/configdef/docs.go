package configdef

var topicDocs, brokerDocs, groupDocs, metricsDocs map[string]string
