// A client on the node framework 0.12: what bench/realpeers has every client do.
// Arguments: the locator's port and an app's name.
var cocaine = require('cocaine')

var locator = ['127.0.0.1', Number(process.argv[2])]

function tell(check, seen) {
  console.log(['seen', check, seen].join('\t'))
}

function fail(check, why) {
  console.log(['failed', check, String(why && why.message || why)].join('\t'))
}

function connected(name, next) {
  var s = cocaine.Service(name, { locator: locator })
  s.once('connect', function () { next(s) })
  s.once('error', function (err) { fail(name, err); process.exit(1) })
  s.connect()
}

// value takes the one answer of a call.
function value(check, call, next, show) {
  call.recv({
    value: function (got) { tell(check, show ? show(got) : 'done'); next() },
    error: function (err) { fail(check, err); next() }
  })
}

// fails wants an error.
function fails(check, call, next) {
  var seen = function (got) { fail(check, 'no error but ' + got); next() }
  call.recv({
    value: seen, write: seen, close: seen,
    error: function (err) { tell(check, 'an error: ' + (err.message || JSON.stringify(err))); next() }
  })
}

function unknown(next) {
  var s = cocaine.Service('nothing-here', { locator: locator })
  s.once('error', function (err) { tell('unknown service', 'an error: ' + err.message); next() })
  s.connect()
}

function list(keys) {
  return '[' + keys.map(function (k) { return JSON.stringify(String(k)) }).join(' ') + ']'
}

function storage(next) {
  connected('storage', function (s) {
    value('storage.write', s.write('coll', 'key', 'value-1', ['tag']), function () {
      value('storage.read', s.read('coll', 'key'), function () {
        value('storage.find', s.find('coll', ['tag']), function () {
          value('storage.remove', s.remove('coll', 'key'), function () {
            fails('storage.read, missing', s.read('coll', 'key'), function () { s.close(); next() })
          })
        }, list)
      }, function (b) { return JSON.stringify(String(b)) })
    })
  })
}

function logging(next) {
  connected('logging', function (s) {
    value('logging.verbosity', s.verbosity(), function () {
      s.emit(3, 'app/client', 'said by a client', [['number', 7]])
      setTimeout(function () { tell('logging.emit', 'sent'); s.close(); next() }, 200) // nothing answers
    }, String)
  })
}

function app(next) {
  connected(process.argv[3], function (s) {
    var pieces = ['one', 'two', 'three']
    var call = s.enqueue('echo')
    ;(function one(i) {
      if (i === pieces.length) {
        call.send.close()
      } else {
        call.send.write(pieces[i])
      }
      call.recv({
        write: function (p) {
          if (String(p) !== pieces[i]) {
            fail('enqueue', 'got ' + p)
          }
          one(i + 1)
        },
        error: function (err) { fail('enqueue', err); next() },
        close: function () {
          tell('enqueue', i + ' pieces, there and back')
          fails('enqueue, unknown event', s.enqueue('no-such-event'), next)
        }
      })
    })(0)
  })
}

unknown(function () { storage(function () { logging(function () { app(function () { process.exit(0) }) }) }) })
