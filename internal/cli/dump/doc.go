// Package dump is `millrace dump`: it shows and checks the files of a data directory that
// no broker uses.
//
// Not its job: knowing formats, which is that of segment/inspect, and mending anything.
//
// Data in: paths. Data out: lines of text, or one JSON object per line; exit code 1 when
// something is damaged.
package dump
