/** The wiring of a buildlet: what is opened in which order, and what happens to the commands when it ends. */
import { once } from 'node:events';
import { mkdir, realpath } from 'node:fs/promises';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { Clock } from '@croft/runtime/clock';
import { errorText } from '@croft/runtime/errors';
import type { Log } from '@croft/runtime/log';
import type { Random } from '@croft/runtime/random';
import type { Main } from '@croft/runtime/run-main';
import { createTaskGroup } from '@croft/runtime/tasks';
import { messages } from './events.ts';
import { openLauncher } from './commands/launcher.ts';
import type { Config } from './config.ts';
import { fileRoutes } from './files/routes.ts';
import { openTrash } from './files/trash.ts';
import { listen } from './http/listener.ts';
import { createRouter } from './http/router.ts';
import { debugRoutes } from './machine/debug-routes.ts';
import { watchEnding } from './machine/ending.ts';
import { portRoutes } from './machine/ports.ts';
import { machineRoutes } from './machine/routes.ts';
import { openRecords } from './runs/records.ts';
import { findRunRoute } from './runs/routes.ts';
import { openRuns } from './runs/runs.ts';
import { shownAddress } from './settings/addresses.ts';
import { createDisk } from './state/disk.ts';
import { openFence } from './state/fence.ts';
import { watchGround } from './state/ground.ts';
import { lockStateDir } from './state/lock.ts';
import { openSourceNote } from './state/source.ts';
import { spreadTrees } from './state/spread.ts';
import { createTrees } from './tree/trees.ts';

/** When it is stopped: uploads and the like may come to their end. */
const requestsEndWithinMs = 5_000;

export interface Deps {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** The buildlet's own environment, of which commands get the allowed part. */
  readonly environment: NodeJS.ProcessEnv;
}

export interface RunningBuildlet extends Main {
  readonly finished: Promise<void>;
  /** `unix:/path` or `host:port`. */
  readonly address: string;
}

export async function createBuildlet(config: Config, { clock, random, log, environment }: Deps): Promise<RunningBuildlet> {
  await using stack = new AsyncDisposableStack();
  const { stateDir } = config;
  await mkdir(stateDir, { recursive: true, mode: 0o700 });
  const workDir = await openWorkDir(config.workDir);
  stack.use(await lockStateDir(stateDir));
  const tasks = stack.use(createTaskGroup((name, error) => log.error(messages.taskFailed, { task: name, error: errorText(error) })));
  const fence = await openFence(stateDir);
  const records = await openRecords(stateDir, () => fence.highest);
  const disk = createDisk([stateDir, workDir], config.lowWaterBytes, clock);
  const trees = createTrees({ clock, probeName: `croft-probe-${process.pid}` });
  const launcher = stack.use(await openLauncher({ pipesDir: join(stateDir, 'pipes'), clock, way: config.start }));
  const { spoolLimitBytes } = config;
  const common = { clock, random, log, tasks, workDir, stateDir };
  const runs = await openRuns({ ...common, records, trees, launcher, disk, spoolLimitBytes, environment });
  const trash = await openTrash(`${workDir}.trash`, { tasks, clock, random, log });
  const source = openSourceNote(stateDir, workDir);
  const ground = stack.use(watchGround([stateDir, ...launcher.dirs, records.runsDir, records.collectedFile, workDir, trash.dir]));
  const ending = watchEnding({ config, runs, ground, tasks, clock, log });

  const boot = random.hex(8);
  const routes = {
    ...machineRoutes({ workDir, boot, fence, runs, disk, halt: ending.halt }),
    ...debugRoutes(() => ({ boot, epoch: fence.highest, runs: runs.list().length, backgroundTasks: tasks.size })),
    ...portRoutes(random),
    ...fileRoutes({ workDir, fence, trash, source, disk, lowWaterBytes: config.lowWaterBytes, clock, random }),
  };
  const router = createRouter({
    password: config.password?.reveal(),
    find: (path) => (Object.hasOwn(routes, path) ? routes[path] : findRunRoute(path, { runs, fence, source, clock })),
    onRequest: ending.checkGround,
    onContact: ending.heard,
    onWork: ending.checkWork,
    log,
  });
  const server = await listen(config.listen, { insecure: config.insecureListen, tls: config.tls }, router);
  stack.defer(() => closeWithin(server, requestsEndWithinMs, clock));
  stack.defer(() => within(runs.endAll(ending.why), ending.withinMs, clock));
  const address = listeningAddress(config.listen, server.address());
  log.info(messages.ready, {
    address,
    pid: process.pid,
    workDir,
    stateDir,
    runs: runs.list().length,
    tree: trees.way,
    start: launcher.way,
  });
  const owned = stack.move();
  return { finished: ending.finished, address, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** Waits for requests under way and cuts those that take longer. */
async function closeWithin(server: Server, limitMs: number, clock: Clock): Promise<void> {
  const closed = once(server, 'close').then(() => undefined);
  server.close();
  await within(closed, limitMs, clock);
  server.closeAllConnections();
}

async function within(work: Promise<void>, limitMs: number, clock: Clock): Promise<void> {
  const deadline = new AbortController();
  await Promise.race([work, clock.sleep(limitMs, { signal: deadline.signal }).catch(() => {})]);
  deadline.abort();
}

async function openWorkDir(dir: string): Promise<string> {
  await mkdir(dir, { recursive: true });
  await spreadTrees(dir);
  return realpath(dir);
}

/** The port is known only now when any free one was asked for. */
function listeningAddress(asked: Config['listen'], bound: string | AddressInfo | null): string {
  return asked.kind === 'tcp' && bound && typeof bound === 'object' ? shownAddress({ ...asked, port: bound.port }) : shownAddress(asked);
}
