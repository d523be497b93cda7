// Package tidy is the house's style as a test: what may import what, how long a
// file or a function may be, what a core may not call, and whether the documents
// still tell the truth about paths and links.
//
// Not its job: correctness. go vet, staticcheck and the rooms' own tests do that.
//
// Data in: the work tree. Data out: findings, each with its place and the rule.
//
// Limits: files 600 lines, functions 70 lines (tests excepted), lines 120 columns
// with a tab as 4 (200 where rows of tables stand). The aim is 400, 50 and 100.
package tidy
