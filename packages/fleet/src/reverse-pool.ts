/**
 * Machines that dial in and that nobody else makes: racks, borrowed boards, other people's computers. What there is is what is
 * connected; a machine that was lost is forgotten until it dials in again. @see docs/protocols/revdial.md
 */
import { createHash } from 'node:crypto';
import type { Duplex } from 'node:stream';
import type { Buildlet } from '@croft/buildlet/client';
import { parseMachineId, type MachineId } from '@croft/domain/names';
import type { Clock, Waits } from '@croft/runtime/clock';
import { CroftError, errorText } from '@croft/runtime/errors';
import type { Log } from '@croft/runtime/log';
import type { Random } from '@croft/runtime/random';
import { createTaskGroup, type TaskGroup } from '@croft/runtime/tasks';
import type { Dialers } from '@croft/streams/revdial-dialer';
import type { ShortLines } from './flapping.ts';
import type { Observed, Pool, Reconciling, Shortfall } from './pool.ts';
import { leastVersion, ReverseMachine, toldMs, type Arrival, type MachineDeps } from './reverse-machine.ts';

export interface ReverseDeclared {
  readonly hostType: string;
  readonly labels: readonly string[];
  /** How many there should be. */
  readonly expect: number;
}

export interface ReversePoolOptions {
  readonly name: string;
  /** Machines that an earlier coordinator had: they are given time to dial in again. */
  readonly known: readonly MachineId[];
  /** For output of commands on Go's buildlets; empty, and this pool's alone. */
  readonly spoolDir: string;
}

export interface ReversePoolDeps {
  readonly dialers: Dialers;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

export interface ReversePool extends Pool {
  /** Undefined while it is drained. */
  readonly hostType: string | undefined;
  declare(declared: ReverseDeclared): void;
  /** Why this machine is not let in, if so. */
  refuse(arrival: Arrival): string | undefined;
  /** Takes over its control line, on which 101 was answered. */
  receive(arrival: Arrival, control: Duplex): void;
}

interface Missing {
  readonly host: string;
  readonly seenAt: number;
  readonly why: string;
  readonly shortLines: ShortLines;
}

const maxMachines = 20_000;
const maxMissing = 1_000;
const shownMissing = 100;
/** Changes that come together are told together, ms: longer where there are many machines, for each of them is looked at then. */
const gatherMs = 50;
const gatherMsPerMachine = 0.05;

export function openReversePool(options: ReversePoolOptions, deps: ReversePoolDeps): ReversePool {
  return new ReverseMachines(options, deps);
}

class ReverseMachines implements ReversePool {
  readonly name: string;
  readonly #deps: ReversePoolDeps;
  readonly #tasks: TaskGroup;
  readonly #machineDeps: MachineDeps;
  readonly #machines = new Map<MachineId, ReverseMachine>();
  readonly #missing = new Map<MachineId, Missing>();
  #declared: ReverseDeclared = { hostType: 'unknown', labels: [], expect: 0 };
  #draining = true;
  /** That it is drained was told once, so that nobody gives its machines work any more. */
  #drainTold = false;
  #ending = false;
  #onChange: (() => void) | undefined;
  /** What is to be done later, in order of its time. One timer for all: each wait of its own on one signal makes the next one dearer. */
  readonly #later = new Set<{ readonly at: number; readonly act: () => void }>();
  #telling = false;

