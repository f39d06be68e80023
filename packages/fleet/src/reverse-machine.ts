/**
 * One machine that dials in: its line, what it tells over it, and how it is spoken to. The line may be replaced by a newer one of
 * the same boot, and everything that runs on the machine goes on.
 */
import type { Duplex } from 'node:stream';
import { createBuildlet, type Buildlet, type BuildletAddress } from '@croft/buildlet/client';
import { createGoBuildlet, type GoBuildlet } from '@croft/buildlet/go-buildlet';
import type { MachineId } from '@croft/domain/names';
import { buildletStatusSchema, type BuildletStatus } from '@croft/protocol/runs';
import { anySignal, SECOND, type Clock, type Waits } from '@croft/runtime/clock';
import { CroftError, errorText } from '@croft/runtime/errors';
import type { Log } from '@croft/runtime/log';
import type { Random } from '@croft/runtime/random';
import type { Dialer, Dialers } from '@croft/streams/revdial-dialer';
import { liveness } from '@croft/streams/revdial-line';
import { currentBuildlet } from './current-buildlet.ts';
import { heldUntil, noteEnd, type ShortLines } from './flapping.ts';
import { observeStatus } from './observe.ts';
import type { Observed } from './pool.ts';

/** Who dials in, as its request says. */
export interface Arrival {
  readonly hostType: string;
  readonly host: string;
  /** Of a Croft; Go's buildlets do not tell. */
  readonly boot?: string | undefined;
  readonly version: number;
  readonly from: string;
}

/** The first whose revdial is the one that is spoken here. */
export const leastVersion = 23;
/** A Croft that has not told its status by then is asked for it. */
export const toldMs = 5 * SECOND;
/** Go's buildlets are asked this often, and up to 5 s later. */
const askMs = 10 * SECOND;
const answerMs = 20 * SECOND;
const probeMs = 5 * SECOND;
const haltMs = 5 * SECOND;
/** A Croft that was silent this long is not there, though its line has not ended yet. */
const aliveMs = 2 * liveness.pingMs;

export interface MachineDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly dialers: Dialers;
  /** For output of commands on Go's buildlets, which keep none. */
  readonly spoolDir: string;
  /** Work that goes on beside; ended with the pool. */
  start(name: string, task: (waits: { signal: AbortSignal }) => Promise<void>): void;
  /** Calls back after `toldMs`, if the pool is there then. */
  afterTold(act: () => void): void;
  onChange(): void;
}

interface OpenLine {
  readonly arrival: Arrival;
  readonly dialer: Dialer;
  readonly boot: string;
  /** Epoch ms. */
  readonly since: number;
  /** Connections picked up over it. */
  readonly sockets: Set<Duplex>;
  /** Gives a buildlet of Go runs, as long as this line lasts. */
  readonly go: GoBuildlet | undefined;
  status?: BuildletStatus;
}

export class ReverseMachine implements AsyncDisposable {
  readonly id: MachineId;
  readonly host: string;
  /** Ends of lines that had not lasted. */
  shortLines: ShortLines;
  readonly #deps: MachineDeps;
  /** Over whatever line there is, and what `buildlet` gives: made when first asked for, since most of thousands never are. */
  #own: Buildlet | undefined;
  #current: Buildlet | undefined;
  readonly #closing = new Set<Promise<void>>();
  #line: OpenLine | undefined;
  #gone = 'it has not dialled in since the coordinator started';
  /** Boots that are to be ended before the machine is trusted again, and why. */
  #condemned: { readonly boot: string; readonly why: string } | undefined;
  #clash: { readonly from: string; readonly at: number } | undefined;
  #observed: Observed | undefined;

  constructor({ id, host, shortLines = [] }: { id: MachineId; host: string; shortLines?: ShortLines }, deps: MachineDeps) {
    this.id = id;
    this.host = host;
    this.shortLines = shortLines;
    this.#deps = deps;
  }

