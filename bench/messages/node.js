// Both sides of @crussell52/socket-ipc, as measured. Arguments: server or client, the socket's path.
//
// The server counts messages of topic "one", answers each "ack" with its length, and "end" with the count of that
// client. The client's command "run" has {ack, size, count, ms, clients}: that many clients send until the time
// is over or together they have sent the count; the event "done" has {sent, arrived}. Both answer "cpu" with the
// microseconds that they have used.
const {Server, Client} = require('@crussell52/socket-ipc');
const [role, path] = process.argv.slice(1);
const cpu = () => {
	const {user, system} = process.cpuUsage();
	say('cpu', {data: user + system});
};
const most = 1 << 20; // bytes that a client may have in its socket, which nobody else bounds

if (role === 'server') {
	const server = new Server({socketFile: path});
	const counts = new Map();
	server.on('connection', (id) => counts.set(id, 0));
	server.on('message.one', (message, id) => counts.set(id, counts.get(id) + 1));
	server.on('message.ack', (message, id) => {
		counts.set(id, counts.get(id) + 1);
		server.send('ack', message.length, id);
	});
	server.on('message.end', (message, id) => server.send('end', counts.get(id), id));
	server.on('error', (err) => { throw err; });
	server.on('listening', () => say('listening'));
	commands({cpu});
	server.listen();
} else {
	const connect = () => new Promise((resolve) => {
		const client = new Client({socketFile: path});
		client.on('connect', (socket) => resolve([client, socket]));
		client.on('error', (err) => { throw err; });
		client.connect();
	});
	let connected = [];
	commands({
		cpu,
		connect: async ({count}) => {
			connected = await Promise.all(Array.from({length: count}, connect));
			say('connected');
		},
		run: async ({data: {ack, size, count, ms}}) => {
			const body = 'x'.repeat(size);
			const until = Date.now() + ms;
			let sent = 0;
			const more = () => sent < count && Date.now() < until;
			const flood = ([client, socket]) => new Promise((resolve) => {
				const turn = () => {
					for (let i = 0; i < 16 && more() && socket.writableLength < most; i++, sent++) {
						client.send('one', body);
					}
					more() ? setImmediate(turn) : resolve();
				};
				turn();
			});
			const ask = ([client]) => new Promise((resolve) => {
				const next = () => {
					if (!more()) {
						client.removeListener('message.ack', next);
						return resolve();
					}
					sent++;
					client.send('ack', body);
				};
				client.on('message.ack', next);
				next();
			});
			const end = ([client]) => new Promise((resolve) => {
				client.once('message.end', resolve);
				client.send('end', 0);
			});
			const counts = await Promise.all(connected.map(async (c) => {
				await (ack ? ask : flood)(c);
				return end(c);
			}));
			say('done', {data: {sent, arrived: counts.reduce((a, b) => a + b, 0)}});
		},
	});
}