  constructor({ name, known, spoolDir }: ReversePoolOptions, deps: ReversePoolDeps) {
    this.name = name;
    this.#deps = deps;
    this.#machineDeps = {
      ...deps,
      spoolDir,
      onChange: () => this.#changed(),
      start: (name, task) => this.#tasks.start(name, task),
      afterTold: (act) => this.#afterTold(act),
    };
    this.#tasks = createTaskGroup((task, error) =>
      deps.log.error('background work stopped', { pool: name, task, error: errorText(error) }),
    );
    for (const id of known) this.#add(id, id.slice(name.length + 1));
  }

  get hostType(): string | undefined {
    return this.#draining ? undefined : this.#declared.hostType;
  }

  declare(declared: ReverseDeclared): void {
    if (this.#declared.hostType !== declared.hostType) this.#closeAll('its pool is for another host type now');
    this.#declared = declared;
    this.#draining = false;
    this.#drainTold = false;
    this.#changed();
  }

  drain(): void {
    this.#draining = true;
    this.#changed();
  }

  watch(onChange: () => void): void {
    this.#onChange = onChange;
  }

  refuse(arrival: Arrival): string | undefined {
    if (arrival.version < leastVersion) return `version ${arrival.version} of the buildlet is too old; ${leastVersion} or newer is needed`;
    if (this.#draining) return `the pool ${this.name} takes no machines any more`;
    if (this.#ending) return 'the farm is ending';
    const machine = this.#machines.get(this.#idOf(arrival.host));
    if (!machine && this.#machines.size >= maxMachines) return `the pool ${this.name} has ${maxMachines} machines, and takes no more`;
    return machine?.refuse(arrival);
  }

  receive(arrival: Arrival, control: Duplex): void {
    const why = this.refuse(arrival); // again: something may have changed since it was answered
    if (why !== undefined) return void control.destroy(new CroftError('conflict', why));
    const id = this.#idOf(arrival.host);
    const machine = this.#machines.get(id) ?? this.#add(id, arrival.host);
    this.#missing.delete(id);
    machine.arrive(arrival, control);
  }

  async reconcile({ isLeased = async () => false, signal }: Reconciling): Promise<readonly Observed[]> {
    signal?.throwIfAborted();
    const { hostType, labels } = this.#declared;
    if (!this.#draining) return [...this.#machines.values()].map((machine) => machine.observe(hostType, labels));
    const leased: Observed[] = [];
    for (const machine of this.#machines.values()) {
      if (this.#drainTold && !(await isLeased(machine.id))) await this.#forget(machine, 'its pool is not configured any more');
      else leased.push({ ...machine.observe(hostType, labels), draining: true });
    }
    this.#drainTold = true;
    return leased;
  }

  connect(id: MachineId): Buildlet {
    return this.#machine(id).buildlet;
  }

  /** Told to begin anew. One that is not there is forgotten until it dials in. */
  async replace(id: MachineId, why: string): Promise<void> {
    const machine = this.#machine(id);
    this.#deps.log.warn('machine replaced', { machine: id, why });
    // Not waited for: a machine that does not answer must not keep whoever looks at all the others.
    if (machine.connected) this.#tasks.start('end a machine', (waits) => machine.condemn(why, waits));
    else await this.#forget(machine, why);
  }

  async endAll(waits: Waits): Promise<void> {
    this.#ending = true;
    await Promise.all([...this.#machines.values()].map((machine) => machine.condemn('the farm ends', waits)));
  }

  shortfall(): Shortfall {
    const connected = this.#machines.values().reduce((count, machine) => count + Number(machine.connected), 0);
    const missing = [...this.#missing.values()].toReversed().slice(0, shownMissing);
    return {
      hostType: this.#declared.hostType,
      expect: this.#draining ? 0 : this.#declared.expect,
      connected,
      missing: missing.map(({ host, seenAt, why }) => ({ host, seenAt, why })),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#onChange = undefined;
    await this.#tasks[Symbol.asyncDispose]();
    await Promise.all([...this.#machines.values()].map((machine) => machine[Symbol.asyncDispose]()));
    this.#machines.clear();
  }

  #machine(id: MachineId): ReverseMachine {
    const machine = this.#machines.get(id);
    if (!machine) throw new CroftError('not-found', `pool ${this.name} has no machine ${id}`);
    return machine;
  }

  #add(id: MachineId, host: string): ReverseMachine {
    const machine = new ReverseMachine({ id, host, shortLines: this.#missing.get(id)?.shortLines ?? [] }, this.#machineDeps);
    this.#machines.set(id, machine);
    return machine;
  }

  async #forget(machine: ReverseMachine, why: string): Promise<void> {
    const { id, host, shortLines } = machine;
    this.#machines.delete(id);
    this.#missing.set(id, { host, seenAt: this.#deps.clock.now(), why, shortLines });
    if (this.#missing.size > maxMissing) this.#missing.delete(this.#missing.keys().next().value as MachineId);
    await machine[Symbol.asyncDispose]();
  }

  #closeAll(why: string): void {
    for (const machine of this.#machines.values()) machine.close(why);
  }

  #changed(): void {
    if (this.#telling) return;
    this.#telling = true;
    this.#tasks.start('tell', async ({ signal }) => {
      await this.#deps.clock.sleep(Math.max(gatherMs, this.#machines.size * gatherMsPerMachine), { signal });
      this.#telling = false;
      this.#onChange?.();
    });
  }

  #afterTold(act: () => void): void {
    const { clock } = this.#deps;
    this.#later.add({ at: clock.monotonic() + toldMs, act });
    if (this.#later.size > 1) return;
    this.#tasks.start('later', async ({ signal }) => {
      for (const due of this.#later) {
        const wait = due.at - clock.monotonic();
        if (wait > 0) await clock.sleep(wait, { signal });
        this.#later.delete(due);
        due.act();
      }
    });
  }

  #idOf(host: string): MachineId {
    return machineIdOf(this.name, host);
  }
}

const maxIdLength = 100;

/** A host may be called anything; where that is no part of an id, a digest of it keeps two of them apart. */
export function machineIdOf(pool: string, host: string): MachineId {
  const plain = `${pool}-${host}`;
  if (/^[A-Za-z0-9._-]+$/.test(host) && plain.length <= maxIdLength) return parseMachineId(plain);
  const digest = createHash('sha256').update(host).digest('hex').slice(0, 12);
  const shown = host.replaceAll(/[^A-Za-z0-9._-]+/g, '-').slice(0, maxIdLength - pool.length - digest.length - 2);
  return parseMachineId(`${pool}-${shown}-${digest}`);
}
