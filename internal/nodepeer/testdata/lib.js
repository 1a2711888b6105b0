// What all scripts share. say writes an event; commands calls the handler of each command that comes in, and
// ends the process when there are no more.
const say = (event, more) => process.stdout.write(JSON.stringify({event, ...more}) + '\n');
const commands = (handlers) => {
	const lines = require('readline').createInterface({input: process.stdin});
	lines.on('line', (line) => {
		const c = JSON.parse(line);
		handlers[c.do](c);
	});
	lines.on('close', () => process.exit(0));
};
const textOf = (err) => String(err && (err.code || err.message) || err);

// The topics of the dialogues, for systems that cannot listen to all.
const topics = ['echo', 'shout', 'burst', 'tell', 'one', 'all', 'after', 'message', 'resume', 'drain', 'terminate', 'online', 'é\n\f\0'];
