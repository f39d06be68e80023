/** The wiring of a buildlet: what is opened in which order, and what happens to the commands when it ends. */
import { mkdir, realpath } from 'node:fs/promises';
import type { RequestListener } from 'node:http';
import { join } from 'node:path';
import type { Clock } from '@croft/runtime/clock';
import { errorText } from '@croft/runtime/errors';
import type { Log } from '@croft/runtime/log';
import type { Random } from '@croft/runtime/random';
import type { Main } from '@croft/runtime/run-main';
import { createBell, createTaskGroup } from '@croft/runtime/tasks';
import { messages } from './events.ts';
import { commandPath, passedEnvironment } from './commands/environment.ts';
import { openLauncher } from './commands/launcher.ts';
import { ownAccount } from './commands/login.ts';
import { createTerminals } from './commands/terminals.ts';
import type { Config } from './config.ts';
import { createExecs, type Execs } from './exec/execs.ts';
import { execRoutes } from './exec/routes.ts';
import { createRoom } from './files/room.ts';
import { fileRoutes } from './files/routes.ts';
import { openTrash } from './files/trash.ts';
import { openListening, within, type Served } from './http/served.ts';
import { createRouter } from './http/router.ts';
import { debugRoutes } from './machine/debug-routes.ts';
import { watchDraining } from './machine/draining.ts';
import { watchEnding } from './machine/ending.ts';
import { portRoutes } from './machine/ports.ts';
import { lineStatus, machineRoutes, status } from './machine/routes.ts';
import { createSelfTester, selfTestRoutes } from './machine/self-test.ts';
import type { Supervisor } from './machine/supervisor.ts';
import { rawRoutes } from './raw/routes.ts';
import { openReverse, type ReverseDeps } from './reverse/reverse.ts';
import { openRecords } from './runs/records.ts';
import { findRunRoute } from './runs/routes.ts';
import { openRuns, treeNames, type Runs, type RunsDeps } from './runs/runs.ts';
import { sshRoutes } from './ssh/routes.ts';
import { createSshd } from './ssh/sshd.ts';
import { createDisk } from './state/disk.ts';
import { openFence } from './state/fence.ts';
import { watchGround } from './state/ground.ts';
import { lockStateDir } from './state/lock.ts';
import { openSourceNote } from './state/source.ts';
import { spreadTrees } from './state/spread.ts';
import { createTrees } from './tree/trees.ts';

export interface Deps {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** The buildlet's own environment, of which commands get the allowed part. */
  readonly environment: NodeJS.ProcessEnv;
  /** Who started it and looks after it. */
  readonly supervisor?: Supervisor | undefined;
}

export interface RunningBuildlet extends Main {
  readonly finished: Promise<void>;
  /** `unix:/path`, `host:port`, or of the coordinator in reverse mode. */
  readonly address: string;
}

