/** The coordinator's side of reverse lines alone, in this process, and buildlets of both makers that dial it or are dialled. */
import { spawn } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { BuildletAddress } from '@croft/buildlet/client';
import { anySignal, SECOND } from '@croft/runtime/clock';
import { silentLog } from '@croft/runtime/log';
import { systemRandom } from '@croft/runtime/random';
import { freePort } from '@croft/runtime/testing';
import { createDialers, type Dialer } from '@croft/streams/revdial-dialer';
import { serve, type RawHandler } from '@croft/web/listener';
import { takeOver } from '@croft/web/take-over';
import { answers, makeCertificate } from './reverse-coordinator.ts';
import type { Bench } from './row.ts';

export interface ReversePlace extends AsyncDisposable {
  readonly port: number;
  /** The line of the machine of this name, once it has dialled in. */
  line(host: string): Promise<Dialer>;
}

const startMs = 30 * SECOND;
const buildletMain = fileURLToPath(new URL('../../apps/buildlet/src/main.ts', import.meta.url));
/** Known to everybody; whoever is on loopback may dial in here. */
const developmentKey = 'gophers rule';
const hostType = 'host-bench';

export async function openPlace({ dir, clock }: Pick<Bench, 'dir' | 'clock'>): Promise<ReversePlace> {
  await using stack = new AsyncDisposableStack();
  const { certFile, keyFile } = await makeCertificate(dir);
  const dialers = createDialers({ clock, random: systemRandom, path: '/revdial' });
  const lines = new Map<string, PromiseWithResolvers<Dialer>>();
  const lineOf = (host: string): PromiseWithResolvers<Dialer> => {
    const line = lines.get(host) ?? Promise.withResolvers<Dialer>();
    lines.set(host, line);
    return line;
  };
  const receive = async (incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> => {
    const url = new URL(incoming.url ?? '', 'http://coordinator');
    if (url.pathname === '/revdial') return dialers.claim(url.searchParams)?.deliver(await takeOver(incoming, outgoing));
    const { 'x-go-builder-hostname': host, 'croft-boot': boot } = incoming.headers;
    const socket = await takeOver(incoming, outgoing, { 'Croft-Revdial': '1' });
    lineOf(String(host)).resolve(dialers.open(socket, { peer: boot === undefined ? 'go' : 'croft' }));
  };
  const door: RawHandler = {
    takes: () => true,
    answer: (incoming, outgoing) => void receive(incoming as IncomingMessage, outgoing as ServerResponse).catch(() => undefined),
  };
  const tls = { cert: await readFile(certFile, 'utf8'), key: await readFile(keyFile, 'utf8') };
  const options = { host: '127.0.0.1', port: 0, tls, raw: [door], log: silentLog, clock, graceMs: 200 };
  const listener = stack.use(await serve(() => new Response('not here', { status: 404 }), options));
  stack.use(dialers);
  const owned = stack.move();
  return { port: listener.port, line: (host) => lineOf(host).promise, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

export interface BuildletWish {
  /** Go's program; ours when absent. */
  readonly program: string | undefined;
  /** Dials this place; is dialled when absent. */
  readonly place: ReversePlace | undefined;
  readonly host: string;
}

/** Resolves when it can be spoken to; disposal ends it. */
export async function startBuildlet(
  { program, place, host }: BuildletWish,
  { dir, clock, signal }: Bench,
): Promise<AsyncDisposable & { readonly address: Omit<BuildletAddress, 'password'> }> {
  const own = join(dir, host);
  await mkdir(join(own, 'work'), { recursive: true, mode: 0o700 });
  const key = join(own, 'key');
  await writeFile(key, createHmac('md5', developmentKey).update(hostType).digest('hex'), { mode: 0o600 });
  const port = await freePort();
  const reverse = ['-reverse-type', hostType, '-coordinator', `127.0.0.1:${place?.port}`, '-hostname', host];
  const ways = place ? reverse : ['-listen', `127.0.0.1:${port}`];
  const croft = ['--state-dir', join(own, 'state'), ...(place ? ['--insecure-dev', '--key-file', key] : ['--insecure-listen'])];
  const flags = ['-halt=false', '-workdir', join(own, 'work'), ...ways];
  const command = program === undefined ? [process.execPath, buildletMain, ...flags, ...croft] : [program, ...flags];
  const [path = '', ...args] = place && program !== undefined ? [...command, '-health-addr', '127.0.0.1:0'] : command;
  const env = { PATH: process.env['PATH'], HOME: own, AWS_EC2_METADATA_DISABLED: 'true' };
  const child = spawn(path, args, { cwd: own, env, stdio: 'ignore' });
  const gone = once(child, 'exit');
  const limit = anySignal(signal, clock.deadline(startMs));
  const line = place && (await Promise.race([place.line(host), clock.sleep(startMs, { signal }).then(() => undefined)]));
  while (!line && !(await answers(port))) await clock.sleep(50, { signal: limit });
  const address = line ? { dial: (waits: { signal: AbortSignal }) => line.dial(waits), name: host } : { host: '127.0.0.1', port };
  return {
    address,
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL');
      await gone;
    },
  };
}
