"""A client on the Python framework 0.12: what bench/realpeers has every client
do. Arguments: the locator's port and an app's name, and then --protocol 1 --locator
HOST:PORT, which is where the framework's logger looks."""

from __future__ import print_function

import sys

from tornado import gen
from tornado.ioloop import IOLoop

from cocaine.detail.logger import Logger
from cocaine.services import Service

locators = [("127.0.0.1", int(sys.argv[1]))]


def tell(check, seen):
    print("seen", check, seen, sep="\t")
    sys.stdout.flush()


def fail(check, why):
    print("failed", check, why, sep="\t")


@gen.coroutine
def fails(check, future):
    try:
        got = yield future
        fail(check, "no error but %r" % (got,))
    except Exception as err:
        tell(check, "an error: %s" % str(err).replace("\n", " "))


@gen.coroutine
def one(future):
    channel = yield future
    got = yield channel.rx.get(timeout=5)
    raise gen.Return(got)


def text(b):
    return b.decode() if isinstance(b, bytes) else b


@gen.coroutine
def main():
    yield fails("unknown service", Service("nothing-here", endpoints=locators).connect())
    storage = Service("storage", endpoints=locators)
    yield one(storage.write("coll", "key", "value-1", ["tag"]))
    tell("storage.write", "done")
    got = yield one(storage.read("coll", "key"))
    tell("storage.read", '"%s"' % text(got))
    got = yield one(storage.find("coll", ["tag"]))
    tell("storage.find", "[%s]" % " ".join('"%s"' % text(k) for k in got))
    yield one(storage.remove("coll", "key"))
    tell("storage.remove", "done")
    yield fails("storage.read, missing", one(storage.read("coll", "key")))

    logging = Service("logging", endpoints=locators)
    got = yield one(logging.verbosity())
    tell("logging.verbosity", got)
    Logger().error("said by a client, %d", 1, extra={"number": 7})
    yield gen.sleep(0.3)  # nothing answers
    tell("logging.emit", "sent")

    app = Service(sys.argv[2], endpoints=locators)
    channel = yield app.enqueue("echo")
    for piece in (b"one", b"two", b"three"):
        yield channel.tx.write(piece)
        got = yield channel.rx.get(timeout=5)
        if got != piece:
            fail("enqueue", "got %r, want %r" % (got, piece))
    yield channel.tx.close()
    end = yield channel.rx.get(timeout=5)
    if type(end).__name__ != "EmptyResponse":
        fail("enqueue", "the stream ends with %r" % (end,))
    tell("enqueue", "3 pieces, there and back")
    yield fails("enqueue, unknown event", one(app.enqueue("no-such-event")))


IOLoop.current().run_sync(main, timeout=20)
