/**
 * Machines that are processes on this computer. Each has a directory that outlives it; a buildlet started over the directory of
 * one that died kills what that left and serves what nobody collected. They are spoken to like any other machine, on a Unix
 * socket in a 0700 directory, with a random password.
 */
import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { createBuildlet, type Buildlet } from '@croft/buildlet/client';
import { parseMachineId, type MachineId } from '@croft/domain/names';
import { anySignal, SECOND, type Clock, type Waits } from '@croft/runtime/clock';
import { CroftError, errorText, systemCode } from '@croft/runtime/errors';
import type { Log } from '@croft/runtime/log';
import type { Random } from '@croft/runtime/random';
import { ensurePassword, readMark } from './machine-files.ts';
import { machineNames, type MachineNames, type Numbers } from './machine-names.ts';
import { observeStatus } from './observe.ts';
import type { Observed, Pool, Reconciling } from './pool.ts';
import { isRunning, killProcess } from './processes.ts';
import { createReconcile, type Maker } from './reconcile.ts';
import { removeEmpty, socketDirectory } from './socket-directory.ts';
import { startBuildlet } from './start-buildlet.ts';
import { createTurns } from './turns.ts';

/** What may change while there are machines. */
export interface Declared extends Numbers {
  readonly hostType: string;
  readonly labels: readonly string[];
  /** A buildlet without a coordinator ends itself after this long, ms; holds for those that are started from now on. */
  readonly orphanedMs: number;
}

export interface LocalPoolOptions extends Declared {
  readonly name: string;
  /** Absolute; holds one directory a machine. */
  readonly dir: string;
  /** Program and first arguments that start a buildlet, asked for at each start; flags are added. */
  command(): Promise<readonly [string, ...string[]]>;
  /** What of it a job may see passes on; the rest never reaches a worker, where jobs could read it. */
  readonly env: Readonly<Record<string, string | undefined>>;
}

export interface LocalPool extends Pool {
  /** What there shall be from the next `reconcile` on. */
  declare(declared: Declared): void;
}

export interface PoolDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

interface Slot {
  readonly id: MachineId;
  readonly password: string;
  readonly buildlet: Buildlet;
  /** Monotonic ms of its last start by this process. */
  startedAt: number | undefined;
  /** How often it was started since it last answered. */
  starts: number;
}

/** As often as machines are asked; a computer with too much to do takes seconds. */
const answerMs = 5 * SECOND;
/** A second, where there is nothing else to do. */
const startMs = 30 * SECOND;

export async function openLocalPool(options: LocalPoolOptions, deps: PoolDeps): Promise<LocalPool> {
  await mkdir(options.dir, { recursive: true, mode: 0o700 });
  return new LocalMachines(options, deps, await socketDirectory(options.dir));
}

class LocalMachines implements LocalPool {
  readonly name: string;
  #options: LocalPoolOptions;
  readonly #deps: PoolDeps;
  readonly #sockets: string;
  readonly #slots = new Map<MachineId, Slot>();
  /** One at a time, so that a machine is never started twice. */
  readonly #turns = createTurns();
  readonly #reconcile = createReconcile();

  constructor(options: LocalPoolOptions, deps: PoolDeps, sockets: string) {
    this.name = options.name;
    this.#options = options;
    this.#deps = deps;
    this.#sockets = sockets;
  }

  declare({ size, forSessions, hostType, labels, orphanedMs }: Declared): void {
    this.#options = { ...this.#options, size, forSessions, hostType, labels, orphanedMs };
  }

  drain(): void {
    this.#options = { ...this.#options, size: 0, forSessions: 0 };
  }

  get #names(): MachineNames {
    return machineNames(this.name, this.#options);
  }

  reconcile(waits: Reconciling): Promise<readonly Observed[]> {
    return this.#turns.take(() => this.#reconcile(this.#maker, waits));
  }

  connect(id: MachineId): Buildlet {
    const slot = this.#slots.get(id);
    if (!slot) throw new CroftError('not-found', `pool ${this.name} has no machine ${id}`);
    return slot.buildlet;
  }

