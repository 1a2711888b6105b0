// Package systemd is what a daemon has to say to the service manager that
// started it, and what it is given by it: sd_notify(3), the watchdog of
// sd_watchdog_enabled(3), and the sockets of sd_listen_fds(3). Anybody who sets
// the same variables may stand in systemd's place: podman, s6, a test.
//
// The protocols are three variables and a datagram each, and are written here by
// hand: what coreos/go-systemd has of them neither says why it ignores a
// variable, nor bounds how long a message may take, nor takes all of the
// variables out of the environment that children get.
package systemd