  /** A buildlet of Go is another one with each line. */
  get buildlet(): Buildlet {
    return (this.#current ??= currentBuildlet(() => this.#line?.go ?? this.#buildlet));
  }

  get #buildlet(): Buildlet {
    return (this.#own ??= createBuildlet(this.#address, { clock: this.#deps.clock }));
  }

  get connected(): boolean {
    return this.#line !== undefined;
  }

  /** Why a newcomer of this name is not let in. Asks the one that is here whether it lives, where only that can tell. */
  refuse({ boot, from }: Arrival): string | undefined {
    const line = this.#line;
    if (!line || (boot !== undefined && boot === line.arrival.boot)) return undefined;
    const { clock, start } = this.#deps;
    if (line.dialer.peer === 'croft' && clock.monotonic() - line.dialer.heardAt >= aliveMs) return undefined;
    if (line.dialer.peer === 'go') start('probe', async (waits) => void (await this.#look(line, probeMs, waits)));
    this.#clash = { from, at: clock.now() };
    this.#changed();
    const since = new Date(line.since).toISOString();
    return `a machine that calls itself "${this.host}" is connected from ${line.arrival.from} since ${since}; give one of them another host name`;
  }

  /** Takes the line over; an older one ends. */
  arrive(arrival: Arrival, control: Duplex): void {
    const { clock, random, dialers, spoolDir, log, start, afterTold } = this.#deps;
    const peer = arrival.boot === undefined ? 'go' : 'croft';
    const onStatus = (status: unknown): void => this.#tell(line, status);
    const dialer = dialers.open(control, { peer, onStatus });
    const onDead = (why: CroftError): void => dialer.close(errorText(why));
    const go = peer === 'go' ? createGoBuildlet(this.#address, { clock, random, spoolDir, onDead }) : undefined;
    const boot = arrival.boot ?? go?.boot ?? '';
    const line: OpenLine = { arrival, dialer, go, boot, since: clock.now(), sockets: new Set() };
    const older = this.#line;
    this.#line = line;
    older?.dialer.close(`${this.id} has dialled in anew`);
    if (this.#condemned && this.#condemned.boot !== boot) this.#condemned = undefined;
    log.info('machine dialled in', { machine: this.id, from: arrival.from, version: arrival.version, peer });
    void dialer.done.then((why) => this.#ended(line, errorText(why)));
    const look = (): void => start('status', (waits) => this.#keepLooking(line, waits));
    if (peer === 'go') look();
    // A Croft tells by itself, unless its status does not fit into a line.
    else afterTold(() => void (this.#line === line && !line.status && look()));
    this.#changed();
  }

  /** Whatever it does is ended, and it is not trusted before it has begun anew. Resolves when it was told, or cannot be. */
  async condemn(why: string, waits: Waits): Promise<void> {
    const line = this.#line;
    if (!line) return;
    if (this.#condemned?.boot !== line.boot) this.#condemned = { boot: line.boot, why }; // the first reason is the one
    this.#changed();
    await this.#end(line, waits);
  }

  /** The same object until something changes. */
  observe(hostType: string, labels: readonly string[]): Observed {
    const now = this.#deps.clock.now();
    const held = this.#whyHeld(now);
    const known = this.#observed;
    if (known && known.held === held && known.hostType === hostType && known.labels === labels) return known;
    return (this.#observed = { id: this.id, hostType, labels, held, ...this.#state() });
  }

  close(why: string): void {
    this.#line?.dialer.close(why);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close('the machine is not kept any more');
    await this.#line?.go?.[Symbol.asyncDispose]();
    await Promise.all(this.#closing);
    await this.#own?.[Symbol.asyncDispose]();
  }

  #state(): Omit<Observed, 'id' | 'hostType' | 'labels' | 'held'> {
    const line = this.#line;
    if (!line) return { state: 'silent', evidence: this.#gone };
    const { status, arrival, since } = line;
    const clash = this.#clash;
    const note = clash && `another machine of this name was refused at ${new Date(clash.at).toISOString()}, from ${clash.from}`;
    const shown = { line: { host: this.host, from: arrival.from, since }, note };
    if (this.#condemned) return { ...shown, state: 'starting', evidence: `it is ended, since ${this.#condemned.why}` };
    if (!status) return { ...shown, state: 'starting', evidence: 'it has dialled in and not told its status yet' };
    return { ...shown, state: 'up', ...observeStatus(status), boot: line.boot };
  }

  #whyHeld(now: number): string | undefined {
    const until = heldUntil(this.shortLines, now);
    if (until !== undefined)
      return `takes no work before ${new Date(until).toISOString()}: its line ended ${this.shortLines.length} times in 10 min`;
    return undefined;
  }

  get #address(): BuildletAddress {
    return { dial: (waits) => this.#dial(waits), name: this.host, password: '' };
  }

  async #dial(waits: Waits): Promise<Duplex> {
    const line = this.#line;
    if (!line) throw new CroftError('unavailable', `${this.id} is not connected: ${this.#gone}`);
    const socket = await line.dialer.dial(waits);
    if (this.#line !== line) {
      socket.destroy();
      throw new CroftError('unavailable', `${this.id}: its line ended while a connection was made`);
    }
    line.sockets.add(socket);
    socket.once('close', () => line.sockets.delete(socket));
    return socket;
  }

  #tell(line: OpenLine, told: unknown): void {
    const parsed = buildletStatusSchema.safeParse({ Version: line.arrival.version, Croft: told });
    if (!parsed.success || !parsed.data.Croft) return this.#deps.log.warn('status not understood', { machine: this.id });
    if (parsed.data.Croft.boot !== line.boot) return line.dialer.close('it tells another boot than when it dialled in');
    this.#note(line, parsed.data);
  }

  #note(line: OpenLine, status: BuildletStatus): void {
    if (status.Version < leastVersion) return line.dialer.close(`its version is ${status.Version}, and at least ${leastVersion} is needed`);
    const before = line.status;
    line.status = status;
    if (before && JSON.stringify(before) === JSON.stringify(status)) return;
    this.#changed();
    if (!before && this.#condemned) this.#deps.start('end', (waits) => this.#end(line, waits));
  }

  async #keepLooking(line: OpenLine, { signal }: { signal: AbortSignal }): Promise<void> {
    const { clock, random } = this.#deps;
    while (this.#line === line && (await this.#look(line, answerMs, { signal }))) {
      await clock.sleep(askMs + Math.floor(random.fraction() * 5) * SECOND, { signal });
    }
  }

  /** Asks for the status. A machine that does not give it is not there. */
  async #look(line: OpenLine, withinMs: number, { signal }: { signal: AbortSignal }): Promise<boolean> {
    try {
      const status = await this.#buildlet.status({ signal: anySignal(signal, this.#deps.clock.deadline(withinMs)) });
      if (this.#line === line) this.#note(line, status);
      return true;
    } catch (error) {
      if (!signal.aborted) line.dialer.close(`it does not tell its status: ${errorText(error)}`);
      return false;
    }
  }

  async #end(line: OpenLine, { signal }: Waits): Promise<void> {
    try {
      await this.#buildlet.halt(undefined, { signal: anySignal(signal, this.#deps.clock.deadline(haltMs)) });
      await Promise.race([line.dialer.done, this.#deps.clock.sleep(haltMs, { signal })]);
    } catch (error) {
      this.#deps.log.warn('machine not ended', { machine: this.id, error: errorText(error) });
    }
    line.dialer.close(`it was to begin anew: ${this.#condemned?.why ?? 'not trusted any more'}`);
  }

  #ended(line: OpenLine, why: string): void {
    for (const socket of line.sockets) socket.destroy();
    if (line.go) this.#close(line.go);
    if (this.#line !== line) return; // a newer one has taken its place
    const { clock, log } = this.#deps;
    const now = clock.now();
    this.shortLines = noteEnd(this.shortLines, { since: line.since, now });
    this.#line = undefined;
    this.#gone = `its line ended at ${new Date(now).toISOString()}: ${why}`;
    log.info('line ended', { machine: this.id, why });
    this.#changed();
  }

  /** Its commands ended with their connections. */
  #close(go: GoBuildlet): void {
    const closed = Promise.resolve(go[Symbol.asyncDispose]())
      .catch((error: unknown) => this.#deps.log.warn('spool not removed', { machine: this.id, error: errorText(error) }))
      .finally(() => this.#closing.delete(closed));
    this.#closing.add(closed);
  }

  #changed(): void {
    this.#observed = undefined;
    this.#deps.onChange();
  }
}
