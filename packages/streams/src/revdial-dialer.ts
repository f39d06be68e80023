/**
 * The side of revdial v2 that asks for connections: the coordinator. Each line of a buildlet has a `Dialer`; `Dialers` holds them
 * all, keeps them alive with one timer, and finds the one that a picked-up connection belongs to. See docs/protocols/revdial.md.
 */
import { hash, timingSafeEqual } from 'node:crypto';
import type { Duplex } from 'node:stream';
import { anySignal, SECOND, type Clock, type Waits } from '@croft/runtime/clock';
import { CroftError } from '@croft/runtime/errors';
import type { Random } from '@croft/runtime/random';
import { createTaskGroup } from '@croft/runtime/tasks';
import { liveness, openControlLine, type ControlLine, type ControlMessage, type Peer } from './revdial-line.ts';

/** Connections asked for on one line and not there yet. */
const maxAttempts = 256;
/** How often those lines are looked at that are due; each is at a time of its own, so that they do not all speak at once. */
const beatMs = 250;

export interface Dialer {
  readonly peer: Peer;
  /** Monotonic ms of the last bytes on the control line. */
  readonly heardAt: number;
  /** Resolves once, with what ended the line. */
  readonly done: Promise<CroftError>;
  /**
   * Asks the far side to dial back and returns that connection, paused, on which we speak first.
   * @throws CroftError `unavailable` if the line is gone or the far side could not fetch it, `timeout` after 30 s, `exhausted`
   * when too many are waited for. An abort leaves the dialer usable; a connection that comes late is closed.
   */
  dial(waits: Waits): Promise<Duplex>;
  close(why: string): void;
}

export interface PickUp {
  /** Hands over the connection, once the 101 has gone out on it. Closes it when nobody waits for it any more. */
  deliver(socket: Duplex): void;
}

export interface OpenDialer {
  readonly peer: Peer;
  /** What the far side says of itself; Crofts only. */
  onStatus?(status: unknown): void;
}

export interface Dialers extends AsyncDisposable {
  readonly size: number;
  /** Takes over the control line of a buildlet, on which the 101 has gone out. */
  open(control: Duplex, options: OpenDialer): Dialer;
  /** What a request for this path and query is to be given; undefined when it names no dialer. Used once. */
  claim(query: URLSearchParams): PickUp | undefined;
}

export interface DialersOptions {
  readonly clock: Clock;
  readonly random: Random;
  /** Where picked-up connections arrive, `/revdial`; may have a query. */
  readonly path: string;
}

interface Attempt {
  /** False when nobody waits any more. */
  settle(result: Duplex | CroftError): boolean;
}

export function createDialers({ clock, random, path }: DialersOptions): Dialers {
  const table = new Map<string, Line>();
  const tasks = createTaskGroup(() => undefined); // a beat cannot fail: a line that does is closed
  const rota = createRota(clock);
  const beat = async ({ signal }: { signal: AbortSignal }): Promise<void> => {
    for (; table.size > 0; await clock.sleep(beatMs, { signal })) for (const line of rota.due()) rota.add(line, line.beat());
    beating = false;
  };
  let beating = false;
  return {
    get size() {
      return table.size;
    },
    open(control, options) {
      const id = random.hex(16);
      const key = digest(id).toString('hex');
      const connPath = `${path}${path.includes('?') ? '&' : '?'}revdial.dialer=${id}`;
      const line = new Line(control, { ...options, id, connPath, clock, onClosed: () => void table.delete(key) });
      table.set(key, line);
      rota.add(line, clock.monotonic());
      if (!beating) {
        beating = true;
        tasks.start('beat', beat);
      }
      return line;
    },
    claim(query) {
      const id = query.get('revdial.dialer') ?? '';
      // Found by a digest and compared in constant time: how long this takes tells nothing of the ids there are.
      const line = table.get(digest(id).toString('hex'));
      return line && timingSafeEqual(digest(line.id), digest(id)) ? line.claim(Number(query.get('conn'))) : undefined;
    },
    async [Symbol.asyncDispose]() {
      for (const line of table.values()) line.close('the coordinator is stopping');
      await tasks[Symbol.asyncDispose]();
    },
  };
}

/** Which lines are to be looked at when: one that is due in 5 s costs nothing until then. */
interface Rota {
  /** @param at monotonic ms; undefined for a line that has ended */
  add(line: Line, at: number | undefined): void;
  /** Taken off. A line comes some beats before its time, and again at each until it was done. */
  due(): Line[];
}

