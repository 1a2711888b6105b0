"""A client on the Python framework 0.11: what bench/realpeers has every client
do. Arguments: the locator's port and an app's name."""

import sys

from cocaine.exceptions import ChokeEvent
from cocaine.services import Service

port = int(sys.argv[1])


def tell(check, seen):
    print "\t".join(("seen", check, str(seen)))
    sys.stdout.flush()


def fail(check, why):
    print "\t".join(("failed", check, str(why)))


def fails(check, call):
    try:
        fail(check, "no error but %r" % (call(),))
    except Exception as err:
        tell(check, "an error: %s" % str(err).replace("\n", " "))


def void(chain):
    """Waits for a call without a value, which ends as a ChokeEvent."""
    try:
        chain.get(timeout=5)
    except ChokeEvent:
        pass


fails("unknown service", lambda: Service("nothing-here", host="127.0.0.1", port=port))
storage = Service("storage", host="127.0.0.1", port=port)
void(storage.write("coll", "key", "value-1", ["tag"]))
tell("storage.write", "done")
tell("storage.read", '"%s"' % storage.read("coll", "key").get(timeout=5))
tell("storage.find", "[%s]" % " ".join('"%s"' % k for k in storage.find("coll", ["tag"]).get(timeout=5)))
void(storage.remove("coll", "key"))
tell("storage.remove", "done")
fails("storage.read, missing", lambda: storage.read("coll", "key").get(timeout=5))

logging = Service("logging", host="127.0.0.1", port=port)
tell("logging.verbosity", logging.verbosity().get(timeout=5))
void(logging.emit(1, "app/client", "said by a client"))
tell("logging.emit", "sent")

app = Service(sys.argv[2], host="127.0.0.1", port=port)
# The framework unpacks each chunk, and the event echo gives the bytes back as
# they are: so they are msgpack already.
got = app.enqueue("echo", "\xa3one").get(timeout=5)
if got == "one":
    tell("enqueue", "one piece, there and back")
else:
    fail("enqueue", "got %r" % got)
fails("enqueue, unknown event", lambda: app.enqueue("no-such-event", "x").get(timeout=5))
