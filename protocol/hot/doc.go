// Package hot decodes Produce and Fetch in place and encodes their answers without
// allocation. It also reads request headers and writes response headers.
//
// Not its job: deciding anything about a request, record batches (package batch), and
// the APIs off the hot path (protocol.Decode).
// Data in: the body of one frame. Data out: fields and views over the same bytes;
// answers appended to the caller's memory.
//
// Invariants:
//
//	I1  Parse walks the whole body and counts; when it returned nil, iterating cannot
//	    fail, go out of bounds, or yield other counts.
//	I2  Views are valid as long as the frame's bytes are. Nothing is copied.
//	I3  No method allocates. Writers append, so memory of the size that the …Max
//	    functions name never grows.
//	I4  A Fetch answer's record bytes are not in the writer's memory: Partition says at
//	    which position of it they belong, and End counts them into the frame's size.
package hot
