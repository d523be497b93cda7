// Package compat holds what foreign clients must be able to do with the broker.
//
// Not its job: the broker's limits and its life (test/broker), faults (test/chaos).
//
// run.sh installs the clients and runs runner, which is the whole of it; the tests of this
// package are the quick part: franz-go over both engines, both durabilities, one core and two.
package compat
