/**
 * Machines that are containers of a Docker daemon on this computer. The daemon alone says which there are: by their labels, of which
 * one names the farm. Each runs the buildlet of this coordinator with its Node, both mounted, so that any image will do; it is spoken
 * to on a Unix socket in a directory that is mounted for it alone. Why so: docs/decisions/0008-docker-machines.md.
 */
import { mkdir, realpath } from 'node:fs/promises';
import type { Dial } from '@croft/buildlet/address';
import { createBuildlet, type Buildlet } from '@croft/buildlet/client';
import { parseMachineId, type MachineId } from '@croft/domain/names';
import { anySignal, SECOND, type Waits } from '@croft/runtime/clock';
import { sha256Hex } from '@croft/runtime/digest';
import { CroftError, errorText } from '@croft/runtime/errors';
import { containerName, containerSpec, labelNames, settingsMark, type ContainerSettings } from './docker-container.ts';
import type { ContainerNode } from './container-node.ts';
import { createDaemon, type Container, type Daemon } from './docker-daemon.ts';
import { explainEnd } from './docker-evidence.ts';
import { findStrays } from './docker-strays.ts';
import { createImages, type Images } from './docker-image.ts';
import { dialSocket } from './docker-socket.ts';
import type { PoolDeps } from './local-pool.ts';
import { createMachineDirectories, type MachineDirectories } from './machine-directories.ts';
import { observeStatus, type ObservedStatus } from './observe.ts';
import type { Observed, Pool, Reconciling } from './pool.ts';
import { createReconcile, type Maker } from './reconcile.ts';
import { createTurns } from './turns.ts';

/** What may change while there are machines. Those that are there become what is declared once nobody works on them. */
export interface DeclaredContainers extends ContainerSettings {
  readonly size: number;
  readonly hostType: string;
  readonly labels: readonly string[];
}

export interface DockerPoolOptions extends DeclaredContainers {
  readonly name: string;
  /** The daemon's. */
  readonly socketPath: string;
  /** Absolute; holds one directory a machine. Its path is what this farm's containers are known by. */
  readonly dir: string;
  /** Names of the pools that this farm has now. */
  pools(): readonly string[];
  node(): Promise<ContainerNode>;
  /** The buildlet's program in one file, then what has to lie beside it. */
  program(): Promise<readonly string[]>;
}

export interface DockerPool extends Pool {
  /** What there shall be from the next `reconcile` on. */
  declare(declared: DeclaredContainers): void;
}

interface Slot {
  readonly buildlet: Buildlet;
  /** Monotonic ms of its last start by this process. */
  startedAt: number | undefined;
  /** How often it was started since it last answered. */
  starts: number;
  /** It runs something, or has something that nobody collected. */
  hasWork: boolean;
  /** Somebody has worked on it. */
  hadWork: boolean;
}

const answerMs = 2 * SECOND;
const startMs = 20 * SECOND;
const ownUser = `${process.getuid?.() ?? 0}:${process.getgid?.() ?? 0}`;

/** Asks the daemon nothing yet. */
export async function openDockerPool(options: DockerPoolOptions, deps: PoolDeps): Promise<DockerPool> {
  await mkdir(options.dir, { recursive: true, mode: 0o700 });
  return new DockerMachines({ ...options, dir: await realpath(options.dir) }, deps);
}

class DockerMachines implements DockerPool {
  readonly name: string;
  #options: DockerPoolOptions;
  readonly #deps: PoolDeps;
  readonly #farm: string;
  readonly #daemon: Daemon;
  readonly #images: Images;
  readonly #files: MachineDirectories;
  readonly #slots = new Map<MachineId, Slot>();
  #strays: readonly string[] = [];
  /** As the daemon listed them at the last look. */
  #containers = new Map<MachineId, Container>();
  /** One at a time, so that a machine is never started twice. */
  readonly #turns = createTurns();
  readonly #reconcile = createReconcile();

  constructor(options: DockerPoolOptions, deps: PoolDeps) {
    this.name = options.name;
    this.#options = options;
    this.#deps = deps;
    this.#farm = sha256Hex(options.dir).slice(0, 12);
    this.#daemon = createDaemon(options.socketPath, deps);
    this.#images = createImages(this.#daemon, deps);
    this.#files = createMachineDirectories(options.dir, deps);
  }

