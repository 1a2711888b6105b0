// The server of node-ipc. Arguments: the socket's path. Otherwise as socket-ipc-server.js; its clients have the ids
// that they were counted to.
const {IPC} = require('node-ipc');
const ipc = new IPC();
ipc.config.silent = true;
const sockets = new Map();
ipc.serve(process.argv[1], () => {
	const {server} = ipc;
	server.on('connect', (socket) => {
		socket.peerID = String(sockets.size);
		sockets.set(socket.peerID, socket);
		say('connection', {id: socket.peerID});
	});
	server.on('error', (err) => say('error', {error: textOf(err)}));
	for (const topic of topics) {
		server.on(topic, (data, socket) => {
			switch (topic) {
			case 'tell':
				return say('message', {topic, data, id: socket.peerID});
			case 'shout':
				return server.broadcast(topic, data);
			}
			server.emit(socket, topic, data);
		});
	}
	say('listening');
});
commands({
	send: ({to, topic, data}) => ipc.server.emit(sockets.get(to), topic, data),
	broadcast: ({topic, data}) => ipc.server.broadcast(topic, data),
	close: () => {
		ipc.server.server.on('close', () => say('close'));
		ipc.server.stop();
		sockets.forEach((socket) => socket.end());
	},
});
ipc.server.start();
