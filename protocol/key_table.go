package protocol

// API keys, by Kafka's names.
const (
	Produce                               Key = 0
	Fetch                                 Key = 1
	ListOffsets                           Key = 2
	Metadata                              Key = 3
	LeaderAndIsr                          Key = 4
	StopReplica                           Key = 5
	UpdateMetadata                        Key = 6
	ControlledShutdown                    Key = 7
	OffsetCommit                          Key = 8
	OffsetFetch                           Key = 9
	FindCoordinator                       Key = 10
	JoinGroup                             Key = 11
	Heartbeat                             Key = 12
	LeaveGroup                            Key = 13
	SyncGroup                             Key = 14
	DescribeGroups                        Key = 15
	ListGroups                            Key = 16
	SaslHandshake                         Key = 17
	ApiVersions                           Key = 18
	CreateTopics                          Key = 19
	DeleteTopics                          Key = 20
	DeleteRecords                         Key = 21
	InitProducerId                        Key = 22
	OffsetForLeaderEpoch                  Key = 23
	AddPartitionsToTxn                    Key = 24
	AddOffsetsToTxn                       Key = 25
	EndTxn                                Key = 26
	WriteTxnMarkers                       Key = 27
	TxnOffsetCommit                       Key = 28
	DescribeAcls                          Key = 29
	CreateAcls                            Key = 30
	DeleteAcls                            Key = 31
	DescribeConfigs                       Key = 32
	AlterConfigs                          Key = 33
	AlterReplicaLogDirs                   Key = 34
	DescribeLogDirs                       Key = 35
	SaslAuthenticate                      Key = 36
	CreatePartitions                      Key = 37
	CreateDelegationToken                 Key = 38
	RenewDelegationToken                  Key = 39
	ExpireDelegationToken                 Key = 40
	DescribeDelegationToken               Key = 41
	DeleteGroups                          Key = 42
	ElectLeaders                          Key = 43
	IncrementalAlterConfigs               Key = 44
	AlterPartitionReassignments           Key = 45
	ListPartitionReassignments            Key = 46
	OffsetDelete                          Key = 47
	DescribeClientQuotas                  Key = 48
	AlterClientQuotas                     Key = 49
	DescribeUserScramCredentials          Key = 50
	AlterUserScramCredentials             Key = 51
	Vote                                  Key = 52
	BeginQuorumEpoch                      Key = 53
	EndQuorumEpoch                        Key = 54
	DescribeQuorum                        Key = 55
	AlterPartition                        Key = 56
	UpdateFeatures                        Key = 57
	Envelope                              Key = 58
	FetchSnapshot                         Key = 59
	DescribeCluster                       Key = 60
	DescribeProducers                     Key = 61
	BrokerRegistration                    Key = 62
	BrokerHeartbeat                       Key = 63
	UnregisterBroker                      Key = 64
	DescribeTransactions                  Key = 65
	ListTransactions                      Key = 66
	AllocateProducerIds                   Key = 67
	ConsumerGroupHeartbeat                Key = 68
	ConsumerGroupDescribe                 Key = 69
	ControllerRegistration                Key = 70
	GetTelemetrySubscriptions             Key = 71
	PushTelemetry                         Key = 72
	AssignReplicasToDirs                  Key = 73
	ListConfigResources                   Key = 74
	DescribeTopicPartitions               Key = 75
	ShareGroupHeartbeat                   Key = 76
	ShareGroupDescribe                    Key = 77
	ShareFetch                            Key = 78
	ShareAcknowledge                      Key = 79
	AddRaftVoter                          Key = 80
	RemoveRaftVoter                       Key = 81
	UpdateRaftVoter                       Key = 82
	InitializeShareGroupState             Key = 83
	ReadShareGroupState                   Key = 84
	WriteShareGroupState                  Key = 85
	DeleteShareGroupState                 Key = 86
	ReadShareGroupStateSummary            Key = 87
	StreamsGroupHeartbeat                 Key = 88
	StreamsGroupDescribe                  Key = 89
	DescribeShareGroupOffsets             Key = 90
	AlterShareGroupOffsets                Key = 91
	DeleteShareGroupOffsets               Key = 92
	StreamsGroupTopologyDescriptionUpdate Key = 93
	UnregisterController                  Key = 94

	// KeyCount bounds arrays that are indexed by Key.
	KeyCount = 95
)

