// An HTTP program on the node framework, 0.4 or 0.12: what the checks of
// bench/realpeers ask every worker for. For nodes from 0.10 on, so in plain old
// JavaScript.
var cocaine = require('cocaine')
var argv = require('optimist').argv
var url = require('url')
var http = cocaine.http // node's http, with its responses patched

function repeat(s, n) {
  return new Array(n + 1).join(s)
}

var routes = {
  '/pid': function (q, req, res) {
    res.end(String(process.pid))
  },
  '/echo': function (q, req, res) {
    var parts = []
    req.on('data', function (p) { parts.push(p) })
    req.on('end', function () {
      var body = Buffer.concat(parts)
      res.writeHead(201, {
        'X-Method': req.method,
        'X-Query': url.parse(req.url).query || '',
        'X-Got': req.headers['x-sent'] || '',
        'X-Twice': ['one', 'two']
      })
      res.end(body)
    })
  },
  '/big': function (q, req, res) {
    var line = repeat('0123456789abcdef', 1024)
    var n = Number(q.n)
    for (; n > line.length; n -= line.length) {
      res.write(line)
    }
    res.end(line.slice(0, n))
  },
  '/slow': function (q, req, res) {
    setTimeout(function () { res.end(String(process.pid)) }, Number(q.ms))
  },
  '/fail': function (q, req, res) {
    throw new Error('as asked') // nobody catches it: node ends the process
  }
}

var server = new http.Server(function (req, res) {
  var u = url.parse(req.url, true)
  var route = routes[u.pathname]
  if (!route) {
    res.writeHead(404)
    res.end()
    return
  }
  route(u.query, req, res)
})

var worker = new cocaine.Worker(argv)
worker.events.on('error', function (err) {
  console.error('worker:', err)
  process.exit(5)
})
server.listen(worker.getListenHandle('http'))
