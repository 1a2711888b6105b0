// The server of @crussell52/socket-ipc. Arguments: the socket's path. A message of topic "tell" becomes an event, one of
// "shout" goes to all clients, and any other back to its sender.
// Commands: send {to, topic, data}, broadcast {topic, data}, close.
// Events: listening, connection {id}, message {topic, data, id}, error, close.
const {Server} = require('@crussell52/socket-ipc');
const server = new Server({socketFile: process.argv[1]});
server.on('listening', () => say('listening'));
server.on('connection', (id) => say('connection', {id}));
server.on('close', () => say('close'));
server.on('error', (err, id) => say('error', {error: textOf(err), id}));
server.on('message', (data, topic, id) => {
	switch (topic) {
	case 'tell':
		return say('message', {topic, data, id});
	case 'shout':
		return server.broadcast(topic, data);
	}
	server.send(topic, data, id);
});
commands({
	send: ({to, topic, data}) => server.send(topic, data, to),
	broadcast: ({topic, data}) => server.broadcast(topic, data),
	close: () => server.close(),
});
server.listen();