var keyNames = [KeyCount]string{
	Produce:                               "Produce",
	Fetch:                                 "Fetch",
	ListOffsets:                           "ListOffsets",
	Metadata:                              "Metadata",
	LeaderAndIsr:                          "LeaderAndIsr",
	StopReplica:                           "StopReplica",
	UpdateMetadata:                        "UpdateMetadata",
	ControlledShutdown:                    "ControlledShutdown",
	OffsetCommit:                          "OffsetCommit",
	OffsetFetch:                           "OffsetFetch",
	FindCoordinator:                       "FindCoordinator",
	JoinGroup:                             "JoinGroup",
	Heartbeat:                             "Heartbeat",
	LeaveGroup:                            "LeaveGroup",
	SyncGroup:                             "SyncGroup",
	DescribeGroups:                        "DescribeGroups",
	ListGroups:                            "ListGroups",
	SaslHandshake:                         "SaslHandshake",
	ApiVersions:                           "ApiVersions",
	CreateTopics:                          "CreateTopics",
	DeleteTopics:                          "DeleteTopics",
	DeleteRecords:                         "DeleteRecords",
	InitProducerId:                        "InitProducerId",
	OffsetForLeaderEpoch:                  "OffsetForLeaderEpoch",
	AddPartitionsToTxn:                    "AddPartitionsToTxn",
	AddOffsetsToTxn:                       "AddOffsetsToTxn",
	EndTxn:                                "EndTxn",
	WriteTxnMarkers:                       "WriteTxnMarkers",
	TxnOffsetCommit:                       "TxnOffsetCommit",
	DescribeAcls:                          "DescribeAcls",
	CreateAcls:                            "CreateAcls",
	DeleteAcls:                            "DeleteAcls",
	DescribeConfigs:                       "DescribeConfigs",
	AlterConfigs:                          "AlterConfigs",
	AlterReplicaLogDirs:                   "AlterReplicaLogDirs",
	DescribeLogDirs:                       "DescribeLogDirs",
	SaslAuthenticate:                      "SaslAuthenticate",
	CreatePartitions:                      "CreatePartitions",
	CreateDelegationToken:                 "CreateDelegationToken",
	RenewDelegationToken:                  "RenewDelegationToken",
	ExpireDelegationToken:                 "ExpireDelegationToken",
	DescribeDelegationToken:               "DescribeDelegationToken",
	DeleteGroups:                          "DeleteGroups",
	ElectLeaders:                          "ElectLeaders",
	IncrementalAlterConfigs:               "IncrementalAlterConfigs",
	AlterPartitionReassignments:           "AlterPartitionReassignments",
	ListPartitionReassignments:            "ListPartitionReassignments",
	OffsetDelete:                          "OffsetDelete",
	DescribeClientQuotas:                  "DescribeClientQuotas",
	AlterClientQuotas:                     "AlterClientQuotas",
	DescribeUserScramCredentials:          "DescribeUserScramCredentials",
	AlterUserScramCredentials:             "AlterUserScramCredentials",
	Vote:                                  "Vote",
	BeginQuorumEpoch:                      "BeginQuorumEpoch",
	EndQuorumEpoch:                        "EndQuorumEpoch",
	DescribeQuorum:                        "DescribeQuorum",
	AlterPartition:                        "AlterPartition",
	UpdateFeatures:                        "UpdateFeatures",
	Envelope:                              "Envelope",
	FetchSnapshot:                         "FetchSnapshot",
	DescribeCluster:                       "DescribeCluster",
	DescribeProducers:                     "DescribeProducers",
	BrokerRegistration:                    "BrokerRegistration",
	BrokerHeartbeat:                       "BrokerHeartbeat",
	UnregisterBroker:                      "UnregisterBroker",
	DescribeTransactions:                  "DescribeTransactions",
	ListTransactions:                      "ListTransactions",
	AllocateProducerIds:                   "AllocateProducerIds",
	ConsumerGroupHeartbeat:                "ConsumerGroupHeartbeat",
	ConsumerGroupDescribe:                 "ConsumerGroupDescribe",
	ControllerRegistration:                "ControllerRegistration",
	GetTelemetrySubscriptions:             "GetTelemetrySubscriptions",
	PushTelemetry:                         "PushTelemetry",
	AssignReplicasToDirs:                  "AssignReplicasToDirs",
	ListConfigResources:                   "ListConfigResources",
	DescribeTopicPartitions:               "DescribeTopicPartitions",
	ShareGroupHeartbeat:                   "ShareGroupHeartbeat",
	ShareGroupDescribe:                    "ShareGroupDescribe",
	ShareFetch:                            "ShareFetch",
	ShareAcknowledge:                      "ShareAcknowledge",
	AddRaftVoter:                          "AddRaftVoter",
	RemoveRaftVoter:                       "RemoveRaftVoter",
	UpdateRaftVoter:                       "UpdateRaftVoter",
	InitializeShareGroupState:             "InitializeShareGroupState",
	ReadShareGroupState:                   "ReadShareGroupState",
	WriteShareGroupState:                  "WriteShareGroupState",
	DeleteShareGroupState:                 "DeleteShareGroupState",
	ReadShareGroupStateSummary:            "ReadShareGroupStateSummary",
	StreamsGroupHeartbeat:                 "StreamsGroupHeartbeat",
	StreamsGroupDescribe:                  "StreamsGroupDescribe",
	DescribeShareGroupOffsets:             "DescribeShareGroupOffsets",
	AlterShareGroupOffsets:                "AlterShareGroupOffsets",
	DeleteShareGroupOffsets:               "DeleteShareGroupOffsets",
	StreamsGroupTopologyDescriptionUpdate: "StreamsGroupTopologyDescriptionUpdate",
	UnregisterController:                  "UnregisterController",
}