export async function createBuildlet(config: Config, { clock, random, log, environment, supervisor }: Deps): Promise<RunningBuildlet> {
  await using stack = new AsyncDisposableStack();
  const { stateDir, spoolLimitBytes } = config;
  await mkdir(stateDir, { recursive: true, mode: 0o700 });
  const workDir = await openWorkDir(config.workDir);
  stack.use(await lockStateDir(stateDir));
  const tasks = stack.use(createTaskGroup((name, error) => log.error(messages.taskFailed, { task: name, error: errorText(error) })));
  const fence = await openFence(stateDir);
  const records = await openRecords(stateDir, () => fence.highest);
  const disk = createDisk([stateDir, workDir], config.lowWaterBytes, clock);
  const trees = stack.use(createTrees({ clock, probeName: `croft-probe-${process.pid}` }));
  const launcher = stack.use(await openLauncher({ pipesDir: join(stateDir, 'pipes'), clock, trees, way: config.start }));
  const common = { clock, random, log, tasks, workDir, stateDir, passed: passedEnvironment(environment, ownAccount()) };
  const terminals = createTerminals(config.ptyModule);
  const commands = stack.use(await openCommands({ ...common, records, trees, launcher, terminals, disk, spoolLimitBytes }));
  const { runs, execs } = commands;
  const trash = await openTrash(`${workDir}.trash`, { tasks, clock, random, log });
  const source = openSourceNote(stateDir, workDir);
  const ground = stack.use(watchGround([stateDir, ...launcher.dirs, records.runsDir, records.collectedFile, workDir, trash.dir]));
  const ending = watchEnding({ config, runs: commands, ground, tasks, clock, log });
  const draining = watchDraining({ drain: supervisor?.drain, quietMs: config.drainAfterMs, runs, ending, tasks, clock, log });

  const boot = random.hex(8);
  const news = createBell();
  const probed = { dirs: [stateDir, trash.dir], path: commandPath(environment), disk, runs };
  const tester = createSelfTester({ ...probed, tasks, clock, onResult: news.ring });
  const machine = { workDir, boot, fence, runs, disk, isUpdating: () => draining.asked, selfTest: () => tester.result, halt: ending.halt };
  const routes = {
    ...machineRoutes(machine),
    ...debugRoutes(() => ({ boot, epoch: fence.highest, runs: runs.list().length, backgroundTasks: tasks.size })),
    ...execRoutes({ workDir, execs, fence, environment, passed: common.passed }),
    ...portRoutes(random),
    ...selfTestRoutes(tester),
    ...rawRoutes({ workDir, fence, clock, random, socketNames: treeNames(stateDir) }),
    ...sshRoutes({ sshd: createSshd({ port: config.sshPort, clock, log, tasks }), clock }),
    ...fileRoutes({ workDir, fence, trash, source, room: createRoom(workDir, config.lowWaterBytes), clock, random, log }),
  };
  const router = createRouter({
    password: config.reverse ? undefined : config.password?.reveal(),
    dialled: config.reverse !== undefined,
    find: (path) => (Object.hasOwn(routes, path) ? routes[path] : findRunRoute(path, { runs, fence, source, clock })),
    onRequest: ending.checkGround,
    onContact: ending.heard,
    onWork() {
      ending.checkWork();
      return draining.work();
    },
    log,
  });
  const told = async (): Promise<unknown> => lineStatus(await status(machine));
  const line = { boot, news, heard: ending.heard, opened: () => supervisor?.ready(), isEnding: () => ending.isEnding, status: told };
  const { address, ended } = stack.use(await openServed(config, router, { clock, random, log, ...line }));
  stack.defer(() => within(commands.endAll(ending.why), ending.withinMs, clock));
  const about = { workDir, stateDir, runs: runs.list().length, tree: trees.way, start: launcher.way };
  log.info(messages.ready, { address, pid: process.pid, ...about });
  if (!config.reverse) supervisor?.ready();
  const owned = stack.move();
  const finished = ended ? Promise.race([ending.finished, ended]) : ending.finished;
  return { finished, address, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

function openServed(config: Config, router: RequestListener, deps: ReverseDeps): Promise<Served> {
  return config.reverse ? openReverse(config.reverse, config, router, deps) : openListening(config, router, deps.clock);
}

interface Commands extends AsyncDisposable {
  readonly runs: Runs;
  readonly execs: Execs;
  endAll(why: string): Promise<void>;
}

async function openCommands(deps: RunsDeps): Promise<Commands> {
  const runs = await openRuns(deps);
  const execs = createExecs({ ...deps, treeNames: treeNames(deps.stateDir) });
  return {
    runs,
    execs,
    endAll: async (why) => void (await Promise.all([runs.endAll(why), execs.endAll(why)])),
    [Symbol.asyncDispose]: async () => void (await Promise.all(runs.list().map((run) => run[Symbol.asyncDispose]()))),
  };
}

async function openWorkDir(dir: string): Promise<string> {
  await mkdir(dir, { recursive: true });
  await spreadTrees(dir);
  return realpath(dir);
}
