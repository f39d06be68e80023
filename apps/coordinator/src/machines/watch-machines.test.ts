import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Buildlet } from '@croft/buildlet/client';
import type { MachineId } from '@croft/domain/names';
import { liveness } from '@croft/domain/lease';
import type { Observed, Pool, Reconciling } from '@croft/fleet/pool';
import { MINUTE } from '@croft/runtime/clock';
import { CroftError, isCode } from '@croft/runtime/errors';
import { silentLog } from '@croft/runtime/log';
import { createTaskGroup } from '@croft/runtime/tasks';
import { FakeClock } from '@croft/runtime/testing';
import { watchMachines, type MachineEvents, type Machines } from './watch-machines.ts';

const one = 'local-1' as MachineId;

interface Stage extends AsyncDisposable {
  readonly clock: FakeClock;
  readonly machines: Machines;
  /** What was told, in order. */
  readonly told: string[];
  /** How each machine looks from now on. */
  show(...observed: Pick<Observed, 'id' | 'state' | 'boot' | 'evidence' | 'oneBuild' | 'line'>[]): void;
  /** What its pool is told: whether somebody was given the machine with this boot. */
  isUsed(boot: string): boolean | undefined;
  /** Makes the next calls of the event fail. */
  fail: keyof MachineEvents | 'reconcile' | undefined;
  /** Why machines take no work, as they tell. */
  whyHeld: string | undefined;
  changes: number;
  /** Called when a machine was told as lost. */
  onLost: () => void;
  /** What an earlier process stored. */
  lastSeenAt: number | undefined;
  start(): void;
}

function openStage(): Stage {
  const clock = new FakeClock();
  const told: string[] = [];
  let shown: readonly Observed[] = [];
  let usedOf: Reconciling['isUsed'];
  const stage = {
    isUsed: (boot: string) => usedOf?.(one, boot),
    fail: undefined as Stage['fail'],
    lastSeenAt: undefined as Stage['lastSeenAt'],
    whyHeld: undefined as Stage['whyHeld'],
    changes: 0,
    onLost: () => {},
  };
  const event = async (name: NonNullable<Stage['fail']>, text: string): Promise<void> => {
    if (stage.fail === name) throw new CroftError('unavailable', 'the database is gone');
    told.push(`${name} ${text}`);
  };
  const pool: Pool = {
    name: 'local',
    drain() {},
    async reconcile({ isUsed }) {
      usedOf = isUsed;
      if (stage.fail === 'reconcile') throw new CroftError('unavailable', 'no provider');
      return shown;
    },
    connect(id) {
      if (id !== one) throw new CroftError('not-found', 'no such machine');
      return {} as Buildlet;
    },
    async replace(id) {
      told.push(`replaced ${id}`);
    },
    async endAll() {},
    async [Symbol.asyncDispose]() {},
  };
  const events: MachineEvents = {
    onUp: (_, { id, boot }) => event('onUp', `${id} ${boot}`),
    onAway: ({ id, state }) => event('onAway', `${id} ${state}`),
    async onLost(id, evidence) {
      await event('onLost', `${id} ${evidence}`);
      stage.onLost();
    },
    lastSeenAt: async () => stage.lastSeenAt,
    whyHeld: () => stage.whyHeld,
    isLeased: async () => false,
    onChange: () => void (stage.changes += 1),
  };
  const machines = watchMachines(() => [pool], events, { clock, log: silentLog });
  const tasks = createTaskGroup((_, error) => assert.fail(String(error)));
  return Object.assign(stage, {
    clock,
    machines,
    told,
    show(...observed: Parameters<Stage['show']>) {
      shown = observed.map((machine) => ({ hostType: 'host', labels: [], ...machine }));
    },
    start: () => tasks.start('watch', (waits) => machines.run(waits)),
    [Symbol.asyncDispose]: () => tasks[Symbol.asyncDispose](),
  });
}

const up = { id: one, state: 'up', boot: 'a' } as const;
const silent = { id: one, state: 'silent', evidence: 'no answer' } as const;

test('a machine is told once when it comes up, again when its buildlet was started anew, and when it goes', async () => {
  await using stage = openStage();
  const { clock, told } = stage;
  stage.show(up);
  stage.start();
  await clock.advance(20_000);
  assert.deepEqual(told, ['onUp local-1 a']);
  stage.show({ ...up, boot: 'b' });
  await clock.advance(liveness.pingMs);
  stage.show(silent);
  await clock.advance(liveness.pingMs);
  assert.deepEqual(told.slice(1), ['onUp local-1 b', 'onAway local-1 silent']);
});

test('what could not be stored is told again, and until then the machine is not there to be leased', async () => {
  await using stage = openStage();
  stage.fail = 'onUp';
  stage.show(up);
  stage.start();
  await stage.clock.advance(2_000);
  assert.deepEqual(stage.machines.list(), []);
  assert.equal(stage.machines.surveyed(), false);
  stage.fail = undefined;
  await stage.clock.advance(2_000);
  assert.deepEqual(stage.told, ['onUp local-1 a']);
  assert.equal(stage.machines.list().length, 1);
  assert.equal(stage.machines.surveyed(), true);
});

