// Package netio is the border with the kernel: operations go down, completions
// come up. It knows no Kafka.
//
// Not its job: framing, retries, policy. A short receive, a short send and an
// error are completions like any other; the engine decides what they mean.
//
// Data: Step gives []Op, the driver calls Submit, then Reap fills []Completion.
//
// Two engines stand behind Ring: io_uring (NewUring) and epoll (NewEpoll). Probe
// says which one this host allows. They differ in speed, never in meaning: one
// test suite runs over both.
//
// Invariants:
//
//	I1  Every op that is submitted completes exactly once (a multishot accept:
//	    once per connection, and once more without More when it ends).
//	I2  Memory named by an op (Mem, Vec and what Vec points to) is off-heap, and
//	    belongs to the kernel until the completion. The Vec array itself is
//	    copied by Submit.
//	I3  Only Wake may be called from another thread. Submit and Reap are called
//	    from one locked OS thread for the ring's whole life; Close too, or by anyone
//	    once that thread has ended.
//	I4  Sends on one socket are never reordered: the engine has at most one OpSend
//	    and at most one OpRecv or OpPoll in flight per socket.
//	I5  A socket lives on one ring: once an op has named it there, that ring's OpClose
//	    closes it, because engines keep state per descriptor. (The ring that accepts
//	    a socket may give it away before that.) Files may be closed by others when no
//	    op on them is in flight.
//
// Limits: MaxVec pieces a gathered op (IOV_MAX); MaxLen bytes one piece of memory
// (the kernel's own limit of a transfer, rounded down).
package netio
