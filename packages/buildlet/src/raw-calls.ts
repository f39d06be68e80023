/**
 * Connections to a machine that carry other bytes than HTTP: to its ports, to its files by SFTP, and those that come to a listener there.
 * @see docs/protocols/runs.md#raw-connections
 */
import type { Duplex } from 'node:stream';
import { arrivalSchema, listenPlaceSchema, rawProtocol, type ListenPlace } from '@croft/protocol/raw-connections';
import { epochHeader } from '@croft/protocol/runs';
import { anySignal, SECOND, type Clock, type Waits } from '@croft/runtime/clock';
import { asCroftError, CroftError, isCode } from '@croft/runtime/errors';
import { shownAddress, type BuildletAddress } from './address.ts';
import { parseJson, refused } from './exchange.ts';
import { linesOf } from './go/lines.ts';
import { takeOver } from './take-over.ts';

/** The signal ends the attempt; a connection that stands is the caller's, and each of its ways ends by itself. */
export interface RawCalls {
  /** To a port of the machine's loopback or to a Unix socket. @throws CroftError `unavailable` when nothing listens there */
  connect(to: Reachable, epoch: number, waits: Waits): Promise<Duplex>;
  /** SFTP, version 3, spoken by the buildlet; relative paths begin at `dir`, where that is not there in the work directory. */
  sftp(start: { readonly dir: string }, epoch: number, waits: Waits): Promise<Duplex>;
  /** Listens on the machine. @throws CroftError `conflict` when the port is taken */
  listen(where: ListenWish, epoch: number, waits: Waits): Promise<Listening>;
}

/** A port, or a socket below the machine's work directory or its directory for temporary files. */
export type Reachable = number | { readonly path: string };

/** Port 0 is any. A Unix socket is one that nobody but the machine's user can reach; without a path it is a fresh one. */
export type ListenWish = { readonly kind: 'tcp'; readonly port: number } | { readonly kind: 'unix'; readonly path?: string };

/** Disposal ends the listener; connections that it gave go on. */
export interface Listening extends AsyncDisposable {
  readonly place: ListenPlace;
  /** To be read once, without waiting for what becomes of each. Throws `unavailable` when the listener is lost. */
  readonly connections: AsyncIterable<Duplex>;
}

/** The machine may have to be asked to call back. */
const standMs = 30 * SECOND;

type Open = (doing: string, path: string, waits: Waits) => Promise<Duplex>;

export function rawCalls(address: BuildletAddress, { clock }: { clock: Clock }): RawCalls {
  const opener =
    (epoch: number): Open =>
    async (doing, path, { signal }) => {
      const headers = { [epochHeader]: String(epoch), 'Content-Length': '0', Connection: 'Upgrade', Upgrade: rawProtocol };
      const ask = {
        method: 'POST',
        path,
        headers,
        refused: ({ status, text }: { status: number; text: string }) => refused(doing, { status, text }),
      };
      try {
        return await takeOver(address, ask, anySignal(signal, clock.deadline(standMs)));
      } catch (error) {
        throw asCroftError(error, 'unavailable', `${doing} on the buildlet at ${shownAddress(address)}`);
      }
    };
  return {
    connect(to, epoch, waits) {
      const [shown, query] = typeof to === 'number' ? [`port ${to}`, `port=${to}`] : [to.path, `path=${encodeURIComponent(to.path)}`];
      return opener(epoch)(`connect to ${shown}`, `/connect?${query}`, waits);
    },
    sftp: ({ dir }, epoch, waits) => opener(epoch)('begin SFTP', `/sftp?dir=${encodeURIComponent(dir)}`, waits),
    listen: (where, epoch, waits) => listenWith(opener(epoch), where, waits),
  };
}

async function listenWith(open: Open, where: ListenWish, waits: Waits): Promise<Listening> {
  const more = where.kind === 'tcp' ? `&port=${where.port}` : where.path === undefined ? '' : `&path=${encodeURIComponent(where.path)}`;
  const control = await open('listen', `/listen?kind=${where.kind}${more}`, waits);
  control.on('error', () => {}); // its reader is told
  const lines = linesOf(control as AsyncIterable<Buffer>);
  let isClosed = false;
  const close = async (): Promise<void> => {
    isClosed = true;
    control.destroy();
  };
  try {
    const abort = (): void => void control.destroy(waits.signal?.reason as Error);
    waits.signal?.addEventListener('abort', abort, { once: true });
    const first = await lines.next().finally(() => waits.signal?.removeEventListener('abort', abort));
    const place = listenPlaceSchema.parse(parseJson(first.done ? '' : first.value));
    return { place, connections: arrivals(lines, open, () => isClosed), [Symbol.asyncDispose]: close };
  } catch (error) {
    await close();
    throw asCroftError(error, 'unavailable', 'listen: the buildlet does not say where');
  }
}

async function* arrivals(lines: AsyncIterable<string>, open: Open, isClosed: () => boolean): AsyncGenerator<Duplex> {
  try {
    for await (const line of lines) {
      const { connection } = arrivalSchema.parse(parseJson(line));
      const picked = await open('pick a connection up', `/connect?waiting=${connection}`, {}).catch(unlessGone);
      if (picked) yield picked;
    }
  } catch (error) {
    if (!isClosed()) throw asCroftError(error, 'unavailable', 'listen: the listener on the machine was lost');
    return;
  }
  if (!isClosed()) throw new CroftError('unavailable', 'listen: the machine closed the listener');
}

/** Who came has left before. */
function unlessGone(error: unknown): undefined {
  if (!isCode(error, 'not-found')) throw error;
}
