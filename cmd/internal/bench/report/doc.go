// Package report makes of a run's result what people and other tools read: a page of
// charts, a log of histograms, the comparison of several runs, and the line that a
// terminal shows meanwhile. The plain text and the table of intervals are bench's own.
//
// A page is one file that asks for nothing else: no script, no font, no picture. Its
// charts are paths in a coordinate system of 1000 by 1000 that the browser stretches;
// what has letters lies over them as HTML, so that it keeps its size on any screen.
package report