function createRota(clock: Clock): Rota {
  /** By the beat at which they come. */
  const slots = new Map<number, Line[]>();
  const beatAt = (at: number): number => Math.floor(at / beatMs);
  return {
    add(line, at) {
      if (at === undefined) return;
      const slot = Math.max(beatAt(at) - 2, beatAt(clock.monotonic()) + 1);
      const there = slots.get(slot);
      if (there) there.push(line);
      else slots.set(slot, [line]);
    },
    due() {
      const now = beatAt(clock.monotonic());
      const past = [...slots.keys()].filter((slot) => slot <= now);
      return past.flatMap((slot) => {
        const lines = slots.get(slot) ?? [];
        slots.delete(slot);
        return lines;
      });
    },
  };
}

function digest(id: string): Buffer {
  return hash('sha256', id, 'buffer');
}

interface LineOptions extends OpenDialer {
  readonly id: string;
  readonly connPath: string;
  readonly clock: Clock;
  onClosed(): void;
}

class Line implements Dialer {
  readonly peer: Peer;
  readonly id: string;
  readonly done: Promise<CroftError>;
  readonly #connPath: string;
  readonly #clock: Clock;
  readonly #control: ControlLine;
  readonly #attempts = new Map<number, Attempt>();
  #lastAttempt = 0;

  constructor(control: Duplex, { peer, id, connPath, clock, onStatus, onClosed }: LineOptions) {
    this.peer = peer;
    this.id = id;
    this.#connPath = connPath;
    this.#clock = clock;
    const { promise, resolve } = Promise.withResolvers<CroftError>();
    this.done = promise;
    this.#control = openControlLine(control, {
      clock,
      onMessage: (message) => {
        if (message.command === 'pickup-failed') this.#fail(message);
        if (message.command === 'status') onStatus?.(message.status);
      },
      onClosed: (why) => {
        onClosed();
        for (const attempt of this.#attempts.values()) attempt.settle(why);
        resolve(why);
      },
    });
    this.#control.send({ command: 'keep-alive' });
  }

  get heardAt(): number {
    return this.#control.heardAt;
  }

  async dial({ signal }: Waits): Promise<Duplex> {
    signal?.throwIfAborted();
    if (this.#control.closed) throw new CroftError('unavailable', 'revdial: the control line is gone');
    if (this.#attempts.size >= maxAttempts) throw new CroftError('exhausted', `revdial: ${maxAttempts} connections are waited for`);
    const conn = (this.#lastAttempt += 1);
    const { promise, resolve, reject } = Promise.withResolvers<Duplex>();
    const deadline = this.#clock.deadline(liveness.pickUpMs);
    const limit = anySignal(signal, deadline);
    const settle = (result: unknown): boolean => {
      limit.removeEventListener('abort', onLimit);
      if (!this.#attempts.delete(conn)) return false;
      if (result instanceof Error) reject(result);
      else resolve(result as Duplex);
      return true;
    };
    const onLimit = (): void => void settle(signal?.aborted ? toError(signal.reason) : overdue());
    limit.addEventListener('abort', onLimit, { once: true });
    this.#attempts.set(conn, { settle });
    this.#control.send({ command: 'conn-ready', connPath: this.#pathOf(conn) });
    return promise;
  }

  close(why: string): void {
    this.#control.close(new CroftError('unavailable', `revdial: ${why}`));
  }

  /** What the far side fetched for this attempt; that of another time is closed when it is delivered. */
  claim(conn: number): PickUp {
    return { deliver: (socket) => void (this.#attempts.get(conn)?.settle(socket) || socket.destroy()) };
  }

  /** Does what is due. @returns monotonic ms at which something is next; undefined when the line has ended */
  beat(): number | undefined {
    const { peer } = this;
    const checkAt = this.#control.check(peer === 'croft' ? liveness.lostMs : Infinity);
    if (this.#control.closed) return undefined;
    const dueMs = peer === 'croft' ? liveness.pingMs : liveness.goPingMs;
    if (this.#clock.monotonic() + beatMs > this.#control.sentAt + dueMs) this.#control.send({ command: 'keep-alive' });
    return Math.min(checkAt, this.#control.sentAt + dueMs);
  }

  /** Go's listener does not say which attempt an answer other than 101 belongs to: then it is the oldest one. */
  #fail({ connPath, err }: Extract<ControlMessage, { command: 'pickup-failed' }>): void {
    const conn = connPath === '' ? this.#attempts.keys().next().value : Number(connPath.slice(this.#pathOf('').length));
    if (conn === undefined || (connPath !== '' && connPath !== this.#pathOf(conn))) return;
    this.#attempts.get(conn)?.settle(new CroftError('unavailable', `revdial: the far side could not fetch a connection: ${err}`));
  }

  #pathOf(conn: number | ''): string {
    return `${this.#connPath}&conn=${conn}`;
  }
}

function overdue(): CroftError {
  return new CroftError('timeout', `revdial: the far side fetched no connection in ${liveness.pickUpMs / SECOND} s`);
}

function toError(reason: unknown): Error {
  return reason instanceof Error ? reason : new CroftError('cancelled', 'revdial: broken off', { cause: reason });
}
