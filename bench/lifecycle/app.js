// The app of bench/lifecycle as a plain program in JavaScript, with nothing but
// node's own modules: node app.js MARKER BLOCK -witness FILE -via node [-fail HOW].
// What it answers is said in app/main.go; it cannot call itself broken.
'use strict';
const http = require('http'), fs = require('fs'), crypto = require('crypto');

const [marker, blockFile, ...flags] = process.argv.slice(2);
const flag = (name) => { const i = flags.indexOf(name); return i < 0 ? '' : flags[i + 1]; };
switch (flag('-fail')) {
  case 'exit': console.error('this release leaves at once, as it was told to'); process.exit(1);
  case 'panic': throw new Error('this release panics, as it was told to');
}
const block = fs.readFileSync(blockFile);
const witness = fs.openSync(flag('-witness'), 'a', 0o600);
const worker = process.env.HEDDLE_UUID || 'none';
const says = { 'X-Marker': marker, 'X-Release': process.env.HEDDLE_RELEASE || 'none', 'X-Worker': worker, 'X-Pid': String(process.pid) };

const seen = (q) => fs.writeSync(witness, `${q.headers['x-request-id']} ${process.pid}\n`);
const line = (q) => `${marker} ${worker} ${q.headers['x-request-id']}\n`;
const millis = (d) => parseFloat(d) * (d.endsWith('ms') ? 1 : 1000); // Go's 50ms and 3s

function body(q, done) {
  const parts = [];
  q.on('data', (p) => parts.push(p));
  q.on('end', () => done(Buffer.concat(parts)));
}

const server = http.createServer((q, s) => {
  const url = new URL(q.url, 'http://x'), n = Number(url.searchParams.get('n'));
  if (url.pathname === '/') { s.end('Hello, heddle\n'); return; }
  seen(q);
  for (const [name, value] of Object.entries(says)) s.setHeader(name, value);
  switch (`${q.method} ${url.pathname}`) {
    case 'GET /get': s.end(line(q)); break;
    case 'POST /post': body(q, (b) => s.end(line(q) + b)); break;
    case 'POST /upload': body(q, (b) => {
      let good = b.length === n;
      for (let at = 0; good && at < n; at += block.length) {
        const piece = b.subarray(at, at + block.length);
        good = piece.equals(block.subarray(0, piece.length));
      }
      if (!good) s.statusCode = 400;
      s.end(line(q));
    }); break;
    case 'GET /download': {
      s.setHeader('Content-Type', 'application/octet-stream');
      s.setHeader('Content-Length', n);
      let left = n;
      const more = () => {
        while (left > 0) {
          const k = Math.min(left, block.length);
          left -= k;
          if (!s.write(block.subarray(0, k))) { s.once('drain', more); return; }
        }
        s.end();
      };
      more();
      break;
    }
    case 'GET /events': {
      s.setHeader('Content-Type', 'text/event-stream');
      let i = 0;
      const tick = setInterval(() => {
        s.write(`data: ${q.headers['x-request-id']} ${i}\n\n`);
        if (++i < n) return;
        clearInterval(tick);
        s.end('event: bye\ndata: bye\n\n');
      }, millis(url.searchParams.get('every')));
      s.on('close', () => clearInterval(tick));
      break;
    }
    default: s.statusCode = 404; s.end();
  }
});

// A WebSocket says what it hears: small masked frames only, RFC 6455 5.2.
server.on('upgrade', (q, c, head) => {
  seen(q);
  const accept = crypto.createHash('sha1').update(q.headers['sec-websocket-key'] + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11').digest('base64');
  let text = `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n`;
  for (const [name, value] of Object.entries(says)) text += `${name}: ${value}\r\n`;
  c.write(text + '\r\n');
  let have = head;
  const hear = (p) => {
    have = Buffer.concat([have, p]);
    while (have.length >= 6 && have.length >= 6 + (have[1] & 127)) {
      const op = have[0] & 15, n = have[1] & 127, mask = have.subarray(2, 6), said = Buffer.from(have.subarray(6, 6 + n));
      have = have.subarray(6 + n);
      for (let i = 0; i < n; i++) said[i] ^= mask[i & 3];
      c.write(Buffer.concat([Buffer.from([0x80 | op, n]), said]));
      if (op === 8) { c.end(); return; }
    }
  };
  c.on('data', hear);
  c.on('error', () => {});
  hear(Buffer.alloc(0));
});

if (flag('-fail') !== 'hang') server.listen(Number(process.env.PORT), '127.0.0.1');
else setTimeout(() => process.exit(1), 600000);
