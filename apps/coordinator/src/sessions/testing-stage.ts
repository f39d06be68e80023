/** Lending over a real buildlet and a real database, with a clock that tests hold; machines are given out when the test says so. */
import { createBuildlet, type Buildlet } from '@croft/buildlet/client';
import { readConfig } from '@croft/config/read-config';
import type { Builder } from '@croft/domain/job';
import type { SessionId } from '@croft/domain/names';
import type { SessionView } from '@croft/protocol/sessions';
import { systemClock } from '@croft/runtime/clock';
import { CroftError } from '@croft/runtime/errors';
import { silentLog } from '@croft/runtime/log';
import { systemRandom } from '@croft/runtime/random';
import { createTaskGroup } from '@croft/runtime/tasks';
import type { FakeClock } from '@croft/runtime/testing';
import { keepSecrets } from '@croft/config/keep-secrets';
import { liveSessions } from '@croft/store/sessions';
import { incarnate, machine, openBench, type Bench } from '../builds/testing.ts';
import { planNow } from '../builds/schedule.ts';
import { createChanges } from '../changes.ts';
import type { WatchedMachine } from '../machines/watch-machines.ts';
import { openLending, type Lending, type LendingParts } from './open-lending.ts';
import type { Person } from './sessions.ts';

export const ann: Person = { name: 'ann', role: 'developer', repos: [] };
export const bob: Person = { name: 'bob', role: 'developer', repos: [] };
export const olga: Person = { name: 'olga', role: 'operator', repos: [] };
export const vic: Person = { name: 'vic', role: 'viewer', repos: [] };

export interface Stage extends AsyncDisposable {
  readonly bench: Bench;
  readonly buildlet: Buildlet;
  readonly lending: Lending;
  /** Evidence of machines that were declared lost. */
  readonly lost: string[];
  /** Gives the machine to the first that waits, as the schedule would. */
  lend(): Promise<SessionId | undefined>;
  /** Begins to look after sessions. */
  keep(): void;
  /** As if this process were killed and another one started. */
  restart(): Promise<Stage>;
  /** Waits in real time; each look moves the clock by a tenth of a second. */
  until(name: string, state: SessionView['state']): Promise<SessionView>;
}

export interface StageOptions {
  readonly clock: FakeClock;
  readonly sessions?: Record<string, unknown>;
  readonly builder?: Partial<Builder>;
  /** Stands before the machine. */
  readonly wrap?: (buildlet: Buildlet) => Buildlet;
}

export async function openStage(options: StageOptions): Promise<Stage> {
  await using stack = new AsyncDisposableStack();
  const bench = stack.use(await openBench([], { clock: options.clock }));
  const stage = await openOver({ ...bench, builder: { ...bench.builder, ...options.builder } }, options);
  stack.use(stage);
  const owned = stack.move();
  return { ...stage, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

async function openOver(bench: Bench, options: StageOptions): Promise<Stage> {
  await using stack = new AsyncDisposableStack();
  const { clock, wrap = (same) => same, sessions = {} } = options;
  const { db } = bench;
  const direct = stack.use(createBuildlet(bench.buildlet.address, { clock: systemClock }));
  const buildlet = wrap(direct);
  const config = { ...readConfig({ dataDir: bench.dir, sessions }), builders: [bench.builder] };
  const lost: string[] = [];
  const machines = oneMachine(buildlet, async (evidence) => {
    lost.push(evidence);
    await lending.records.lose(machine, evidence);
  });
  const changes = createChanges();
  const lending: Lending = openLending({
    farm: incarnate(bench).farm,
    db,
    machines,
    secrets: keepSecrets(new Map()),
    config: () => config,
    plan: () => planNow({ db, machines: machines.list, builders: () => config.builders, hold: () => undefined, clock }),
    isOpen: () => true,
    onMove: (id) => changes.tell({ kind: 'session', id }),
    watch: changes.watch,
    clock,
    random: systemRandom,
    log: silentLog,
  });
  const tasks = stack.use(createTaskGroup((_, error) => lost.push(String(error))));
  stack.use(lending);
  const owned = stack.move();
  const dispose = (): Promise<void> => owned.disposeAsync();
  return {
    bench,
    buildlet: direct,
    lending,
    lost,
    async lend() {
      const waiting = (await db.read((sql) => liveSessions(sql))).find(({ state }) => state.kind === 'waiting');
      return waiting && (await lending.records.assign(waiting.id, machine)) ? waiting.id : undefined;
    },
    keep: () => tasks.start('sessions', (waits) => lending.run(waits)),
    async restart() {
      await dispose();
      return openOver(bench, options);
    },
    async until(name, state) {
      const deadline = systemClock.deadline(20_000);
      for (;;) {
        const session = await lending.sessions.get({ name: 'test', role: 'admin', repos: [] }, name);
        if (session.state === state) return session;
        if (deadline.aborted) throw new CroftError('timeout', `session ${name} is ${session.state}, not ${state}: ${lost.join('; ')}`);
        await clock.advance(100);
        await systemClock.sleep(5);
      }
    },
    [Symbol.asyncDispose]: dispose,
  };
}

function oneMachine(buildlet: Buildlet, onLost: (evidence: string) => Promise<void>): LendingParts['machines'] {
  const watched: WatchedMachine = { observed: { id: machine, hostType: 'test', labels: [], state: 'up' }, pool: 'test', seenAt: 0 };
  const lose = (_id: typeof machine, evidence: string): Promise<void> => onLost(evidence);
  return { list: () => [watched], employ: () => buildlet, look() {}, release() {}, lose };
}
