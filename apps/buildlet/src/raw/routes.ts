/**
 * Requests that become connections of other bytes than HTTP: `/connect` to a port of this machine's loopback, a socket, or who waits at a listener, `/listen`,
 * and `/sftp`. All of them belong to a lease and are cut when a newer one comes. @see docs/protocols/runs.md#raw-connections
 */
import { once } from 'node:events';
import { stat } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { rawProtocol } from '@croft/protocol/raw-connections';
import { anySignal, SECOND } from '@croft/runtime/clock';
import { CroftError, errorText, systemCode } from '@croft/runtime/errors';
import { insideOf } from '../files/paths.ts';
import type { Answer } from '../http/answer.ts';
import { queryNumber, requestEpoch } from '../http/body.ts';
import { behindGate } from '../http/gate.ts';
import type { Call, Route } from '../http/router.ts';
import type { Fence } from '../state/fence.ts';
import { join } from './join.ts';
import { socketToMake, socketToReach } from './socket-paths.ts';
import { createListeners, type Listeners, type ListenersDeps, type ListenWish } from './listeners.ts';

export interface RawDeps extends ListenersDeps {
  readonly workDir: string;
  readonly fence: Fence;
}

type Parts = RawDeps & { readonly listeners: Listeners };

/** The other end of a raw connection, opened before the request is answered. */
interface Far {
  /** Resolves when both ends are closed. */
  serve(socket: Duplex): Promise<void>;
  /** In the place of `serve`, when the client has gone away. */
  abandon(): unknown;
}

type Open = (call: Call, deps: Parts) => Promise<Far>;

const ways: Readonly<Record<string, { readonly open: Open; readonly most: number }>> = {
  '/connect': { open: openConnect, most: 512 },
  '/listen': { open: openListen, most: 64 },
  '/sftp': { open: openSftp, most: 64 },
};

const head = `HTTP/1.1 101 Switching Protocols\r\nUpgrade: ${rawProtocol}\r\nConnection: Upgrade\r\n\r\n`;
const connectMs = 10 * SECOND;
/** Servers that bind to `localhost` may be at either. */
const loopbacks = ['127.0.0.1', '::1'] as const;

export function rawRoutes(given: RawDeps): Record<string, Route> {
  const deps: Parts = { ...given, listeners: createListeners(given) };
  const routes = Object.entries(ways).map(([path, { open, most }]): [string, Route] => {
    let count = 0;
    const handle = async (call: Call): Promise<Answer> => {
      checkRequest(call);
      if (count >= most) throw new CroftError('exhausted', `${path}: ${most} of these connections are open`, { hint: 'Close some.' });
      count += 1;
      return takeOver(call, deps, { open, onEnd: () => (count -= 1) }).catch((error: unknown) => {
        count -= 1;
        throw error;
      });
    };
    return [path, { style: 'json', handle }];
  });
  return Object.fromEntries(routes);
}

async function takeOver(call: Call, deps: Parts, { open, onEnd }: { open: Open; onEnd(): void }): Promise<Answer> {
  const epoch = requestEpoch(call.request);
  if (epoch === undefined) throw new CroftError('invalid', 'the header Croft-Epoch is required', { hint: 'Send the epoch of your lease.' });
  const admission = await deps.fence.enter(epoch);
  const end = (): void => {
    admission[Symbol.dispose]();
    onEnd();
  };
  let far: Far;
  try {
    far = await open({ ...call, signal: anySignal(call.signal, admission.signal) }, deps);
  } catch (error) {
    admission[Symbol.dispose]();
    throw error;
  }
  const serve = async (socket: Duplex): Promise<void> => {
    const cut = (): void => void socket.destroy();
    admission.signal.addEventListener('abort', cut, { once: true });
    if (admission.signal.aborted) cut();
    await far.serve(socket).finally(end);
  };
  const abandon = (): void => {
    far.abandon();
    end();
  };
  return { kind: 'takeover', head, serve, abandon };
}

function checkRequest({ method, path, request }: Call): void {
  const { 'content-length': length = '0', 'transfer-encoding': coding } = request.headers;
  if (method !== 'POST') throw new CroftError('invalid', `${path} serves POST`);
  if (coding !== undefined || Number(length) !== 0) throw new CroftError('invalid', `${path} takes no body`);
  if (!behindGate(request.socket)) throw new CroftError('invalid', `${path} must be the first request of its connection`);
}

async function openConnect({ query, signal }: Call, { listeners, clock, workDir }: Parts): Promise<Far> {
  const [waiting, path] = [query.get('waiting'), query.get('path')];
  const limit = anySignal(signal, clock.deadline(connectMs));
  const dialled = async (): Promise<Socket> =>
    path === null
      ? dial(portPlaces(queryNumber(query, 'port')), limit)
      : dial({ shown: path, places: [{ path: await socketToReach(workDir, path) }] }, limit);
  const peer = waiting === null ? await dialled() : listeners.pickUp(waiting);
  if (!peer) throw new CroftError('not-found', 'pick a connection up: it does not wait (any more)');
  return { serve: (socket) => join(socket, peer, { clock }), abandon: () => peer.destroy() };
}

interface Wanted {
  readonly shown: string;
  /** The first that answers. */
  readonly places: readonly ({ readonly path: string } | { readonly host: string; readonly port: number })[];
}

function portPlaces(port: number): Wanted {
  if (port < 1 || port > 65_535) throw new CroftError('invalid', 'port is 1 to 65535');
  return { shown: `port ${port}`, places: loopbacks.map((host) => ({ host, port })) };
}

async function dial({ shown, places }: Wanted, signal: AbortSignal): Promise<Socket> {
  let refused: unknown;
  for (const place of places) {
    const socket = connect({ ...place, noDelay: true, allowHalfOpen: true });
    try {
      await once(socket, 'connect', { signal });
      return socket;
    } catch (error) {
      socket.on('error', () => {}).destroy();
      refused ??= error;
      if (systemCode(error) !== 'ECONNREFUSED') break;
    }
  }
  throw new CroftError('unavailable', `connect to ${shown} of the machine: ${errorText(refused)}`, { cause: refused });
}

async function openListen({ query }: Call, { listeners, workDir }: Parts): Promise<Far> {
  const listener = await listeners.open(await wishOf(query, workDir));
  const close = async (): Promise<void> => listener[Symbol.asyncDispose]();
  return { serve: (control) => listener.tell(control).finally(close), abandon: close };
}

async function wishOf(query: URLSearchParams, workDir: string): Promise<ListenWish> {
  const [kind, path] = [query.get('kind'), query.get('path')];
  if (kind === 'unix') return { kind, path: path === null ? undefined : await socketToMake(workDir, path) };
  const port = queryNumber(query, 'port');
  if (kind !== 'tcp' || port > 65_535) throw new CroftError('invalid', '/listen takes kind=unix, or kind=tcp with a port of 0 to 65535');
  return { kind, port };
}

async function openSftp({ query }: Call, { workDir, clock }: Parts): Promise<Far> {
  const asked = await insideOf(workDir, query.get('dir') || '.');
  const isThere = await stat(asked).then(
    (stats) => stats.isDirectory(),
    () => false,
  );
  const { serveSftp } = await import('../sftp/server.ts'); // few machines are asked for it
  return { serve: (socket) => serveSftp(socket, { dir: isThere ? asked : workDir, now: clock.now }), abandon: () => {} };
}
