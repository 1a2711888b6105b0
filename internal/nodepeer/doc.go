// Package nodepeer is test support: it runs the real packages of older systems on node, as clients and as
// servers, so that what speaks their framings is tried with them and not with our idea of them.
//
//	socket-ipc  @crussell52/socket-ipc 0.4.0  client and server
//	node-ipc    node-ipc 9.2.1                client and server
//	nodesockd   Nodesockd 2.0.0-rc.8          client
//
// A package is installed in its exact version, with scripts off, once per machine: into heddle-test-npm below
// [os.UserCacheDir]. Nodesockd is in no registry: who has built it names its directory in HEDDLE_TEST_NODESOCKD. In its
// place there is a stand-in, which is our own and writes the bytes that the real client was seen to write.
//
// The scripts in testdata are driven by JSON lines: commands on standard input, events on standard output. They
// end when their input does.
package nodepeer
