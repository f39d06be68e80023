/**
 * A network for Go's programs alone, in which the names and ports that are built into them are ours: a network and mount namespace with its own
 * loopback and hosts file. The only way out of it are the Unix sockets of its relay (`own-network-main.ts`), so nothing else is reached by mistake.
 */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempDisposable, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { MINUTE, systemClock } from '@croft/runtime/clock';
import { errorText } from '@croft/runtime/errors';
import { openRelay } from './relay.ts';

export type Command = readonly [string, ...string[]];

export interface OwnNetwork extends AsyncDisposable {
  /** What runs that command in it, in this directory. The process is the command's own. */
  enter(dir: string, command: Command): Command;
}

/** `ADDRESS:PORT` of its loopback (127.0.0.0/8), each with the port of this machine's loopback that answers there. */
export type Places = Readonly<Record<string, number>>;

const relayMain = fileURLToPath(new URL('./own-network-main.ts', import.meta.url));
const startMs = MINUTE;
const begin = 'mount --bind "$0" /etc/hosts && ip link set lo up && exec "$@"';

/** Why there can be none here. */
export async function withoutOwnNetwork(): Promise<string | undefined> {
  const signal = systemClock.deadline(startMs);
  const tried = promisify(execFile)('unshare', ['--net', '--mount', 'ip', 'link', 'set', 'lo', 'up'], { signal });
  return tried.then(
    () => undefined,
    (error: unknown) => `network and mount namespaces are not permitted here: ${errorText(error).trim().split('\n').at(-1)}`,
  );
}

/** @param names of its hosts file, by address */
export async function openOwnNetwork(names: Readonly<Record<string, string>>, places: Places): Promise<OwnNetwork> {
  await using stack = new AsyncDisposableStack();
  const { path: dir } = stack.use(await mkdtempDisposable(join(tmpdir(), 'croft-network-')));
  const hosts = join(dir, 'hosts');
  await writeFile(hosts, ['127.0.0.1 localhost', ...Object.entries(names).map((line) => line.join(' '))].join('\n').concat('\n'));
  const routes: string[] = [];
  for (const [at, port] of Object.entries(places)) {
    const path = join(dir, `${routes.length}.sock`);
    stack.use(await openRelay({ path }, { port, host: '127.0.0.1' }));
    routes.push(`${at}=${path}`);
  }
  const holder = spawn('unshare', ['--net', '--mount', 'sh', '-c', begin, hosts, process.execPath, relayMain, ...routes]);
  const [said, ended] = [text(holder.stderr), once(holder, 'close')];
  stack.defer(async () => void (holder.kill('SIGKILL'), await ended));
  const failed = ended.then(async () => Promise.reject(new Error(`a network of its own: ${await said}`)));
  failed.catch(() => undefined);
  await Promise.race([once(holder.stdout, 'data', { signal: systemClock.deadline(startMs) }), failed]);
  const owned = stack.move();
  return {
    enter: (at, command) => [
      'nsenter',
      '--target',
      String(holder.pid),
      '--net',
      '--mount',
      'sh',
      '-c',
      'cd "$0" && exec "$@"',
      at,
      ...command,
    ],
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
