// Package mutant names deliberately wrong variants of the broker, which the simulator
// must catch: they show that it looks where it should.
//
// Not its job: being wrong. The seams are where the right code is, each an
// `if mutant.X`; what they change is told at the name.
//
// In every ordinary build the names are constants and false, so that nothing of them is
// left in the program. Built with the tag mutants they are variables, and Use switches
// one on. A seam is a line or two; what needs more is no mutant but another program.
package mutant
