// Package protocol holds the words that every room shares: API keys, error
// codes, topic ids, and nothing that does I/O or keeps state.
//
// Sub-packages: batch (views over record batches v2, compression), hot (Produce
// and Fetch, decoded in place and encoded without allocation). Every other
// message is franz-go's generated kmsg.
package protocol
