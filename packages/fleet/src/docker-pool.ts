/**
 * Machines that are containers of a Docker daemon on this computer. The daemon alone says which there are: by their labels, of which
 * one names the farm. Each runs the buildlet of this coordinator with its Node, both mounted, so that any image will do; it is spoken
 * to on a Unix socket in a directory that is mounted for it alone. Why so: docs/decisions/0008-docker-machines.md.
 */
import { mkdir, realpath } from 'node:fs/promises';
import type { Buildlet } from '@croft/buildlet/client';
import type { ContainerSettings } from '@croft/domain/container';
import { parseMachineId, type MachineId } from '@croft/domain/names';
import type { Waits } from '@croft/runtime/clock';
import { sha256Hex } from '@croft/runtime/digest';
import { CroftError, errorText } from '@croft/runtime/errors';
import type { ContainerNode } from './container-node.ts';
import { labelNames } from './docker-container.ts';
import { createDaemon, type Container, type Daemon } from './docker-daemon.ts';
import { createImages, type Images } from './docker-image.ts';
import { openDockerMachine, type DockerMachine } from './docker-machine.ts';
import { findStrays } from './docker-strays.ts';
import type { PoolDeps } from './local-pool.ts';
import { createMachineDirectories, type MachineDirectories } from './machine-directories.ts';
import { machineNames, type Numbers } from './machine-names.ts';
import type { Observed, Pool, Reconciling } from './pool.ts';
import { createReconcile, type Maker } from './reconcile.ts';
import { createTurns } from './turns.ts';

/** What may change while there are machines. Those that are there become what is declared once nobody works on them. */
export interface DeclaredContainers extends ContainerSettings, Numbers {
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
  readonly #machines = new Map<MachineId, DockerMachine>();
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
    this.#options = { ...this.#options, size: 0, forSessions: 0 };
  }

  reconcile(waits: Reconciling): Promise<readonly Observed[]> {
    return this.#turns.take(() => this.#reconcile(this.#maker(waits), waits));
  }

  connect(id: MachineId): Buildlet {
    const machine = this.#machines.get(id);
    if (!machine) throw new CroftError('not-found', `pool ${this.name} has no machine ${id}`);
    return machine.buildlet;
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
    await Promise.all([...this.#machines.values()].map((machine) => machine[Symbol.asyncDispose]()));
    this.#machines.clear();
    await this.#images[Symbol.asyncDispose]();
    await this.#files[Symbol.asyncDispose]();
  }

  #maker({ isUsed = () => false }: Reconciling): Maker {
    const { hostType, labels } = this.#options;
    return {
      names: machineNames(this.name, this.#options),
      present: (waits) => this.#present(waits),
      observe: async (id, waits) => (await this.#machine(id)).observe(this.#containers.get(id), waits),
      start: async (id, waits) => (await this.#machine(id)).start(this.#containers.get(id), waits),
      remove: (id, waits) => this.#remove(id, waits),
      worn: ({ id, state, boot }) => {
        const isWorn = state === 'up' && this.#machines.get(id)?.isWorn(this.#containers.get(id), isUsed(id, boot)) === true;
        return isWorn ? 'is made anew for the next build' : undefined;
      },
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
    const mine = ours.filter(({ labels }) => labels[labelNames.pool] === this.name);
    this.#containers = new Map(mine.map((container) => [parseMachineId(container.labels[labelNames.machine] ?? ''), container]));
    await this.#removeOrphans(ours, waits);
    this.#strays = await findStrays(all.filter((one) => !ours.includes(one)));
    return [...new Set([...this.#containers.keys(), ...(await this.#files.list(this.name))])];
  }

  async #removeOrphans(ours: readonly Container[], waits: Waits): Promise<void> {
    const pools = [this.name, ...this.#options.pools()];
    for (const { id, labels } of ours) {
      const { [labelNames.pool]: pool = '', [labelNames.machine]: machine } = labels;
      if (pools.includes(pool)) continue;
      await this.#daemon.remove(id, waits);
      this.#deps.log.warn('orphan removed', { container: id.slice(0, 12), machine, pool });
    }
  }

  async #machine(id: MachineId): Promise<DockerMachine> {
    const known = this.#machines.get(id);
    if (known) return known;
    const own = { options: () => this.#options, farm: this.#farm, daemon: this.#daemon, images: this.#images, files: this.#files };
    const machine = await openDockerMachine(id, { ...this.#deps, ...own });
    this.#machines.set(id, machine);
    return machine;
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
    await this.#machines.get(id)?.[Symbol.asyncDispose]();
    this.#machines.delete(id);
    await this.#files.remove(id);
  }
}
