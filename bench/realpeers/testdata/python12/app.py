"""An HTTP program on the Python framework 0.12, for Python 2.7 and 3: what the
checks of bench/realpeers ask every worker for."""

import os

import msgpack
import six
from six.moves.urllib.parse import parse_qs, urlparse
from tornado import gen

from cocaine.decorators import tornado_http
from cocaine.exceptions import ChokeEvent
from cocaine.worker import Worker

LINE = b"0123456789abcdef" * 1024


@gen.coroutine
def answer(method, uri, headers, body, response):
    url = urlparse(uri)
    query = dict((k, v[0]) for k, v in parse_qs(url.query).items())
    if url.path == "/pid":
        response.write_head(200, [])
        response.write(str(os.getpid()))
    elif url.path == "/echo":
        response.write_head(201, [
            ("X-Method", method),
            ("X-Query", url.query),
            ("X-Got", headers.get("X-Sent", "")),
            ("X-Twice", "one"),
            ("X-Twice", "two"),
        ])
        if body:
            response.write(body)
    elif url.path == "/big":
        response.write_head(200, [])
        n = int(query["n"])
        while n > 0:
            response.write(LINE[:n])
            n -= len(LINE)
    elif url.path == "/slow":
        yield gen.sleep(int(query["ms"]) / 1000.0)
        response.write_head(200, [])
        response.write(str(os.getpid()))
    elif url.path == "/fail":
        raise RuntimeError("as asked")
    else:
        response.write_head(404, [])
    response.close()


@tornado_http
def serve2(request, response):
    req = yield request.read()
    yield answer(req.method, req.uri, req.headers, req.body, response)


class Heads(object):
    """The stream of serve3's answer, which begins with a head."""

    def __init__(self, stream):
        self.write, self.close = stream.write, stream.close

    def write_head(self, code, headers):
        self.write(msgpack.packb((code, headers)))


def serve3(request, response):
    # The framework's own decorators do not decode the request line on Python 3.
    method, uri, _, headers, body = msgpack.unpackb((yield request.read()))
    headers = dict((k.decode(), v.decode()) for k, v in headers)
    yield answer(method.decode(), uri.decode(), headers, body, Heads(response))


def echo(request, response):
    try:
        while True:
            response.write((yield request.read()))
    except ChokeEvent:
        response.close()


Worker().run({"http": serve3 if six.PY3 else serve2, "echo": echo})
