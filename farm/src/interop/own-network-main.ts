/** The relay inside of a network of its own. Use: `own-network-main.ts ADDRESS:PORT=SOCKET …`; it says when it is open, and ends with its standard input. */
import { once } from 'node:events';
import { openRelay } from './relay.ts';

await using relays = new AsyncDisposableStack();
for (const route of process.argv.slice(2)) {
  const [, host = '', port = '', path = ''] = /^(.+):(\d+)=(.+)$/.exec(route) ?? [];
  relays.use(await openRelay({ host, port: Number(port) }, { path }));
}
process.stdout.write('open\n');
await once(process.stdin.resume(), 'end');
