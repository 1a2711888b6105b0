// A client on the node framework 0.4: what bench/realpeers has every client do.
// Arguments: the locator and an app's name.
var mp = require('msgpack')
var Client = require('cocaine').Client

var cli = new Client(process.argv[2])

function tell(check, seen) {
  console.log(['seen', check, String(seen).split('\n')[0]].join('\t'))
}

function fail(check, why) {
  console.log(['failed', check, String(why && why.message || why)].join('\t'))
}

// result makes a callback that tells and goes on.
function result(check, next, show) {
  return function (err, got) {
    if (err) {
      fail(check, err)
    } else {
      tell(check, show ? show(got) : 'done')
    }
    next()
  }
}

// fails makes a callback that wants an error.
function fails(check, next) {
  return function (err, got) {
    if (err) {
      tell(check, 'an error: ' + err.message)
    } else {
      fail(check, 'no error but ' + got)
    }
    next()
  }
}

// connected calls next with a service once it is connected.
function connected(name, next) {
  var s = cli.Service(name, name === 'storage' ? 'storage' : 'app')
  s.once('connect', function () { next(s) })
  s.once('error', function (err) { fail(name, err); process.exit(1) })
  s.connect()
}

function unknown(next) {
  var s = cli.Service('nothing-here')
  s.once('error', function (err) { fails('unknown service', next)(err) })
  s.connect()
}

function list(keys) {
  return '[' + keys.map(function (k) { return JSON.stringify(String(k)) }).join(' ') + ']'
}

function storage(next) {
  connected('storage', function (s) {
    s.write('coll', 'key', 'value-1', ['tag'], result('storage.write', function () {
      s.read('coll', 'key', result('storage.read', function () {
        s.find('coll', ['tag'], result('storage.find', function () {
          s.remove('coll', 'key', result('storage.remove', function () {
            s.read('coll', 'key', fails('storage.read, missing', next))
          }))
        }, list))
      }, function (b) { return JSON.stringify(String(b)) }))
    }))
  })
}

function logging(next) {
  var log = cli.Logger('client')
  log.once('error', function (err) { fail('logging', err); process.exit(1) })
  log.once('connect', function () {
    tell('logging.verbosity', log._verbosity)
    log.error('said by a client, %d', 1, result('logging.emit', next, function () { return 'sent' }))
  })
  log.connect()
}

function app(next) {
  connected(process.argv[3], function (s) {
    var got = []
    var r = s.enqueue('echo', 'one')
    r.on('data', function (p) { got.push(p) })
    r.on('error', function (err) { fail('enqueue', err) })
    r.on('end', function () {
      if (Buffer.concat(got).toString() === 'one') {
        tell('enqueue', 'one piece, there and back')
      } else {
        fail('enqueue', 'got ' + got)
      }
      var e = s.enqueue('no-such-event', 'x')
      e.on('error', function (err) { fails('enqueue, unknown event', next)(err) })
      e.on('end', function () {})
      e.resume()
    })
  })
}

cli.on('error', function (err) { fail('client', JSON.stringify(err)); process.exit(1) })

unknown(function () { storage(function () { logging(function () { app(function () { process.exit(0) }) }) }) })
