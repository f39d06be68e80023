/**
 * A reverse line between a coordinator and a buildlet: the registration, a connection that is picked up and one that is refused, and the
 * control lines in both directions. Recorded between the real halves of a version; afterwards either half is played to today's other one.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempDisposable } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { connect, createServer, type TLSSocket } from 'node:tls';
import type * as Door from '@croft-apps/coordinator/testing-door';
import { createKeyPair } from '@croft/buildlet/key-pair';
import { systemClock } from '@croft/runtime/clock';
import { silentLog } from '@croft/runtime/log';
import { systemRandom } from '@croft/runtime/random';
import type * as Dialing from '@croft/streams/revdial-dialer';

export interface Piece {
  /** The coordinator dials, the buildlet listens. */
  readonly from: 'dialer' | 'listener';
  /** The heads of a request that becomes a connection and of its answer, or one line of control. The id of the line is `ID`, the key `KEY`. */
  readonly kind: 'registration' | 'pick-up' | 'line';
  readonly text: string;
}

export const hostType = 'host-linux-test';
/** Of the keys that development coordinators and buildlets of this kind make; everybody knows it. */
export const masterKey = 'gophers rule';
const refusal = 'HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n';
const limitMs = 20_000;
const pair = await createKeyPair({ clock: systemClock, random: systemRandom });
export const tls = { cert: pair.certificate, key: pair.key };

/** Undefined for a tree that has no reverse line. */
export async function recordLine(load: (path: string) => Promise<object>, buildletMain: string): Promise<readonly Piece[] | undefined> {
  const halves = ['packages/streams/src/revdial-dialer.ts', 'apps/coordinator/src/reverse/testing-door.ts'];
  const loaded = await Promise.all(halves.map((path) => load(path).catch(() => undefined)));
  if (loaded.includes(undefined)) return undefined;
  const { createDialers, openTestDoor } = Object.assign({}, ...loaded) as typeof Dialing & typeof Door;
  const soon = { signal: systemClock.deadline(limitMs) };
  const pieces: Piece[] = [];
  const opened = Promise.withResolvers<Dialing.Dialer>();
  await using dialers = createDialers({ clock: systemClock, random: systemRandom, path: '/revdial' });
  const receive: Door.TestDoor['desk']['receive'] = (_, control) => opened.resolve(dialers.open(control, { peer: 'croft' }));
  const desk = { refuse: () => undefined, receive, claim: (query: URLSearchParams) => dialers.claim(query) };
  await using door = await openTestDoor({ desk, tls, masterKey, port: 0, log: silentLog });
  await using tap = await answerHeads((socket, head) => passOn(pieces, { socket, head, port: door.port }));
  await using _worker = await startWorker(buildletMain, tap.port);
  soon.signal.addEventListener('abort', () => opened.reject(new Error('the buildlet has not registered')));
  const dialer = await opened.promise;
  (await dialer.dial(soon)).destroy();
  await dialer.dial(soon).catch(() => undefined); // refused on its way
  return pieces;
}

/** To the door, but for the second connection that is picked up. */
async function passOn(pieces: Piece[], { socket, head, port }: { socket: TLSSocket; head: string; port: number }): Promise<void> {
  const kind = head.startsWith('GET /reverse ') ? 'registration' : 'pick-up';
  const add = (from: Piece['from'], as: Piece['kind'], text: string): number => pieces.push({ from, kind: as, text: withoutChance(text) });
  add('listener', kind, head);
  if (head.includes('conn=2 ')) {
    add('dialer', kind, refusal);
    return void socket.end(refusal);
  }
  const door = await dial(port);
  socket.once('close', () => door.destroy());
  door.once('close', () => socket.destroy());
  door.write(head);
  const answer = await readHead(door);
  add('dialer', kind, answer);
  socket.write(answer);
  if (kind === 'registration') {
    eachLine(socket, (line) => add('listener', 'line', line));
    eachLine(door, (line) => add('dialer', 'line', line));
  }
  socket.pipe(door).pipe(socket);
}

function withoutChance(text: string): string {
  return text.replaceAll(/dialer=[0-9a-f]+/g, 'dialer=ID').replace(/(?<=\nX-Go-Builder-Key: )\S+/, 'KEY');
}

/** A buildlet that dials the coordinator on this port and knows it by the public key. */
export async function startWorker(main: string, port: number): Promise<AsyncDisposable> {
  await using stack = new AsyncDisposableStack();
  const { path: dir } = stack.use(await mkdtempDisposable(join(tmpdir(), 'croft-line-')));
  const who = [`-coordinator=127.0.0.1:${port}`, `-reverse-type=${hostType}`, '-hostname=worker-1', '--insecure-dev', '--low-water=0'];
  const places = [`-workdir=${join(dir, 'work')}`, `--state-dir=${join(dir, 'state')}`, `--log-file=${join(dir, 'log')}`];
  const child = spawn(process.execPath, [main, ...who, ...places], { env: { PATH: '/usr/bin:/bin', HOME: dir }, stdio: 'ignore' });
  const ended = once(child, 'exit');
  stack.defer(async () => {
    child.kill('SIGTERM');
    await ended;
  });
  return stack.move();
}

export interface TlsServer extends AsyncDisposable {
  readonly port: number;
}

/** Whoever connects is given to `take` with the head of their request. */
export async function answerHeads(take: (socket: TLSSocket, head: string) => Promise<void>): Promise<TlsServer> {
  const sockets = new Set<TLSSocket>();
  const server = createServer(tls, (socket) => {
    sockets.add(socket.on('error', () => {}));
    void readHead(socket)
      .then((head) => take(socket, head))
      .catch((error: unknown) => socket.destroy(error as Error));
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      const closed = once(server, 'close');
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

export async function dial(port: number): Promise<TLSSocket> {
  const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false });
  await once(socket, 'secureConnect', { signal: systemClock.deadline(limitMs) });
  return socket.on('error', () => {});
}

/** With the blank line at its end; what comes behind it is put back. */
export async function readHead(socket: Duplex): Promise<string> {
  const soon = { signal: systemClock.deadline(limitMs) };
  for (let text = ''; ;) {
    const piece = socket.read() as Buffer | null;
    if (piece === null) await once(socket, 'readable', soon);
    else text += piece.toString('latin1');
    const end = text.indexOf('\r\n\r\n') + 4;
    if (end < 4) continue;
    if (text.length > end) socket.unshift(Buffer.from(text.slice(end), 'latin1'));
    return text.slice(0, end);
  }
}

export function eachLine(socket: Duplex, take: (line: string) => void): void {
  let rest = '';
  socket.on('data', (bytes: Buffer) => {
    const lines = (rest + bytes.toString()).split(/(?<=\n)/);
    rest = lines.at(-1)?.endsWith('\n') === false ? (lines.pop() ?? '') : '';
    for (const line of lines) take(line);
  });
}
