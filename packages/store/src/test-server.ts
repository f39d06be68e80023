/**
 * The program behind `startPostgres`: a PostgreSQL server in a fresh directory that lives as long as standard input is open, so
 * it ends with its test process however that ends. Prints the directory of its socket when it accepts connections. For each line
 * `crash` it dies as by kill -9, for each `start` it comes back over the same data; then it prints that word.
 * Arguments: the directory with the server's `bin` and `lib`, the directory to keep everything in.
 */
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chownSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { nobody, readable, superuser } from './test-programs.ts';

const asWhom = superuser ? { uid: nobody, gid: nobody } : {};

const [native = '', directory = ''] = process.argv.slice(2);
const bin = join(readable(native, directory), 'bin');
const data = join(directory, 'data');
let server: ChildProcess | undefined;
try {
  await makeData();
  server = await start();
  process.stdout.write(`${directory}\n`);
  for await (const order of createInterface(process.stdin)) {
    if (order === 'crash') await end(server);
    if (order === 'start') server = await start();
    process.stdout.write(`${order}\n`);
  }
} finally {
  if (server) await end(server); // at once: the data is thrown away
  rmSync(directory, { recursive: true, force: true });
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGQUIT');
  await ended;
}

async function makeData(): Promise<void> {
  if (superuser) chownSync(directory, nobody, nobody);
  const options = [
    '--username=croft',
    '--auth=trust',
    '--encoding=UTF8',
    '--locale=C',
    '--locale-provider=icu',
    '--icu-locale=en-US',
    '--no-sync',
  ];
  await promisify(execFile)(join(bin, 'initdb'), [`--pgdata=${data}`, ...options], { ...asWhom, cwd: directory });
}

async function start(): Promise<ChildProcess> {
  const volatile = { fsync: 'off', full_page_writes: 'off', shared_buffers: '32MB' };
  const settings = { listen_addresses: '', unix_socket_directories: directory, deadlock_timeout: '50ms', ...volatile };
  const flags = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  const child = spawn(join(bin, 'postgres'), ['-D', data, ...flags], { ...asWhom, cwd: directory, stdio: ['ignore', 'ignore', 'pipe'] });
  await ready(child);
  return child;
}

async function ready(child: ChildProcess): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let said = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    said = `${said}${text}`.slice(-4_000);
    if (said.includes('ready to accept connections')) resolve();
  });
  child.once('error', reject);
  child.once('exit', () => reject(new Error(`PostgreSQL ended: ${said}`)));
  await promise;
}
