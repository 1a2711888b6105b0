// Package locator says where services are and what they can do: endpoints, and
// what a locator answers when it is asked to resolve a name, in both dialects
// and both ways (PROTOCOL.md 2.3, 3.3). It asks and answers nobody: package service
// is the client of a locator, and package service/host is one.
package locator
