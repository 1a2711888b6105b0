// Package watch tells when what a program is built of has changed.
//
// What counts is a comparison of the files' sizes, times and modes; the kernel's
// notices (fsnotify) only say when to compare. So it does not matter how an
// editor saves, in which order notices come, or whether a directory was removed
// and made anew; and where there are no notices, it is looked at regularly all
// the same.
package watch
