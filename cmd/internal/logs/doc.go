// Package logs keeps what workers write and which requests were answered.
//
// An [Output] takes the lines of one app's workers: into a [Ring] in memory, from
// which heddle logs reads, and into files if it was given any. An [Access] takes
// the front's requests. Both hand their lines to a [Sink], which alone writes:
// nobody who brings a line ever waits, for whatever does not fit is dropped and
// counted.
package logs
