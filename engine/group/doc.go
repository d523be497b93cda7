// Package group is Kafka's classic group coordinator as a pure state machine:
// JoinGroup, SyncGroup, Heartbeat, LeaveGroup, DescribeGroups, ListGroups,
// DeleteGroups, OffsetCommit, OffsetFetch, OffsetDelete.
//
// Not its job: sockets, goroutines, clocks, writing. Requests go in with a Token
// and the time; replies and record batches come out as Effects. One Coordinator
// serves the partitions of __consumer_offsets that one core owns.
//
//	in    Join, Sync, Heartbeat, … · Appended(ticket) · Expire(now) · Load, LoadDone, Unload
//	out   Effects.Replies: token → response · Effects.Appends: one atomic batch each
//
// Invariants:
//
//	I1  Each token gets exactly one reply, unless Cancel named it.
//	I2  All members that are in a generation get the assignment that its leader gave.
//	I3  A reply that says something was stored leaves after Appended said it is durable.
//	I4  A committed offset cannot be read before it is durable.
//	I5  The batches of one partition of __consumer_offsets become durable in the order
//	    of their tickets.
//	I6  A group's records lie in the partition PartitionFor says.
package group
