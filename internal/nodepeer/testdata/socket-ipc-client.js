// The client of @crussell52/socket-ipc. Arguments: the socket's path.
// Commands: send {topic, data, count}, shapeless (a message without a topic), close.
// Events: connect, reconnect, disconnect, connectError, message {topic, data}, error, close.
const {Client} = require('@crussell52/socket-ipc');
const client = new Client({socketFile: process.argv[1], retryDelay: 50, reconnectDelay: {min: 50, max: 100}});
for (const name of ['connect', 'reconnect', 'disconnect', 'close']) {
	client.on(name, () => say(name));
}
client.on('connectError', (err) => say('connectError', {error: textOf(err)}));
client.on('error', (err) => say('error', {error: textOf(err)}));
client.on('message', (data, topic) => say('message', {topic, data}));
commands({
	send: ({topic, data, count = 1}) => {
		for (let i = 0; i < count; i++) {
			client.send(topic === undefined ? '' : topic, count > 1 ? i : data);
		}
	},
	shapeless: () => client.send(undefined, 1),
	close: () => client.close(),
});
client.connect();