  replace(id: MachineId, why: string, waits: Waits): Promise<void> {
    return this.#turns.take(async () => {
      this.#deps.log.warn('machine replaced', { machine: id, why });
      await this.#kill(id);
      await this.#observe(id, waits);
    });
  }

  endAll(waits: Waits): Promise<void> {
    return this.#turns.take(async () => {
      await Promise.all([...new Set([...this.#names.all, ...(await this.#present())])].map((id) => this.#end(id, waits)));
      await removeEmpty(this.#sockets);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#turns.idle();
    await Promise.all([...this.#slots.values()].map((slot) => slot.buildlet[Symbol.asyncDispose]()));
    this.#slots.clear();
  }

  get #maker(): Maker {
    const { hostType, labels } = this.#options;
    return {
      names: this.#names,
      present: () => this.#present(),
      observe: (id, waits) => this.#observe(id, waits),
      start: (id) => this.#start(id),
      remove: (id, waits) => this.#remove(id, waits),
      broken: (id, error) => ({ id, hostType, labels, state: 'down', evidence: errorText(error) }),
    };
  }

  async #present(): Promise<MachineId[]> {
    const names = await readdir(this.#options.dir, { withFileTypes: true });
    const numbered = new RegExp(`^${this.name}-[0-9]+$`);
    return names.filter((entry) => entry.isDirectory() && numbered.test(entry.name)).map((entry) => parseMachineId(entry.name));
  }

  async #observe(id: MachineId, { signal }: Waits): Promise<Observed> {
    const slot = await this.#slot(id);
    const { hostType, labels } = this.#options;
    try {
      const status = await slot.buildlet.status({ signal: anySignal(signal, this.#deps.clock.deadline(answerMs)) });
      slot.starts = 0;
      return { id, hostType, labels, state: 'up', ...observeStatus(status) };
    } catch (error) {
      signal?.throwIfAborted();
      const evidence = `its buildlet does not answer: ${errorText(error)}`;
      const mark = await readMark(this.#dir(id));
      const running = mark !== undefined && (await isRunning(mark));
      const young = slot.startedAt !== undefined && this.#deps.clock.monotonic() - slot.startedAt < startMs;
      if (running) return { id, hostType, labels, state: young ? 'starting' : 'silent', evidence };
      const nobody = ['ECONNREFUSED', 'ENOENT', 'ECONNRESET'].includes(systemCode(error) ?? '');
      return {
        id,
        hostType,
        labels,
        state: nobody || mark ? 'down' : 'silent',
        evidence: `${evidence}; ${mark ? `process ${mark.pid} is gone` : 'no process'}`,
      };
    }
  }

  async #slot(id: MachineId): Promise<Slot> {
    const known = this.#slots.get(id);
    if (known) return known;
    const password = await this.#prepare(id, this.#deps.random.hex(32));
    const buildlet = createBuildlet({ socketPath: this.#socket(id), password }, { clock: this.#deps.clock });
    const slot: Slot = { id, password, buildlet, startedAt: undefined, starts: 0 };
    this.#slots.set(id, slot);
    return slot;
  }

  /** Returns the machine's password: the one that it has, else this one. */
  async #prepare(id: MachineId, password: string): Promise<string> {
    const dir = this.#dir(id);
    await mkdir(join(dir, 'work'), { recursive: true, mode: 0o700 });
    return ensurePassword(dir, password);
  }

  async #start(id: MachineId): Promise<void> {
    const slot = await this.#slot(id);
    await this.#prepare(id, slot.password); // a job may have removed its machine's directory
    const pause = Math.min(30 * SECOND, slot.starts === 0 ? 0 : 250 * 2 ** slot.starts);
    if (slot.startedAt !== undefined && this.#deps.clock.monotonic() - slot.startedAt < pause) return;
    slot.startedAt = this.#deps.clock.monotonic();
    slot.starts += 1;
    const pid = await startBuildlet(this.#options, { id, dir: this.#dir(id), socket: this.#socket(id) });
    this.#deps.log.info('machine started', { machine: id, pid });
  }

  /**
   * Ends the machine with its commands. One that does not answer cannot end them itself, and only a buildlet over its directory
   * can find them: so it is killed, and another is started to clean up and end.
   */
  async #end(id: MachineId, waits: Waits): Promise<void> {
    try {
      if (await this.#halt(id, waits)) return;
      if ((await readMark(this.#dir(id))) === undefined) return; // it was never started
      await this.#kill(id);
      await this.#revive(id, waits);
      await this.#halt(id, waits);
    } finally {
      await this.#kill(id);
      await rm(this.#socket(id), { force: true });
    }
  }

  /** True when its buildlet has ended its commands and is gone. */
  async #halt(id: MachineId, waits: Waits): Promise<boolean> {
    const slot = await this.#slot(id);
    const signal = anySignal(waits.signal, this.#deps.clock.deadline(answerMs));
    const halted = await slot.buildlet.halt(undefined, { signal }).then(
      () => true,
      () => false,
    );
    const mark = await readMark(this.#dir(id));
    const deadline = this.#deps.clock.monotonic() + 5 * SECOND;
    while (halted && mark && (await isRunning(mark)) && this.#deps.clock.monotonic() < deadline) await this.#deps.clock.sleep(20, waits);
    return halted;
  }

  async #revive(id: MachineId, waits: Waits): Promise<void> {
    for (let tries = 0; tries < 100; tries += 1) {
      const { state } = await this.#observe(id, waits);
      if (state === 'up') return;
      if (state === 'down') await this.#start(id);
      await this.#deps.clock.sleep(50, waits);
    }
  }

  async #kill(id: MachineId): Promise<void> {
    const mark = await readMark(this.#dir(id));
    if (mark) await killProcess(mark);
  }

  async #remove(id: MachineId, waits: Waits): Promise<void> {
    await this.#end(id, waits);
    await this.#slots.get(id)?.buildlet[Symbol.asyncDispose]();
    this.#slots.delete(id);
    await rm(this.#dir(id), { recursive: true, force: true });
  }

  #dir(id: MachineId): string {
    return join(this.#options.dir, id);
  }

  #socket(id: MachineId): string {
    return join(this.#sockets, `${id}.sock`);
  }
}
