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
// Requests are only read during the call, and nothing of them is kept but copies. What
// Effects hold is only to be read.
//
//	Empty ── join ──▶ PreparingRebalance ── all joined, or time is up ──▶ CompletingRebalance
//	  ▲                    ▲      │                                          │    leader's sync
//	  └── nobody is left ──┼──────┘                                          ▼    is durable
//	                       └── join, leave, session expired ◀────────────  Stable
//
// Invariants:
//
//	I1  Each token gets exactly one reply. The engine drops it if the connection is gone.
//	I2  All members that are in a generation get the assignment that its leader gave.
//	I3  A reply that says something was stored leaves after Appended said it is durable.
//	I4  A committed offset cannot be read before it is durable.
//	I5  The batches of one partition become durable in the order of their tickets.
//	I6  A group's records lie in the partition that PartitionFor says.
//	I7  The order of effects depends on the calls only, never on a map's order.
//
// Records have Kafka's own schemas, in the versions that 4.3 writes: OffsetCommitKey 1
// with OffsetCommitValue 4 (1 if the client gave a retention time), GroupMetadataKey 2
// with GroupMetadataValue 3. All older versions are read.
package group
