// Package config reads heddle.toml: what a daemon serves, and the apps it runs.
//
// Load reads a file and those it extends, and reports everything that is wrong
// with them at once, each with file and line. What it returns knows where each
// value came from (Origin). Compare tells what a changed file asks for and
// whether a running daemon can do it; Routes picks the app of a request.
//
// The keys are a table, Keys: names, types, defaults, bounds, and when a change
// takes effect. A key that is also a flag of heddle run has its name and units.
package config