test('nothing is lost in the first 30 s; after that 15 s of silence lose a machine, which is then replaced', async () => {
  await using stage = openStage();
  const { clock, told } = stage;
  stage.show(silent);
  stage.start();
  await clock.advance(liveness.graceMs - 200);
  assert.deepEqual(told, ['onAway local-1 silent']);
  await clock.advance(400);
  assert.deepEqual(told.slice(1), ['onLost local-1 no answer', 'replaced local-1']);

  stage.show(up);
  await clock.advance(60_000);
  stage.show(silent);
  await clock.advance(liveness.lostMs - liveness.pingMs - 200);
  assert.equal(told.filter((text) => text.startsWith('onLost')).length, 1);
  await clock.advance(liveness.pingMs + 600);
  assert.equal(told.filter((text) => text.startsWith('onLost')).length, 2);
});

test('a machine comes back from silence as if nothing had been', async () => {
  await using stage = openStage();
  const { clock, told } = stage;
  stage.show(up);
  stage.start();
  await clock.advance(60_000);
  for (let round = 0; round < 5; round += 1) {
    stage.show(silent);
    await clock.advance(9_000);
    stage.show(up);
    await clock.advance(liveness.pingMs);
  }
  assert.equal(told.filter((text) => /onLost|replaced/.test(text)).length, 0);
});

test('a machine that is starting is not lost for as long as its pool says so, and one that does not come up is', async () => {
  await using stage = openStage();
  const { clock, told } = stage;
  stage.show(up);
  stage.start();
  await clock.advance(60_000);
  stage.show({ ...silent, state: 'starting' });
  await clock.advance(2 * liveness.lostMs);
  assert.equal(told.filter((text) => text.startsWith('onLost')).length, 0);
  stage.show(silent);
  await clock.advance(2 * liveness.pingMs);
  assert.equal(told.filter((text) => text.startsWith('onLost')).length, 1);
});

test('time in which this process stood still loses nobody', async () => {
  await using stage = openStage();
  const { clock, machines, told } = stage;
  stage.show(up);
  await machines.check({});
  await clock.advance(10 * 60_000); // nobody looks meanwhile
  stage.show(silent);
  await machines.check({});
  assert.deepEqual(told.slice(1), ['onAway local-1 silent']);
  await clock.advance(2_000);
  stage.show(up);
  await machines.check({});
  assert.equal(told.filter((text) => text.startsWith('onLost')).length, 0);
});

test('a loss that could not be stored is told again, and only then is the machine replaced', async () => {
  await using stage = openStage();
  const { clock, told } = stage;
  stage.fail = 'onLost';
  stage.show(silent);
  stage.start();
  await clock.advance(40_000);
  assert.deepEqual(told, ['onAway local-1 silent']);
  stage.fail = undefined;
  await clock.advance(1_000);
  assert.deepEqual(told.slice(1), ['onLost local-1 no answer', 'replaced local-1']);
});

test('a pool that cannot be looked at gives out and loses no machine, says so, and is looked at again', async () => {
  await using stage = openStage();
  stage.show(up);
  stage.start();
  await stage.clock.advance(1_000);
  stage.fail = 'reconcile';
  await stage.clock.advance(120_000);
  const [seen] = stage.machines.list();
  assert.deepEqual([seen?.observed.state, seen?.observed.evidence], ['silent', 'its machines cannot be looked at: no provider']);
  assert.deepEqual(
    stage.machines.troubles().map(({ what, text }) => `${what}: ${text}`),
    ['pool local: its machines cannot be looked at: no provider'],
  );
  stage.fail = undefined;
  stage.show();
  await stage.clock.advance(liveness.pingMs);
  assert.deepEqual([stage.machines.list(), stage.machines.troubles()], [[], []]);
  assert.deepEqual(stage.told, ['onUp local-1 a']);
});

test('a machine is told again each minute, so that what is stored says when it was seen', async () => {
  await using stage = openStage();
  stage.show(up);
  stage.start();
  await stage.clock.advance(3 * MINUTE + 1_000);
  assert.deepEqual(stage.told, Array<string>(4).fill('onUp local-1 a'));
});

test('a machine that was silent ever since the start was seen when an earlier process saw it', async () => {
  await using stage = openStage();
  stage.lastSeenAt = stage.clock.now() - 5 * MINUTE;
  stage.show(silent);
  await stage.machines.check({});
  assert.equal(stage.machines.list()[0]?.seenAt, stage.lastSeenAt);
});

test('somebody who asks is looked for at once', async () => {
  await using stage = openStage();
  stage.show(up);
  stage.start();
  await stage.clock.advance(100);
  stage.show({ ...up, boot: 'b' });
  stage.machines.look();
  await stage.clock.advance(0);
  assert.deepEqual(stage.told, ['onUp local-1 a', 'onUp local-1 b']);
});

