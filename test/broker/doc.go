// Package broker runs the real millrace binary for tests that drive it from outside.
//
// Not its job: clients, faults, checking. It builds the program once per test process,
// starts it on free ports with a data directory of its own, waits until it is ready,
// and ends it.
package broker
