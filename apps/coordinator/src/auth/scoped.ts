/**
 * The coordinator's abilities as one caller has them: limited to some repositories, if the caller is, and without what only
 * operators see. The rest is not there.
 */
import { CroftError } from '@croft/runtime/errors';
import type { BuildId } from '@croft/domain/names';
import type { BuildDetail, Farm, MachineView } from '@croft/protocol/api';
import { hasRole, type Identity } from '@croft/web/identity';
import type { Capabilities } from '../capabilities.ts';
import { scopedBrowse } from '../browse/scoped-browse.ts';
import type { Farmer } from '../originals/farmer.ts';
import { scopedDashboard } from '../originals/scoped-dashboard.ts';

/** Whose builds they are need not be asked again, for each reader of changes. */
const rememberedBuilds = 1_000;

export function seenBy(who: Pick<Identity, 'role' | 'repos'>, all: Capabilities): Capabilities {
  if (hasRole(who, 'operator') && who.repos.length === 0) return all;
  const scoped = scopedTo(who.repos, all);
  return {
    ...scoped,
    farm: async (shown) => withoutConfiguration(await scoped.farm(shown)),
    async configuration() {
      throw new CroftError('forbidden', 'the configuration is for operators of the whole farm');
    },
  };
}

/** That an edit does not hold can be seen; what stands in it cannot. */
function withoutConfiguration({ config, ...farm }: Farm): Farm {
  const { file: _, problem, ...rest } = config;
  return { ...farm, config: problem ? { ...rest, problem: { ...problem, mistakes: [] } } : rest };
}

/** Empty `repos` means all of them. */
function scopedTo(repos: readonly string[], all: Capabilities): Omit<Capabilities, 'configuration'> {
  if (repos.length === 0) return all;
  const allowed = (repo: string): boolean => repos.includes(repo);
  const visible = async (id: BuildId): Promise<BuildDetail> => {
    const build = await all.build(id);
    if (!build || !allowed(build.repo)) throw new CroftError('not-found', `there is no build ${id}`);
    return build;
  };
  const checked = (repo: string): string => {
    if (!allowed(repo)) throw new CroftError('not-found', `there is no repository "${repo}"`);
    return repo;
  };
  return {
    async grid(query) {
      const grid = await all.grid({ ...query, repo: checked(query.repo ?? repos[0] ?? ''), allowed });
      return { ...grid, repos: grid.repos.filter(allowed) };
    },
    async builds(filter) {
      const repo = filter.repo ?? (repos.length === 1 ? repos[0] : undefined);
      const { builds, ...rest } = await all.builds({ ...filter, repo: repo === undefined ? undefined : checked(repo) });
      return { ...rest, builds: builds.filter((build) => allowed(build.repo)) };
    },
    async build(id) {
      const build = await all.build(id);
      return build && allowed(build.repo) ? build : undefined;
    },
    farm: async (shown) => ownFarm(await all.farm(shown), allowed),
    machineList: async (filter) => ownMachines(await all.machineList(filter), allowed),
    machineKinds: () => all.machineKinds(),
    log: async (id, attempt) => all.log((await visible(id)).id as BuildId, attempt),
    // A hash does not say whose log it is.
    logByHash: async () => undefined,
    artifacts: async (id, of) => all.artifacts((await visible(id)).id as BuildId, of),
    cacheUses: async (id, of) => all.cacheUses((await visible(id)).id as BuildId, of),
    artifactFile: async (id, place) => all.artifactFile((await visible(id)).id as BuildId, place),
    cancel: async (id, by, why) => all.cancel((await visible(id)).id as BuildId, by, why),
    retry: async (id, by) => all.retry((await visible(id)).id as BuildId, by),
    notify: async (repo, waits) => all.notify(checked(repo), waits),
    wake: (repo, branches) => all.wake(checked(repo), branches),
    async *changes(waits) {
      const own = new Map<string, boolean>();
      for await (const change of all.changes(waits)) {
        if (change.kind === 'build') {
          if (own.size >= rememberedBuilds) own.clear();
          if (!own.has(change.id)) own.set(change.id, allowed((await all.build(change.id as BuildId))?.repo ?? ''));
          if (own.get(change.id) === false) continue;
        } else if (change.kind === 'commits' && !allowed(change.repo)) continue;
        yield change;
      }
    },
    machines: noMachineCare,
    sessions: all.sessions,
    browse: scopedBrowse(all.browse, allowed),
    dashboard: scopedDashboard(all.dashboard, allowed),
    farmer: ownFarmer(all.farmer, allowed),
    ready: all.ready,
  };
}

/** Machines serve all repositories. */
const noMachineCare: Capabilities['machines'] = { drain: refuseCare, undrain: refuseCare, lose: refuseCare };

async function refuseCare(): Promise<never> {
  throw new CroftError('forbidden', 'machines are for operators of the whole farm');
}

function ownFarm(farm: Farm, allowed: (repo: string) => boolean): Farm {
  const running = farm.running.filter((build) => allowed(build.repo));
  const queue = farm.queue.filter((build) => allowed(build.repo));
  const known = new Set(running.map(({ id }) => id));
  const troubles = farm.troubles.filter(({ build }) => build === undefined || known.has(build));
  const repos = farm.repos.filter(({ name }) => allowed(name));
  return { ...ownMachines(farm, allowed), troubles, running, runningLength: running.length, queue, queueLength: queue.length, repos };
}

/** Machines serve everybody; builders of other repositories are not there. */
function ownFarmer(farmer: Farmer, allowed: (repo: string) => boolean): Farmer {
  return {
    hosts: () => farmer.hosts(),
    get hostTypes() {
      return farmer.hostTypes;
    },
    get builders() {
      const own = Object.entries(farmer.builders).map(([name, entry]) => [name, { ...entry, repos: entry.repos.filter(allowed) }] as const);
      return Object.fromEntries(own.filter(([, { repos }]) => repos.length > 0));
    },
  };
}

function ownMachines<T extends { machines: MachineView[] }>(list: T, allowed: (repo: string) => boolean): T {
  return { ...list, machines: list.machines.map((machine) => ownMachine(machine, allowed)) };
}

/** That it is busy can be seen; with what cannot, unless it is a build of theirs. */
function ownMachine(view: MachineView, allowed: (repo: string) => boolean): MachineView {
  const { lease, ...machine } = view;
  if (!lease || (lease.repo !== undefined && allowed(lease.repo))) return view;
  const { id, epoch, acquiredAt } = lease;
  const holder = lease.session ? 'somebody who borrows it' : 'a build of another repository';
  return { ...machine, lease: { id, holder, epoch, acquiredAt } };
}