test('a machine of no pool cannot be reached', async () => {
  await using stage = openStage();
  assert.throws(
    () => stage.machines.connect('other-1' as MachineId),
    (error) => isCode(error, 'unavailable'),
  );
});

test('a machine for one build is given to nobody after it was worked on, until it was made anew', async () => {
  await using stage = openStage();
  const { machines, clock } = stage;
  const why = (): string | undefined => machines.list()[0]?.observed.held;
  stage.show({ ...up, oneBuild: true });
  await machines.check({});
  machines.connect(one); // to look at it
  assert.equal(why(), undefined);
  machines.employ(one);
  assert.equal(why(), 'is made anew for the next build', 'at once: nobody may be faster than the next look');
  await machines.check({});
  assert.deepEqual([why(), stage.isUsed('a'), stage.isUsed('b')], ['is made anew for the next build', true, false]);
  stage.show({ ...up, boot: 'b', oneBuild: true });
  stage.start();
  await clock.advance(0);
  assert.equal(why(), undefined);

  machines.employ(one);
  stage.show({ ...up, boot: 'c', oneBuild: true });
  await clock.advance(100);
  assert.equal(why(), 'is made anew for the next build');
  machines.release(one); // its build has ended: looked at now, not at the next ping
  await clock.advance(0);
  assert.equal(why(), undefined);
});

test('a machine for one build that was given out while it was silent is used when it comes back', async () => {
  await using stage = openStage();
  const { machines } = stage;
  stage.show({ ...silent, oneBuild: true });
  await machines.check({});
  machines.employ(one);
  stage.show({ ...up, oneBuild: true });
  await machines.check({});
  assert.equal(machines.list()[0]?.observed.held, 'is made anew for the next build');
});

test('a machine that says why it takes no work is held until it does not any more; what an operator says comes first', async () => {
  await using stage = openStage();
  const held = async (): Promise<string | undefined> => {
    await stage.machines.check({});
    return stage.machines.list()[0]?.observed.held;
  };
  stage.show(up);
  stage.whyHeld = 'did not pass its self-test';
  assert.equal(await held(), 'did not pass its self-test');
  stage.machines.hold(one, 'was taken out of work');
  assert.equal(await held(), 'was taken out of work');
  stage.machines.hold(one, undefined);
  assert.equal(await held(), 'did not pass its self-test');
  const { changes } = stage;
  stage.whyHeld = undefined;
  assert.equal(await held(), undefined);
  assert.ok(stage.changes > changes, 'whoever schedules is told');
  stage.whyHeld = 'is asked to test itself';
  stage.show(silent);
  assert.equal(await held(), undefined, 'one that does not answer has another reason');
});

test('who dials in late after a start, and has not told how it is, is not lost for that', async () => {
  await using stage = openStage();
  stage.show(silent);
  stage.start();
  await stage.clock.advance(liveness.graceMs - 1_000);
  stage.show({ id: one, state: 'starting', line: { host: 'a', from: '10.0.0.1', since: stage.clock.now() } });
  await stage.clock.advance(liveness.lostMs - 5_000);
  assert.equal(stage.told.filter((text) => text.startsWith('onLost')).length, 0);
  await stage.clock.advance(liveness.lostMs);
  assert.equal(stage.told.filter((text) => text.startsWith('onLost')).length, 1);
});

test('of many that are silent some are lost at a time, and who has come back at the next look is not', async () => {
  await using stage = openStage();
  const many = Array.from({ length: 120 }, (_, index) => ({ ...silent, id: `m-${index}` as MachineId }));
  stage.show(...many);
  stage.start();
  await stage.clock.advance(liveness.graceMs - 200);
  stage.onLost = () => stage.show(...many.map((machine) => ({ ...up, id: machine.id })));
  await stage.clock.advance(2_000);
  assert.equal(stage.told.filter((text) => text.startsWith('onLost')).length, 50);
});

test('of thousands none is lost while others still come back, and who has come back and falls silent is', async () => {
  await using stage = openStage();
  const all = Array.from({ length: 3_000 }, (_, index) => `m-${index}` as MachineId);
  const back = (count: number): void => stage.show(...all.map((id, index) => ({ ...(index < count ? up : silent), id })));
  const lost = (): number => stage.told.filter((text) => text.startsWith('onLost')).length;
  back(0);
  stage.start();
  for (let second = 1; second <= 45; second += 1) {
    await stage.clock.advance(1_000);
    back(second * 40);
  }
  assert.equal(lost(), 0);
  stage.show(...all.slice(1).map((id, index) => ({ ...(index < 1_800 ? up : silent), id })), { ...silent, id: all[0]! });
  await stage.clock.advance(liveness.lostMs - 1_000);
  assert.equal(lost(), 0);
  await stage.clock.advance(3_000);
  assert.ok(stage.told.includes(`onLost ${all[0]} no answer`), 'it was heard');
  assert.ok(lost() > 1, 'nobody has come for 15 s');
});