// kafka431 is what an Apache Kafka 4.3.1 broker serves on a client listener: lowest
// and highest stable version, first flexible version (−1: none). Keys that only a
// controller serves, that were removed, or that came later are absent.
var kafka431 = [KeyCount]Versions{
	Produce:                      {3, 13, 9, true},
	Fetch:                        {4, 18, 12, true},
	ListOffsets:                  {1, 11, 6, true},
	Metadata:                     {0, 13, 9, true},
	OffsetCommit:                 {2, 10, 8, true},
	OffsetFetch:                  {1, 10, 6, true},
	FindCoordinator:              {0, 6, 3, true},
	JoinGroup:                    {0, 9, 6, true},
	Heartbeat:                    {0, 4, 4, true},
	LeaveGroup:                   {0, 5, 4, true},
	SyncGroup:                    {0, 5, 4, true},
	DescribeGroups:               {0, 6, 5, true},
	ListGroups:                   {0, 5, 3, true},
	SaslHandshake:                {0, 1, -1, true},
	ApiVersions:                  {0, 4, 3, true},
	CreateTopics:                 {2, 7, 5, true},
	DeleteTopics:                 {1, 6, 4, true},
	DeleteRecords:                {0, 2, 2, true},
	InitProducerId:               {0, 5, 2, true},
	OffsetForLeaderEpoch:         {2, 4, 4, true},
	AddPartitionsToTxn:           {0, 5, 3, true},
	AddOffsetsToTxn:              {0, 4, 3, true},
	EndTxn:                       {0, 5, 3, true},
	WriteTxnMarkers:              {1, 2, 1, true},
	TxnOffsetCommit:              {0, 5, 3, true},
	DescribeAcls:                 {1, 3, 2, true},
	CreateAcls:                   {1, 3, 2, true},
	DeleteAcls:                   {1, 3, 2, true},
	DescribeConfigs:              {1, 4, 4, true},
	AlterConfigs:                 {0, 2, 2, true},
	AlterReplicaLogDirs:          {1, 2, 2, true},
	DescribeLogDirs:              {1, 5, 2, true},
	SaslAuthenticate:             {0, 2, 2, true},
	CreatePartitions:             {0, 3, 2, true},
	CreateDelegationToken:        {1, 3, 2, true},
	RenewDelegationToken:         {1, 2, 2, true},
	ExpireDelegationToken:        {1, 2, 2, true},
	DescribeDelegationToken:      {1, 3, 2, true},
	DeleteGroups:                 {0, 2, 2, true},
	ElectLeaders:                 {0, 2, 2, true},
	IncrementalAlterConfigs:      {0, 1, 1, true},
	AlterPartitionReassignments:  {0, 1, 0, true},
	ListPartitionReassignments:   {0, 0, 0, true},
	OffsetDelete:                 {0, 0, -1, true},
	DescribeClientQuotas:         {0, 1, 1, true},
	AlterClientQuotas:            {0, 1, 1, true},
	DescribeUserScramCredentials: {0, 0, 0, true},
	AlterUserScramCredentials:    {0, 0, 0, true},
	DescribeQuorum:               {0, 2, 0, true},
	UpdateFeatures:               {0, 2, 0, true},
	DescribeCluster:              {0, 2, 0, true},
	DescribeProducers:            {0, 0, 0, true},
	UnregisterBroker:             {0, 0, 0, true},
	DescribeTransactions:         {0, 0, 0, true},
	ListTransactions:             {0, 2, 0, true},
	ConsumerGroupHeartbeat:       {0, 1, 0, true},
	ConsumerGroupDescribe:        {0, 1, 0, true},
	GetTelemetrySubscriptions:    {0, 0, 0, true},
	PushTelemetry:                {0, 0, 0, true},
	ListConfigResources:          {0, 1, 0, true},
	DescribeTopicPartitions:      {0, 0, 0, true},
	ShareGroupHeartbeat:          {1, 1, 0, true},
	ShareGroupDescribe:           {1, 1, 0, true},
	ShareFetch:                   {1, 2, 0, true},
	ShareAcknowledge:             {1, 2, 0, true},
	AddRaftVoter:                 {0, 1, 0, true},
	RemoveRaftVoter:              {0, 0, 0, true},
	InitializeShareGroupState:    {0, 0, 0, true},
	ReadShareGroupState:          {0, 0, 0, true},
	WriteShareGroupState:         {0, 1, 0, true},
	DeleteShareGroupState:        {0, 0, 0, true},
	ReadShareGroupStateSummary:   {0, 1, 0, true},
	StreamsGroupHeartbeat:        {0, 0, 0, true},
	StreamsGroupDescribe:         {0, 0, 0, true},
	DescribeShareGroupOffsets:    {0, 1, 0, true},
	AlterShareGroupOffsets:       {0, 0, 0, true},
	DeleteShareGroupOffsets:      {0, 0, 0, true},
}
