/**
 * The side of revdial v2 that fetches connections: the buildlet. It holds the control line and, whenever the coordinator wants to
 * speak, dials it anew and yields that connection, on which it is then served. See docs/protocols/revdial.md.
 */
import type { Duplex } from 'node:stream';
import { anySignal, SECOND, type Clock, type Waits } from '@croft/runtime/clock';
import { CroftError, errorText } from '@croft/runtime/errors';
import { createBell, createTaskGroup, type TaskGroup } from '@croft/runtime/tasks';
import { liveness, openControlLine, type ControlLine, type Peer } from './revdial-line.ts';

/** Connections being fetched, or fetched and not accepted yet. */
const maxUnaccepted = 8;
/** Connections that wait to be fetched; the coordinator gives each of them up after 30 s. */
const maxWanted = 256;
const beatMs = SECOND;

export interface ListenerOptions {
  /** Who the coordinator is: a Croft says so with `Croft-Revdial: 1` beside its 101. */
  readonly peer: Peer;
  readonly clock: Clock;
  /**
   * Dials the coordinator and asks for this path and query until it has answered 101 (`requestSwitch` does it); the error's text
   * goes to the coordinator.
   */
  dial(path: string, waits: { signal: AbortSignal }): Promise<Duplex>;
  /** What `/status` would answer under `Croft`; asked before each keep-alive and sent to a Croft when it has changed. */
  status?(): unknown;
}

export interface Listener extends AsyncDisposable {
  /** Resolves once, with what ended the line. Connections accepted before go on. */
  readonly done: Promise<CroftError>;
  /** The next connection. @throws what ended the line. */
  accept(waits?: Waits): Promise<Duplex>;
  /** Tells the status now when it has changed, instead of with the next keep-alive. */
  tell(): void;
  close(why: string): void;
}

/** Takes over the control line, on which the coordinator has answered 101. */
export function openListener(control: Duplex, options: ListenerOptions): Listener {
  return new Fetching(control, options);
}

class Fetching implements Listener {
  readonly done: Promise<CroftError>;
  readonly #options: ListenerOptions;
  readonly #control: ControlLine;
  readonly #tasks: TaskGroup;
  readonly #wanted: string[] = [];
  readonly #fetched: Duplex[] = [];
  readonly #bell = createBell();
  #fetching = 0;
  #told = '';
  #ended: CroftError | undefined;

  constructor(control: Duplex, options: ListenerOptions) {
    this.#options = options;
    const { promise, resolve } = Promise.withResolvers<CroftError>();
    this.done = promise;
    this.#tasks = createTaskGroup((what, error) => this.close(`${what}: ${errorText(error)}`));
    this.#control = openControlLine(control, {
      clock: options.clock,
      onMessage: (message) => message.command === 'conn-ready' && this.#want(message.connPath),
      onClosed: (why) => {
        this.#ended = why;
        this.#wanted.length = 0;
        for (const socket of this.#fetched.splice(0)) socket.destroy();
        this.#bell.ring();
        resolve(why);
      },
    });
    this.#speak();
    this.#tasks.start('keeping the line', (waits) => this.#beat(waits));
  }

  async accept(waits: Waits = {}): Promise<Duplex> {
    for (;;) {
      const socket = this.#fetched.shift();
      this.#fetch();
      if (socket) return socket;
      if (this.#ended) throw this.#ended;
      await this.#bell.wait(waits);
    }
  }

  tell(): void {
    const status = this.#options.peer === 'croft' ? this.#options.status?.() : undefined;
    const text = status === undefined ? '' : JSON.stringify(status);
    if (text === this.#told) return;
    this.#told = text;
    try {
      this.#control.send({ command: 'status', status });
    } catch {
      // It does not fit into a line: the coordinator, which hears keep-alives only, asks for it.
    }
  }

  close(why: string): void {
    this.#control.close(new CroftError('stopped', `revdial: ${why}`));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close('the listener is closed');
    await this.#tasks[Symbol.asyncDispose]();
  }

  async #beat({ signal }: { signal: AbortSignal }): Promise<void> {
    const { clock, peer } = this.#options;
    while (!this.#control.closed) {
      await clock.sleep(beatMs, { signal });
      this.#control.check(peer === 'croft' ? liveness.lostMs : liveness.goLostMs);
      if (clock.monotonic() >= this.#control.sentAt + liveness.pingMs) this.#speak();
    }
  }

  /** Go's listener never speaks first, and its dialer needs nothing from it. */
  #speak(): void {
    if (this.#options.peer === 'go') return;
    this.tell();
    this.#control.send({ command: 'keep-alive' });
  }

  #want(path: string): void {
    if (this.#wanted.length >= maxWanted) return this.#failed(path, `${maxWanted} connections are to be fetched already`);
    this.#wanted.push(path);
    this.#fetch();
  }

  #fetch(): void {
    while (this.#fetching + this.#fetched.length < maxUnaccepted) {
      const path = this.#wanted.shift();
      if (path === undefined) return;
      this.#fetching += 1;
      this.#tasks.start('fetching a connection', (waits) => this.#fetchOne(path, waits));
    }
  }

  async #fetchOne(path: string, waits: { signal: AbortSignal }): Promise<void> {
    try {
      const signal = anySignal(waits.signal, this.#options.clock.deadline(liveness.pickUpMs));
      const socket = await this.#options.dial(path, { signal });
      if (this.#ended) socket.destroy();
      else this.#fetched.push(socket);
    } catch (error) {
      this.#failed(path, errorText(error));
    } finally {
      this.#fetching -= 1;
    }
    this.#bell.ring();
    this.#fetch();
  }

  #failed(connPath: string, err: string): void {
    this.#control.send({ command: 'pickup-failed', connPath, err });
  }
}
