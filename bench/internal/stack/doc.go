// Package stack starts the programs that the benchmarks compare, loads them
// with wrk, and reads from /proc what they cost. It needs Linux to run and
// only the standard library to build.
package stack
