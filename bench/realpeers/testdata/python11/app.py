"""An HTTP program on the Python framework 0.11: what the checks of
bench/realpeers ask every worker for."""

import os
import urlparse
from datetime import timedelta

from tornado.ioloop import IOLoop

from cocaine.decorators.http import tornado
from cocaine.logging import Logger
from cocaine.worker import Worker

LINE = "0123456789abcdef" * 1024

log = Logger()  # says on stderr what it cannot say to a logging service


@tornado
def serve(request, response):
    req = yield request.read()
    url = urlparse.urlparse(req.uri)
    query = dict((k, v[0]) for k, v in urlparse.parse_qs(url.query).items())
    if url.path == "/pid":
        response.write_head(200, [])
        response.write(str(os.getpid()))
    elif url.path == "/echo":
        response.write_head(201, [
            ("X-Method", req.method),
            ("X-Query", url.query),
            ("X-Got", req.headers.get("X-Sent", "")),
            ("X-Twice", "one"),
            ("X-Twice", "two"),
        ])
        if req.body:
            response.write(req.body)
    elif url.path == "/big":
        response.write_head(200, [])
        n = int(query["n"])
        while n > 0:
            response.write(LINE[:n])
            n -= len(LINE)
    elif url.path == "/slow":
        def late():
            response.write_head(200, [])
            response.write(str(os.getpid()))
            response.close()
        IOLoop.instance().add_timeout(timedelta(milliseconds=int(query["ms"])), late)
        return
    elif url.path == "/fail":
        raise RuntimeError("as asked")
    else:
        response.write_head(404, [])
    response.close()


def echo(request, response):
    response.write((yield request.read()))
    response.close()


Worker().run({"http": serve, "echo": echo})