  declare(declared: DeclaredContainers): void {
    this.#options = { ...this.#options, ...declared };
  }

  strays(): readonly string[] {
    return this.#strays;
  }

  drain(): void {
    this.#options = { ...this.#options, size: 0 };
  }

  reconcile(waits: Reconciling): Promise<readonly Observed[]> {
    return this.#turns.take(() => this.#reconcile(this.#maker(waits), waits));
  }

  connect(id: MachineId): Buildlet {
    const slot = this.#slots.get(id);
    if (!slot) throw new CroftError('not-found', `pool ${this.name} has no machine ${id}`);
    return slot.buildlet;
  }

  replace(id: MachineId, why: string, waits: Waits): Promise<void> {
    return this.#turns.take(async () => {
      this.#deps.log.warn('machine replaced', { machine: id, why });
      await this.#present(waits);
      await this.#end(id, waits);
    });
  }

  endAll(waits: Waits): Promise<void> {
    return this.#turns.take(async () => {
      const all = await this.#present(waits);
      await Promise.all(all.map((id) => this.#remove(id, waits)));
      await this.#files.cleared();
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#turns.idle();
    await Promise.all([...this.#slots.values()].map((slot) => slot.buildlet[Symbol.asyncDispose]()));
    this.#slots.clear();
    await this.#images[Symbol.asyncDispose]();
    await this.#files[Symbol.asyncDispose]();
  }

  #maker({ isUsed = () => false }: Reconciling): Maker {
    const { hostType, labels, size } = this.#options;
    return {
      declared: Array.from({ length: size }, (_, i) => parseMachineId(`${this.name}-${i + 1}`)),
      present: (waits) => this.#present(waits),
      observe: (id, waits) => this.#observe(id, waits),
      start: (id, waits) => this.#start(id, waits),
      remove: (id, waits) => this.#remove(id, waits),
      worn: (machine) => this.#worn(machine, isUsed(machine.id, machine.boot)),
      broken: (id, error) => ({ id, hostType, labels, state: 'down', evidence: errorText(error) }),
    };
  }

  /**
   * The containers of this pool, and the directories of those whose container somebody has removed. What belongs to a pool that this
   * farm does not have any more goes; what belongs to a farm that is gone is told and left to people.
   */
  async #present(waits: Waits): Promise<MachineId[]> {
    const all = await this.#daemon.list(labelNames.farm, waits);
    const ours = all.filter(({ labels }) => labels[labelNames.farm] === this.#farm);
    const [mine, others] = [ours.filter((one) => this.#isMine(one)), ours.filter((one) => !this.#isMine(one))];
    this.#containers = new Map(mine.map((container) => [parseMachineId(container.labels[labelNames.machine] ?? ''), container]));
    await this.#removeOrphans(others, waits);
    this.#strays = await findStrays(all.filter((one) => !ours.includes(one)));
    return [...new Set([...this.#containers.keys(), ...(await this.#files.list(this.name))])];
  }

  #isMine({ labels }: Container): boolean {
    return labels[labelNames.pool] === this.name;
  }

  async #removeOrphans(others: readonly Container[], waits: Waits): Promise<void> {
    const pools = this.#options.pools();
    for (const { id, labels } of others.filter((one) => !pools.includes(one.labels[labelNames.pool] ?? ''))) {
      await this.#daemon.remove(id, waits);
      this.#deps.log.warn('orphan removed', {
        container: id.slice(0, 12),
        machine: labels[labelNames.machine],
        pool: labels[labelNames.pool],
      });
    }
  }

  async #observe(id: MachineId, waits: Waits): Promise<Observed> {
    const { hostType, labels } = this.#options;
    const about = { id, hostType, labels };
    const container = this.#containers.get(id);
    if (!container) return { ...about, state: 'down', evidence: 'it has no container' };
    if (container.state !== 'running') {
      return { ...about, state: 'down', evidence: explainEnd(await this.#daemon.end(container.id, waits)) };
    }
    const slot = await this.#slot(id);
    try {
      const status = await slot.buildlet.status({ signal: anySignal(waits.signal, this.#deps.clock.deadline(answerMs)) });
      slot.starts = 0;
      slot.hasWork = (status.Croft?.runs ?? 0) > 0;
      slot.hadWork = (status.Croft?.epoch ?? 0) > 0;
      return { ...about, state: 'up', oneBuild: true, ...limited(observeStatus(status), this.#options) };
    } catch (error) {
      waits.signal?.throwIfAborted();
      const young = slot.startedAt !== undefined && this.#deps.clock.monotonic() - slot.startedAt < startMs;
      return { ...about, state: young ? 'starting' : 'silent', evidence: `its buildlet does not answer: ${errorText(error)}` };
    }
  }

  /** A container that served one build serves no other, nor one that is not what is declared; what nobody collected is kept. */
  #worn({ id, state }: Observed, isUsed: boolean): string | undefined {
    const slot = this.#slots.get(id);
    if (state !== 'up' || slot === undefined || slot.hasWork) return undefined;
    const isCurrent = this.#containers.get(id)?.labels[labelNames.settings] === settingsMark(this.#options, this.#user);
    return isUsed || slot.hadWork || !isCurrent ? 'is made anew for the next build' : undefined;
  }

  async #slot(id: MachineId): Promise<Slot> {
    const known = this.#slots.get(id);
    if (known) return known;
    const password = await this.#files.prepare(id, { user: this.#user, password: this.#deps.random.hex(32) });
    const socketPath = this.#files.socket(id);
    const dial: Dial = (waits) => dialSocket(socketPath, waits);
    const slot: Slot = {
      buildlet: createBuildlet({ name: id, socketPath, dial, password }, { clock: this.#deps.clock }),
      startedAt: undefined,
      starts: 0,
      hasWork: false,
      hadWork: false,
    };
    this.#slots.set(id, slot);
    return slot;
  }

  get #user(): string {
    return this.#options.user ?? ownUser;
  }

  /** A container that ended is started again over what it left; one that is not what is declared any more gives way to another. */
  async #start(id: MachineId, waits: Waits): Promise<void> {
    const slot = await this.#slot(id);
    const { clock, log } = this.#deps;
    const pause = Math.min(30 * SECOND, slot.starts === 0 ? 0 : 250 * 2 ** slot.starts);
    if (slot.startedAt !== undefined && clock.monotonic() - slot.startedAt < pause) return;
    slot.startedAt = clock.monotonic();
    slot.starts += 1;
    await this.#files.prepare(id, { user: this.#user, password: this.#deps.random.hex(32) });
    const container = await this.#containerFor(id, waits);
    await this.#daemon.start(container, waits);
    log.info('machine started', { machine: id, container: container.slice(0, 12) });
  }

  async #containerFor(id: MachineId, waits: Waits): Promise<string> {
    const before = this.#containers.get(id);
    const isCurrent = before?.labels[labelNames.settings] === settingsMark(this.#options, this.#user);
    const starts = this.#slots.get(id)?.starts ?? 0;
    if (before && isCurrent && starts <= 1) return before.id;
    const { variables } = await this.#images.need(this.#options.image, waits);
    if (before) await this.#daemon.remove(before.id, waits);
    const { name: pool } = this;
    const [node, program] = await Promise.all([this.#options.node(), this.#options.program()]);
    const place = {
      id,
      pool,
      farm: this.#farm,
      farmDir: this.#options.dir,
      user: this.#user,
      dir: this.#files.dir(id),
      node,
      program,
      variables,
    };
    return this.#daemon.create(containerName(place), containerSpec(this.#options, place), waits);
  }

  /** The container with all that runs in it, and what it left behind. */
  async #end(id: MachineId, waits: Waits): Promise<void> {
    const container = this.#containers.get(id);
    if (container) await this.#daemon.remove(container.id, waits);
    this.#containers.delete(id);
    await this.#files.clear(id);
  }

  async #remove(id: MachineId, waits: Waits): Promise<void> {
    await this.#end(id, waits);
    await this.#slots.get(id)?.buildlet[Symbol.asyncDispose]();
    this.#slots.delete(id);
    await this.#files.remove(id);
  }
}

/** A container sees the processors and the memory of the whole computer. */
function limited(status: ObservedStatus, { cpus = Infinity, memoryBytes = Infinity }: ContainerSettings): ObservedStatus {
  const least = (of: number | undefined, limit: number): number | undefined => (of === undefined ? undefined : Math.min(of, limit));
  return { ...status, cpus: least(status.cpus, cpus), memoryBytes: least(status.memoryBytes, memoryBytes) };
}
