// The client of node-ipc. Arguments: the socket's path. Commands and events are those of socket-ipc-client.js, but
// that it has no event of its own for a connection that is there again, nor for a failed try ("error").
const {IPC} = require('node-ipc');
const ipc = new IPC();
ipc.config.silent = true;
ipc.config.retry = 50;
ipc.connectTo('peer', process.argv[1], () => {
	const peer = ipc.of.peer;
	peer.on('connect', () => say('connect'));
	peer.on('disconnect', () => say('disconnect'));
	peer.on('error', (err) => say('error', {error: textOf(err)}));
	for (const topic of topics) { // its '*' does not survive an event without data
		peer.on(topic, (data) => say('message', {topic, data}));
	}
});
const peer = ipc.of.peer;
commands({
	send: ({topic, data, count = 1}) => {
		for (let i = 0; i < count; i++) {
			peer.emit(topic === undefined ? '' : topic, count > 1 ? i : data);
		}
	},
	shapeless: () => peer.emit(undefined, 1),
	close: () => {
		peer.on('destroy', () => say('close'));
		ipc.disconnect('peer');
	},
});
