/** The farm in the originals' words (coordinator.md 10, 10.2): host types with their machines, and builders with what they build on. */
import { declaredMachines, type FarmConfig } from '@croft/config/farm-config';
import type { Builder } from '@croft/domain/job';
import type { MachineId } from '@croft/domain/names';
import type { Clock } from '@croft/runtime/clock';
import { countQueuedByNeeds } from '@croft/store/build-lists';
import type { Database, Sql } from '@croft/store/database';
import { heldLeases } from '@croft/store/leases';
import { getMachine } from '@croft/store/machines';
import type { WatchedMachine } from '../machines/watch-machines.ts';

export interface Farmer {
  /** By host type, in order of their names. */
  hosts(): Promise<Record<string, HostStatus>>;
  readonly builders: Record<string, BuilderEntry>;
  readonly hostTypes: Record<string, HostEntry>;
}

export interface HostStatus {
  readonly HostType: string;
  readonly Connected: number;
  readonly Expect: number;
  readonly Idle: number;
  readonly Busy: number;
  readonly Waiters: number;
  /** By machine. */
  readonly Machines: Record<string, MachineStatus>;
}

export interface MachineStatus {
  readonly Name: string;
  readonly HostType: string;
  readonly ConnectedSec: number;
  readonly IdleSec?: number;
  readonly BusySec?: number;
  readonly Version: string;
  readonly Busy: boolean;
}

/** The originals' fields, then ours. */
export interface BuilderEntry extends Omit<Builder, 'name' | 'hostType' | 'retention' | 'env' | 'secrets' | 'steps' | 'services'> {
  readonly Name: string;
  /** Empty when no pool has what it needs. */
  readonly HostType: string;
  /** The numbers at the ends of the issues' addresses. */
  readonly KnownIssues: readonly number[];
  readonly Notes: string;
  readonly steps: 'detect' | readonly { readonly name: string; readonly role: string; readonly limitMs: number }[];
  /** Their names. */
  readonly services: readonly string[];
}

export interface HostEntry {
  readonly HostType: string;
  readonly ExpectNum: number;
  readonly Notes: string;
  readonly Owners: readonly { readonly Name: string }[];
  readonly pools: readonly string[];
  readonly labels: readonly string[];
}

export interface FarmerDeps {
  readonly db: Database;
  readonly config: () => Pick<FarmConfig, 'builders' | 'pools' | 'hostTypes'>;
  readonly clock: Clock;
  readonly version: string;
  watched(): readonly WatchedMachine[];
}

export function createFarmer(deps: FarmerDeps): Farmer {
  const { config } = deps;
  return {
    hosts: () => deps.db.read((sql) => readHosts(sql, deps)),
    get builders() {
      const { builders, pools } = config();
      return Object.fromEntries(builders.map((builder) => [builder.name, builderEntry(builder, pools)]));
    },
    get hostTypes() {
      const { hostTypes, pools } = config();
      const names = new Set([...hostTypes.map(({ name }) => name), ...pools.map(({ hostType }) => hostType)]);
      return Object.fromEntries([...names].map((name) => [name, hostEntry(name, { hostTypes, pools })]));
    },
  };
}

function hostEntry(name: string, { hostTypes, pools }: Pick<FarmConfig, 'hostTypes' | 'pools'>): HostEntry {
  const declared = hostTypes.find((host) => host.name === name);
  const theirs = pools.filter(({ hostType }) => hostType === name);
  return {
    HostType: name,
    ExpectNum: declaredMachines(theirs),
    Notes: declared?.notes ?? '',
    Owners: (declared?.owners ?? []).map((Name) => ({ Name })),
    pools: theirs.map((pool) => pool.name),
    labels: [...new Set([...(declared?.labels ?? []), ...theirs.flatMap(({ labels }) => labels)])],
  };
}

/** Environments and arguments stay out: people put secrets there. */
function builderEntry(builder: Builder, pools: FarmConfig['pools']): BuilderEntry {
  const { name, hostType, retention: _kept, env: _env, secrets: _secrets, steps, services: beside, ...rest } = builder;
  const host = pools.find(({ labels }) => rest.needs.labels.every((label) => labels.includes(label)));
  const shown = steps === 'detect' ? steps : steps.map((step) => ({ name: step.name, role: step.role, limitMs: step.limitMs }));
  const KnownIssues = rest.knownIssues.map((address) => Number(/(\d+)\/?$/.exec(address)?.[1] ?? 0)).filter((number) => number > 0);
  const services = beside.map((service) => service.name);
  return { Name: name, HostType: hostType ?? host?.hostType ?? '', KnownIssues, Notes: '', steps: shown, services, ...rest };
}

async function readHosts(sql: Sql, { config, clock, version, watched }: FarmerDeps): Promise<Record<string, HostStatus>> {
  const { pools } = config();
  const leases = new Map((await heldLeases(sql)).map((lease) => [lease.machine, lease.state]));
  const up = watched().filter(({ observed }) => observed.state === 'up');
  const createdAt = new Map<MachineId, number>();
  for (const { observed } of up) {
    const stored = observed.line ? undefined : await getMachine(sql, observed.id); // those that dial in are many, and tell it themselves
    if (stored) createdAt.set(stored.id, stored.createdAt);
  }
  const waiting = await countQueuedByNeeds(sql);
  const now = clock.now();
  const toStatus = ({ observed: { id, hostType, line, version: own }, seenAt }: WatchedMachine): MachineStatus => {
    const lease = leases.get(id);
    const connectedAt = line?.since ?? createdAt.get(id) ?? seenAt;
    const seconds = (from: number): number => Math.max(0, (now - from) / 1_000);
    const time = lease ? { BusySec: seconds(lease.acquiredAt) } : { IdleSec: seconds(connectedAt) };
    const Version = line && own !== undefined ? String(own) : version;
    return { Name: line?.host ?? id, HostType: hostType, ConnectedSec: seconds(connectedAt), ...time, Version, Busy: lease !== undefined };
  };
  const names = new Set([...pools.map(({ hostType }) => hostType), ...up.map(({ observed }) => observed.hostType)]);
  return Object.fromEntries(
    [...names].toSorted().map((HostType): [string, HostStatus] => {
      const mine = up.filter(({ observed }) => observed.hostType === HostType);
      const declared = pools.filter((pool) => pool.hostType === HostType);
      const labels = new Set([...declared, ...mine.map(({ observed }) => observed)].flatMap((of) => of.labels));
      const suited = waiting.filter((kind) => kind.labels.every((label) => labels.has(label)));
      const machines = mine.map(toStatus);
      const Busy = machines.filter((machine) => machine.Busy).length;
      const status = {
        HostType,
        Connected: machines.length,
        Expect: declaredMachines(declared),
        Idle: machines.length - Busy,
        Busy,
        Waiters: sum(suited.map(({ count }) => count)),
        Machines: Object.fromEntries(machines.map((machine) => [machine.Name, machine])),
      };
      return [HostType, status];
    }),
  );
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
