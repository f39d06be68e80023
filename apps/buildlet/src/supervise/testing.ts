/** What the tests of the supervisor share: a farm that offers versions, and a supervisor as a process over a fresh directory. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Manifest } from '@croft/protocol/distribution';
import { systemClock } from '@croft/runtime/clock';
import { sha256Hex } from '@croft/runtime/digest';
import { until } from '../testing.ts';

const main = fileURLToPath(new URL('main.ts', import.meta.url));

export interface TestFarm extends AsyncDisposable {
  readonly url: string;
  /** What was asked for, in order. */
  readonly asked: readonly string[];
  /** From now on; undefined: it answers 503. */
  offer(version: string, buildlet: string, change?: (manifest: Manifest, files: Map<string, Buffer>) => void): void;
  withdraw(): void;
}

export async function openTestFarm(): Promise<TestFarm> {
  let files = new Map<string, Buffer>();
  const asked: string[] = [];
  const server = createServer((request, response) => {
    const name = (request.url ?? '').replace('/dist/buildlet/', '');
    asked.push(name);
    const bytes = files.get(name);
    if (bytes) response.end(bytes);
    else response.writeHead(files.size > 0 ? 404 : 503).end();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    offer(version, buildlet, change) {
      const bytes = Buffer.from(buildlet);
      const manifest: Manifest = {
        format: 1,
        version,
        protocols: {},
        node: 20,
        files: [
          { name: 'buildlet.mjs', size: bytes.length, sha256: sha256Hex(bytes) },
          { name: 'other.node', size: 1, sha256: sha256Hex('x'), platform: 'plan9-mips' },
        ],
      };
      const offered = new Map([['buildlet.mjs', bytes]]);
      change?.(manifest, offered);
      files = offered.set('manifest.json', Buffer.from(JSON.stringify(manifest)));
    },
    withdraw() {
      files = new Map();
    },
    async [Symbol.asyncDispose]() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close').catch(() => {});
    },
  };
}

/**
 * A buildlet that holds a lock as the real one does, and tells in the file `told` what it does, a line each: `NAME start`, `NAME drain`, `NAME end`. It is busy while a file
 * `busy` lies beside it. `more` is run at its start.
 */
export function fakeBuildlet(name: string, more = "process.send?.('ready');"): string {
  return `import { once } from 'node:events';
import { appendFileSync, existsSync } from 'node:fs';
import { createServer } from 'node:net';
const [told] = process.argv.slice(2);
const lock = createServer().listen('\\0' + told);
await once(lock, 'listening').catch(() => process.exit(3));
const tell = (what) => appendFileSync(told, '${name} ' + what + '\\n');
tell('start');
const drain = () => { tell('drain'); setInterval(() => { if (!existsSync(told + '.busy')) { tell('end'); process.exit(0); } }, 10); };
process.on('message', (message) => { if (message === 'drain') drain(); });
process.on('disconnect', drain);
process.on('SIGTERM', () => { tell('stopped'); process.exit(0); });
setInterval(() => {}, 1_000);
${more}
`;
}

export interface TestSupervisor extends AsyncDisposable {
  readonly dir: string;
  readonly pid: number | undefined;
  /** What its buildlets told so far. */
  told(): Promise<string[]>;
  /** Waits until they have told this after the first `from` lines. @returns the number of lines up to and with it */
  hears(line: string, from?: number): Promise<number>;
  versions(): Promise<string[]>;
  busy(is: boolean): Promise<void>;
  kill9(): Promise<void>;
  /** SIGTERM. @returns its exit status */
  stop(): Promise<number | null>;
  restart(): void;
}

export function testFlags(farm: Pick<TestFarm, 'url'>, dir: string, args = [join(dir, 'told')]): string[] {
  const soon = ['--look-every', '60', '--ready-within', args.length > 1 ? '20000' : '4000', '--proven-after', '300'];
  return ['--from', farm.url, '--dir', dir, ...soon, '--', ...args];
}

/** @param argsIn the buildlet's arguments, for a supervisor over this directory; a fake one's by default */
export async function startSupervisor(farm: Pick<TestFarm, 'url'>, argsIn?: (dir: string) => string[]): Promise<TestSupervisor> {
  const dir = await mkdtemp(join(tmpdir(), 'croft-supervisor-'));
  await mkdir(dir, { recursive: true });
  const told = async (): Promise<string[]> => (await readFile(join(dir, 'told'), 'utf8').catch(() => '')).split('\n').filter(Boolean);
  let log = '';
  const start = (): ChildProcess => {
    const child = spawn(process.execPath, [main, ...testFlags(farm, dir, argsIn?.(dir))], { stdio: ['ignore', 'inherit', 'pipe'] });
    child.stderr?.on('data', (data: Buffer) => (log += data.toString()));
    return child;
  };
  let child = start();
  const gone = async (): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit', { signal: systemClock.deadline(40_000) });
  };
  const stop = async (): Promise<number | null> => {
    child.kill('SIGTERM');
    await gone();
    return child.exitCode;
  };
  return {
    dir,
    get pid() {
      return child.pid;
    },
    told,
    async hears(line, from = 0) {
      return until(`"${line}" after ${from}; ${log}`, async () => {
        const index = (await told()).indexOf(line, from);
        return index >= 0 && index + 1;
      });
    },
    versions: async () => (await readdir(join(dir, 'versions'))).toSorted(),
    busy: (is) => (is ? writeFile(join(dir, 'told.busy'), '') : rm(join(dir, 'told.busy'), { force: true })),
    async kill9() {
      child.kill('SIGKILL');
      await gone();
    },
    stop,
    restart() {
      child = start();
    },
    async [Symbol.asyncDispose]() {
      await stop();
      await rm(dir, { recursive: true, force: true });
    },
  };
}
