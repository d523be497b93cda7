// Package configdef knows every config name of Kafka 4.3.1: type, default, rule, where it
// may be set, and what it means here.
//
// Not its job: storing values (raftmeta's image does) and acting on them.
package configdef
