// The client of Nodesockd. Arguments: the socket's path, and the directory of a built Nodesockd; without one a
// stand-in of our own takes its place, which writes the bytes that the real one was seen to write.
// Commands: status, send {topic, data, to: selector}, ask {topic, data, to}, close.
// Events: connect, reply {topic: the command, data}, error {topic, error}, close. An ask's data is an array.
const [path, nodesockd] = process.argv.slice(1);

class StandIn {
	constructor(path) {
		this.path = path;
		this.waiting = new Map();
	}
	run() {
		return new Promise((resolve, reject) => {
			this.socket = require('net').connect(this.path, resolve);
			this.socket.on('error', reject);
			const lines = require('readline').createInterface({input: this.socket});
			lines.on('line', (line) => {
				const {requestId, data, errors} = JSON.parse(line);
				const {resolve, reject} = this.waiting.get(requestId);
				this.waiting.delete(requestId);
				if (errors) {
					reject(Object.assign(new Error(), {errors}));
				} else {
					resolve(data);
				}
			});
		});
	}
	terminate() {
		return new Promise((resolve) => this.socket.end(resolve));
	}
	request(type, data) {
		const id = require('crypto').randomUUID();
		this.socket.write(JSON.stringify({type, id, data}) + '\n');
		return new Promise((resolve, reject) => this.waiting.set(id, {resolve, reject}));
	}
	getStatus() {
		return this.request('status');
	}
	sendAppMessage(message, data, workers) {
		return this.request('send-app-msg', {message, data, workers});
	}
	async * sendAppRequest(request, data, workers) {
		yield * await this.request('send-app-req', {request, data, workers});
	}
}

const Client = nodesockd ? require(require('path').join(nodesockd, 'dist', 'client')).NodesockdClient : StandIn;
const client = new Client(path);
const tell = (topic, promise) => promise.then(
	(data) => say('reply', {topic, data}),
	(err) => say('error', {topic, error: err.errors ? err.errors.join(', ') : textOf(err)}));
commands({
	status: () => tell('status', client.getStatus()),
	send: ({topic, data, to}) => tell('send', client.sendAppMessage(topic, data, to)),
	ask: ({topic, data, to}) => tell('ask', (async () => {
		const all = [];
		for await (const reply of client.sendAppRequest(topic, data, to)) {
			all.push(reply);
		}
		return all;
	})()),
	close: () => client.terminate().then(() => say('close')),
});
client.run().then(() => say('connect'), (err) => say('error', {topic: 'connect', error: textOf(err)}));
