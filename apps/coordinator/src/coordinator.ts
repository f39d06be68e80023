/**
 * The coordinator's wiring, readable as a diagram: store, sources, pools; records and logs; drivers, schedule and watch around
 * them; the capabilities on top, served to pages and programs.
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { openDirectoryBlobs } from '@croft/blobs/directory';
import type { FarmConfig } from '@croft/config/farm-config';
import { resolveSecrets, type Secrets } from '@croft/config/secrets';
import { systemClock, type Clock, type Waits } from '@croft/runtime/clock';
import { createLog } from '@croft/runtime/log';
import { systemRandom, type Random } from '@croft/runtime/random';
import { release as version } from '@croft/runtime/release';
import { createTaskGroup } from '@croft/runtime/tasks';
import { lockDataDirectory } from '@croft/store/data-lock';
import { openDatabase } from '@croft/store/database';
import { createReverseDesk } from '@croft/fleet/reverse-desk';
import { knownMachines } from './machines/stored-machines.ts';
import type { Capabilities } from './capabilities.ts';
import { countWrites, createMetrics } from './events.ts';
import { openSources } from './builds/source.ts';
import { followFiles, type Watched } from './configuration/follow-files.ts';
import { createLiveConfig, type LiveConfig } from './configuration/live-config.ts';
import { readAgain, withSecretFiles, type ConfigSource, type ReadAgainDeps } from './configuration/read-again.ts';
import { createFarm } from './farm.ts';
import { createDistribution } from './distribution/distribution.ts';
import { createOpeners } from './machines/open-pool.ts';
import { openPools } from './machines/pools.ts';
import { keepSecrets, type SecretKeeper } from '@croft/config/keep-secrets';
import { serveFarm, type ServeDeps, type Served } from './serve.ts';

export interface CoordinatorDeps {
  /** Where secrets come from, and from which buildlets get what their allow-list lets through. */
  readonly env: NodeJS.ProcessEnv;
  /** The file that is read again when it changes. */
  readonly source?: ConfigSource | undefined;
  readonly clock?: Clock;
  readonly random?: Random;
}

export interface Coordinator extends AsyncDisposable {
  /** Without a slash at the end. */
  readonly url: string;
  /** Where the admin's token lies; undefined where the local user is known without one. */
  readonly tokenFile: string | undefined;
  /** Where people come in by SSH; undefined where they do not. */
  readonly ssh: Served['ssh'];
  /** For spectators in this process. */
  readonly capabilities: Pick<Capabilities, 'build' | 'changes' | 'farm'>;
  /** From now on disposal ends the machines and what runs on them; otherwise it detaches and they go on. */
  endOnDispose(): void;
}

export async function createCoordinator(
  config: FarmConfig,
  { env, source, clock = systemClock, random = systemRandom }: CoordinatorDeps,
): Promise<Coordinator> {
  await using stack = new AsyncDisposableStack();
  const log = createLog({ level: config.logLevel, file: config.logFile, service: 'coordinator' });
  const secrets = await resolveSecrets(config.secrets, env);
  await mkdir(config.dataDir, { recursive: true, mode: 0o700 });
  stack.use(lockDataDirectory(config.dataDir));
  const metrics = createMetrics();
  const database = stack.use(
    await openDatabase({ url: databaseUrl(config, secrets), durability: config.durability, lockName: 'croft', log, clock, random }),
  );
  const db = countWrites(database, metrics, clock);
  const sources = stack.use(openSources(config.repos, { dir: join(config.dataDir, 'repos'), clock }));
  const blobs = await openDirectoryBlobs(join(config.dataDir, 'blobs'), { ...config, clock, random });
  const distribution = createDistribution(join(config.dataDir, 'programs'));
  const desk = createReverseDesk({ clock, random, log });
  const openers = createOpeners(config.dataDir, { distribution, env, desk, known: knownMachines(db), clock, random, log });
  const pools = stack.use(await openPools(config.pools, openers));
  const live = createLiveConfig(config, { file: source?.path, clock });
  const keeper = keepSecrets(secrets);
  const shared = { db, metrics, version, clock, random, log };
  const farm = stack.use(await createFarm(live, { ...shared, blobs, sources, pools: pools.list, secrets: keeper }));
  const server = stack.use(await serveFarm(config, farm, { ...shared, desk, distribution, ...settingsOf(live, keeper) }));
  farm.lending.knowPeople(server.people);
  if (server.ssh) farm.lending.sshAt(server.ssh);
  stack.use(desk); // ends before the listener, which would wait for the lines
  const following = stack.use(createTaskGroup((name, error) => log.error('background work stopped', { task: name, error })));
  const reading: ReadAgainDeps = {
    live,
    env,
    ...shared,
    async prepare(next) {
      await pools.declare(next.pools); // may fail: then nothing else has changed either
      sources.declare(next.repos);
    },
    changed(next) {
      keeper.replace(next);
      farm.reconfigure();
    },
    tell: farm.tell,
  };
  if (source) {
    const read = (waits: Waits): Promise<Watched> => readAgain(source, reading, waits);
    following.start('configuration', (waits) => followFiles(withSecretFiles(source, config), { clock, read }, waits));
  }
  farm.start();
  const owned = stack.move();
  return {
    url: server.url,
    tokenFile: server.tokenFile,
    ssh: server.ssh,
    capabilities: farm.capabilities,
    endOnDispose: () => farm.endOnDispose(),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** What the farm's doors ask the configuration for, as it is then. */
function settingsOf(live: LiveConfig, keeper: SecretKeeper): Pick<ServeDeps, 'hookSecret' | 'githubLogins' | 'sshUser'> {
  const named = <T extends { readonly name: string }>(list: readonly T[], wanted: string): T | undefined =>
    list.find(({ name }) => name === wanted);
  return {
    hookSecret: (repo) => keeper.get(named(live.current().repos, repo)?.hookSecret ?? ''),
    githubLogins: () => live.current().githubLogins,
    sshUser: (hostType) => named(live.current().hostTypes, hostType)?.sshUser,
  };
}

function databaseUrl(config: FarmConfig, secrets: Secrets): string {
  const url = config.databaseSecret === undefined ? config.databaseUrl : secrets.get(config.databaseSecret);
  return url?.reveal() ?? `sqlite:${join(config.dataDir, 'croft.db')}`;
}
