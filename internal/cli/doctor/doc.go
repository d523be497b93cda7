// Package doctor judges a machine: does the kernel, do the limits, the file system
// and the disk suit a broker, and what should be changed.
//
// Not its job: changing anything. It writes one scratch file in the data directory
// to measure the disk, and removes it.
//
// Data in: /proc, /sys, system calls, a scratch file. Data out: checks, each OK,
// WARN or FAIL with what was found and what to do.
//
// Limits: the disk is measured for at most two seconds and with 64 MiB.
package doctor
