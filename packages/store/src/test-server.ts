/**
 * The program behind `startPostgres`: a PostgreSQL server in a fresh directory that lives as long as standard input is open, so
 * it ends with its test process however that ends. Prints the directory of its socket when it accepts connections.
 * Arguments: the directory with the server's `bin` and `lib`, the directory to keep everything in.
 */
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { chownSync, cpSync, existsSync, mkdirSync, readFileSync, rmSync, statSync, symlinkSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { promisify } from 'node:util';

/** The server refuses to run as root; `nobody` owns nothing else worth having. */
const nobody = 65_534;
const superuser = process.getuid?.() === 0;
const asWhom = superuser ? { uid: nobody, gid: nobody } : {};

const [native = '', directory = ''] = process.argv.slice(2);
process.stdin.resume();
const asked = new Promise<void>((resolve) => process.stdin.once('end', resolve).once('error', () => resolve()));
try {
  const server = await start();
  process.stdout.write(`${directory}\n`);
  const ended = new Promise<void>((resolve) => server.once('exit', () => resolve()));
  await Promise.race([asked, ended]);
  server.kill('SIGQUIT'); // at once: the data is thrown away
  await ended;
} finally {
  rmSync(directory, { recursive: true, force: true });
}

async function start(): Promise<ChildProcess> {
  const bin = join(readable(native), 'bin');
  const data = join(directory, 'data');
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
  const volatile = { fsync: 'off', full_page_writes: 'off', shared_buffers: '32MB' };
  const settings = { listen_addresses: '', unix_socket_directories: directory, deadlock_timeout: '50ms', ...volatile };
  const flags = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  const server = spawn(join(bin, 'postgres'), ['-D', data, ...flags], { ...asWhom, cwd: directory, stdio: ['ignore', 'ignore', 'pipe'] });
  await ready(server);
  return server;
}

/** A copy where `nobody` may not reach the packages, such as below /root; else the packages themselves, with their links made. */
function readable(packaged: string): string {
  const place = superuser && !everybodyMayEnter(packaged) ? join(directory, 'postgres') : packaged;
  if (place !== packaged) cpSync(packaged, place, { recursive: true });
  // npm does not run the install script that makes these.
  const links = JSON.parse(readFileSync(join(place, 'pg-symlinks.json'), 'utf8')) as { source: string; target: string }[];
  for (const { source, target } of links) {
    const link = join(dirname(place), target.replace(/^native\//, `${basename(place)}/`));
    if (!existsSync(link)) makeLink(basename(source), link);
  }
  return place;
}

function makeLink(target: string, link: string): void {
  mkdirSync(dirname(link), { recursive: true });
  try {
    symlinkSync(target, link);
  } catch (error) {
    if (!existsSync(link)) throw error; // else another test process was first
  }
}

function everybodyMayEnter(path: string): boolean {
  for (let at = path; at !== dirname(at); at = dirname(at)) {
    if ((statSync(at).mode & 0o001) === 0) return false;
  }
  return true;
}

async function ready(server: ChildProcess): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let said = '';
  server.stderr?.setEncoding('utf8').on('data', (text: string) => {
    said = `${said}${text}`.slice(-4_000);
    if (said.includes('ready to accept connections')) resolve();
  });
  server.once('error', reject);
  server.once('exit', () => reject(new Error(`PostgreSQL ended: ${said}`)));
  await promise;
}
