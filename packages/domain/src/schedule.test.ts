import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { DAY, HOUR, MINUTE } from '@croft/runtime/clock';
import { bands, type Band } from './job.ts';
import type { BuildId, BuilderName, MachineId, SessionId } from './names.ts';
import {
  compareWaiting,
  fits,
  needsKey,
  planAssignments,
  type MachineView,
  type Plan,
  type WaitingBuild,
  type WaitingSession,
  type WaitReason,
} from './schedule.ts';

const now = 1_000_000_000;

function build(id: string, seq: number, rest: Partial<WaitingBuild> & { labels?: readonly string[] } = {}): WaitingBuild {
  const { labels = [], ...fields } = rest;
  return { id: id as BuildId, builder: 'unit' as BuilderName, band: 'post-submit', seq, needs: { labels }, notBefore: 0, ...fields };
}

function machine(id: string, state: MachineView['state'] = 'ready', rest: Partial<MachineView> = {}): MachineView {
  return { id: id as MachineId, labels: [], state, seenAt: now, ...rest };
}

function session(id: string, seq: number, labels: readonly string[] = []): WaitingSession {
  return { id: id as SessionId, seq, needs: { labels } };
}

const pairs = (plan: Plan): string[] => plan.assign.map((one) => `${one.build} on ${one.machine}`);

function reasonOf(plan: Plan, id: string): WaitReason {
  const reason = plan.reasons.get(id as BuildId);
  assert.ok(reason, `${id} has no reason`);
  return reason;
}

/** The order in which builds start when a single machine becomes free again and again. */
function orderOfStart(builds: readonly WaitingBuild[]): string[] {
  const order: string[] = [];
  let waiting = builds;
  while (waiting.length > 0) {
    const [first] = planAssignments({ waiting, machines: [machine('m')], now }).assign;
    assert.ok(first);
    order.push(first.build);
    waiting = waiting.filter((one) => one.id !== first.build);
  }
  return order;
}

test('SCHED-2, check 4: interactive first, then changes, then commits, each first come first served; positions match', () => {
  const waiting = [
    build('regular-1', 1),
    build('regular-3', 3),
    build('try-a', 4, { band: 'presubmit' }),
    build('try-b', 5, { band: 'presubmit' }),
    build('gomote', 6, { band: 'interactive' }),
  ];
  const order = ['gomote', 'try-a', 'try-b', 'regular-1', 'regular-3'];
  assert.deepEqual(orderOfStart(waiting), order);
  const plan = planAssignments({ waiting, machines: [machine('m', 'busy')], now });
  assert.deepEqual(
    order.map((id) => reasonOf(plan, id).position),
    [0, 1, 2, 3, 4],
  );
});

test('bands go in their order whatever the order of arrival', () => {
  const waiting = bands.map((band, index) => build(band, 100 - index, { band }));
  assert.deepEqual(orderOfStart(waiting), [...bands]);
  assert.deepEqual([...bands], ['interactive', 'release', 'presubmit', 'post-submit', 'back-fill', 'benchmark']);
});

test('within a band it is first come, first served', () => {
  assert.deepEqual(orderOfStart([build('c', 30), build('a', 10), build('b', 20)]), ['a', 'b', 'c']);
});

test('a build gets a machine that has all the labels it needs', () => {
  assert.equal(fits({ labels: [] }, machine('m')), true);
  assert.equal(fits({ labels: ['linux', 'arm64'] }, machine('m', 'ready', { labels: ['arm64', 'big', 'linux'] })), true);
  assert.equal(fits({ labels: ['linux', 'arm64'] }, machine('m', 'ready', { labels: ['linux'] })), false);
  const machines = [machine('x', 'ready', { labels: ['x64'] }), machine('a', 'ready', { labels: ['arm64'] })];
  const waiting = [build('one', 1, { labels: ['arm64'] }), build('two', 2, { labels: ['arm64'] }), build('three', 3, { labels: ['x64'] })];
  const plan = planAssignments({ waiting, machines, now });
  assert.deepEqual(pairs(plan), ['one on a', 'three on x']);
  assert.equal(reasonOf(plan, 'two').code, 'machines-busy');
});

test('a build that needs little leaves the able machine to one that needs more', () => {
  const machines = [machine('able', 'ready', { labels: ['linux', 'gpu'] }), machine('plain', 'ready', { labels: ['linux'] })];
  const plan = planAssignments({ waiting: [build('any', 1, { labels: ['linux'] }), build('gpu', 2, { labels: ['gpu'] })], machines, now });
  assert.deepEqual(pairs(plan), ['any on plain', 'gpu on able']);
});

test('a build that needs CPUs or memory gets a machine that has them, and is told when there is none', () => {
  const big = build('b', 1, { needs: { labels: ['linux'], cpus: 8, memoryBytes: 16 * 2 ** 30 } });
  const small = machine('small', 'ready', { labels: ['linux'], cpus: 4, memoryBytes: 2 ** 36 });
  const large = machine('large', 'ready', { labels: ['linux'], cpus: 8, memoryBytes: 2 ** 34 });
  assert.deepEqual(planAssignments({ waiting: [big], machines: [small, large], now }).assign, [{ build: 'b', machine: 'large' }]);
  const { text, code } = planAssignments({ waiting: [big], machines: [small], now }).reasons.get('b' as BuildId) ?? assert.fail();
  assert.equal(code, 'no-machine');
  assert.match(text, /linux machines of 8 CPUs and 16\.0 GiB or more/);
  assert.ok(fits({ labels: [], cpus: 8 }, machine('silent about it', 'ready')), 'who does not say is taken to have enough');
});

test('SCHED-2: a session is before every build, whatever its band and however long it waits; positions count both', () => {
  const waiting = [build('urgent', 1, { band: 'interactive' }), build('regular', 2)];
  const sessions = [session('later', 9), session('first', 8)];
  const plan = planAssignments({ waiting, sessions, machines: [machine('m')], now });
  assert.deepEqual(plan.lend, [{ session: 'first', machine: 'm' }]);
  assert.deepEqual(plan.assign, []);
  assert.deepEqual(
    ['later', 'urgent', 'regular'].map((id) => reasonOf(plan, id).position),
    [0, 1, 2],
  );
});

test('a session that needs another kind of machine stands in no build’s way', () => {
  const plan = planAssignments({ waiting: [build('b', 1)], sessions: [session('s', 2, ['arm64'])], machines: [machine('m')], now });
  assert.deepEqual([pairs(plan), plan.lend], [['b on m'], []]);
  assert.equal(reasonOf(plan, 's').text, 'no arm64 machines are known, only others (1)');
});

test('the machine that a session holds is expected back when it expires, but when a waiting one is done nobody knows', () => {
  const machines = [machine('a', 'busy', { freeAt: now + 10 })];
  const plan = planAssignments({ waiting: [build('b', 1)], sessions: [session('s', 2)], machines, now });
  assert.equal(reasonOf(plan, 's').expectedAt, now + 10);
  assert.equal(reasonOf(plan, 'b').expectedAt, undefined);
});

test('no build gets a machine for sessions, sessions get it first, and neither count nor hope speaks of it to builds', () => {
  const kept = machine('a', 'ready', { forSessions: true });
  const waiting = [build('b', 1), build('c', 2)];
  const quiet = planAssignments({ waiting, machines: [kept, machine('m')], now });
  assert.deepEqual(pairs(quiet), ['b on m']);
  assert.equal(reasonOf(quiet, 'c').text, 'next; 1 of 1 machines busy');

  const lent = planAssignments({ waiting, sessions: [session('s', 3), session('t', 4)], machines: [machine('m'), kept], now });
  assert.deepEqual(
    lent.lend.map((one) => `${one.session} on ${one.machine}`),
    ['s on a', 't on m'],
  );
  assert.deepEqual(lent.assign, []);

  const machines = [machine('a', 'busy', { forSessions: true, freeAt: now + 5 }), machine('m', 'busy', { freeAt: now + 10 })];
  const full = planAssignments({ waiting, sessions: [], machines, now });
  assert.equal(reasonOf(full, 'b').expectedAt, now + 10);
  assert.equal(reasonOf(planAssignments({ waiting, machines: [kept], now }), 'b').text, '1 machines are there for sessions alone');
});

test('needs are the same whatever their order, and labels cannot be mistaken for lists of them', () => {
  assert.equal(needsKey({ labels: ['b', 'a', 'b'] }), needsKey({ labels: ['a', 'b'] }));
  assert.notEqual(needsKey({ labels: ['a,b'] }), needsKey({ labels: ['a', 'b'] }));
});

test('a resting build lets others pass and says until when', () => {
  const waiting = [build('resting', 1, { notBefore: now + 4_000 }), build('next', 2)];
  const plan = planAssignments({ waiting, machines: [machine('m')], now });
  assert.deepEqual(pairs(plan), ['next on m']);
  assert.deepEqual(reasonOf(plan, 'resting'), {
    code: 'resting',
    text: 'rests 4 s after an infrastructure failure',
    position: 0,
    expectedAt: now + 4_000,
  });
  assert.deepEqual(pairs(planAssignments({ waiting, machines: [machine('m')], now: now + 4_000 })), ['resting on m']);
});

test('a hold starts nothing and is everybody’s reason', () => {
  const waiting = [build('a', 1), build('b', 2, { notBefore: now + 1 }), build('c', 3, { labels: ['arm64'] })];
  const plan = planAssignments({ waiting, machines: [machine('m')], now, hold: 'free disk is below 2 GB' });
  assert.deepEqual(plan.assign, []);
  for (const id of ['a', 'b', 'c'])
    assert.deepEqual([reasonOf(plan, id).code, reasonOf(plan, id).text], ['hold', 'free disk is below 2 GB']);
  assert.deepEqual(
    ['a', 'b', 'c'].map((id) => reasonOf(plan, id).position),
    [0, 1, 0],
  );
});

const arm = { labels: ['arm64'] };
const twoHoursAgo = { ...arm, seenAt: now - 2 * HOUR };
const texts: [name: string, machines: MachineView[], reason: Omit<WaitReason, 'position'>][] = [
  ['no machine at all', [], { code: 'no-machine', text: 'no machines are known' }],
  ['other machines only', [machine('x'), machine('y')], { code: 'no-machine', text: 'no arm64 machines are known, only others (2)' }],
  [
    'machines that are away',
    [
      machine('a', 'away', { ...arm, seenAt: now - 9 * HOUR }),
      machine('b', 'away', twoHoursAgo),
      machine('c', 'away', { ...arm, seenAt: 0 }),
    ],
    { code: 'machines-away', text: '0 of 3 arm64 machines connected, last seen 2 h ago' },
  ],
  [
    'a machine away for seconds',
    [machine('a', 'away', { ...arm, seenAt: now - 119_000 })],
    { code: 'machines-away', text: '0 of 1 arm64 machines connected, last seen 119 s ago' },
  ],
  [
    'a machine away for minutes',
    [machine('a', 'away', { ...arm, seenAt: now - 119 * MINUTE })],
    { code: 'machines-away', text: '0 of 1 arm64 machines connected, last seen 119 min ago' },
  ],
  [
    'a machine away for days',
    [machine('a', 'away', { ...arm, seenAt: now - 3 * DAY })],
    { code: 'machines-away', text: '0 of 1 arm64 machines connected, last seen 3 d ago' },
  ],
  [
    'a machine seen by a clock ahead of ours',
    [machine('a', 'away', { ...arm, seenAt: now + 50 })],
    { code: 'machines-away', text: '0 of 1 arm64 machines connected, last seen 0 s ago' },
  ],
  [
    'a machine that takes no work and says why',
    [machine('a', 'away', { ...arm, why: 'a has little free disk space' }), machine('b', 'away', arm)],
    { code: 'machines-away', text: '0 of 2 arm64 machines take work: a has little free disk space' },
  ],
  [
    'busy machines',
    [machine('a', 'busy', arm), machine('b', 'away', arm)],
    { code: 'machines-busy', text: 'next; 1 of 2 arm64 machines busy' },
  ],
  [
    'a busy machine that tells when it is free',
    [machine('a', 'busy', { ...arm, freeAt: now + 60_000 }), machine('b', 'busy', { ...arm, freeAt: now + 30_000 })],
    { code: 'machines-busy', text: 'next; 2 of 2 arm64 machines busy', expectedAt: now + 30_000 },
  ],
  [
    'a busy machine that is overdue',
    [machine('a', 'busy', { ...arm, freeAt: now - 1 })],
    { code: 'machines-busy', text: 'next; 1 of 1 arm64 machines busy', expectedAt: now },
  ],
];

for (const [name, machines, reason] of texts) {
  test(`the reason for waiting, with ${name}`, () => {
    const plan = planAssignments({ waiting: [build('b', 1, { labels: ['arm64'] })], machines, now });
    assert.deepEqual(reasonOf(plan, 'b'), { ...reason, position: 0 });
  });
}

test('a build behind others says how many, and when the machine after theirs is free', () => {
  const machines = [machine('a', 'busy', { freeAt: now + 10 }), machine('b', 'busy', { freeAt: now + 20 })];
  const plan = planAssignments({ waiting: [build('x', 1), build('y', 2), build('z', 3)], machines, now });
  assert.deepEqual(reasonOf(plan, 'y'), { code: 'behind', text: '1 ahead; 2 of 2 machines busy', position: 1, expectedAt: now + 20 });
  assert.deepEqual(reasonOf(plan, 'z'), { code: 'behind', text: '2 ahead; 2 of 2 machines busy', position: 2 });
});

test('where it is known how long builds last, everybody in the line is told when to start', () => {
  const machines = [machine('a', 'busy', { freeAt: now + 10 }), machine('b', 'ready')];
  const waiting = [100, 50, 200, 5].map((lastsMs, seq) => build(`B${seq}`, seq, { lastsMs }));
  const plan = planAssignments({ waiting, machines, now });
  assert.deepEqual(pairs(plan), ['B0 on b']);
  assert.deepEqual(
    ['B1', 'B2', 'B3'].map((id) => (reasonOf(plan, id).expectedAt ?? 0) - now),
    [10, 60, 100],
  );
});

test('only builds that need the same machines are ahead', () => {
  const waiting = [
    build('x', 1, { labels: ['x64'] }),
    build('a', 2, { labels: ['arm64', 'big'] }),
    build('b', 3, { labels: ['big', 'arm64'] }),
  ];
  const plan = planAssignments({ waiting, machines: [], now });
  assert.deepEqual(
    ['x', 'a', 'b'].map((id) => reasonOf(plan, id).position),
    [0, 0, 1],
  );
});

const label = fc.constantFrom('linux', 'arm64', 'x64', 'gpu');
const labels = fc.uniqueArray(label, { maxLength: 3 });
const anyWaiting = fc
  .array(fc.record({ band: fc.constantFrom<Band>(...bands), labels, rests: fc.boolean() }), { maxLength: 25 })
  .map((all) =>
    all.map(({ band, labels: wanted, rests }, seq) => build(`B${seq}`, seq, { band, labels: wanted, notBefore: rests ? now + 1 : now })),
  );
const anyMachines = fc
  .array(
    fc.record({
      labels,
      state: fc.constantFrom<MachineView['state']>('ready', 'ready', 'busy', 'away'),
      forSessions: fc.constantFrom(true, undefined, undefined),
    }),
    { maxLength: 12 },
  )
  .map((all) => all.map((one, index) => machine(`m${index}`, one.state, { labels: one.labels, forSessions: one.forSessions })));

const anySessions = fc.array(labels, { maxLength: 5 }).map((all) => all.map((wanted, seq) => session(`S${seq}`, 100 + seq, wanted)));

test('a plan never uses a machine or a build twice, only suits, and forgets nobody', () => {
  fc.assert(
    fc.property(anyWaiting, anyMachines, anySessions, (waiting, machines, sessions) => {
      const { assign, lend, reasons } = planAssignments({ waiting, sessions, machines, now });
      assert.equal(new Set([...assign, ...lend].map((one) => one.machine)).size, assign.length + lend.length);
      for (const one of lend) {
        const what = sessions.find(({ id }) => id === one.session);
        const where = machines.find(({ id }) => id === one.machine);
        assert.ok(what && where && where.state === 'ready' && fits(what.needs, where));
      }
      assert.equal(new Set(assign.map((one) => one.build)).size, assign.length);
      for (const one of assign) {
        const what = waiting.find(({ id }) => id === one.build);
        const where = machines.find(({ id }) => id === one.machine);
        assert.ok(what && where && where.state === 'ready' && what.notBefore <= now && fits(what.needs, where));
        assert.notEqual(where?.forSessions, true);
      }
      const seen = [...assign.map((one) => one.build), ...lend.map((one) => one.session), ...reasons.keys()];
      assert.deepEqual(seen.toSorted(), [...waiting, ...sessions].map(({ id }) => id).toSorted());
    }),
  );
});

test('a plan leaves no machine idle that a waiting build could use, and nobody is overtaken for the machines they need', () => {
  fc.assert(
    fc.property(anyWaiting, anyMachines, (waiting, machines) => {
      const { assign, reasons } = planAssignments({ waiting, machines, now });
      const used = new Set(assign.map((one) => one.machine));
      const able = waiting.filter((one) => reasons.has(one.id) && one.notBefore <= now);
      for (const one of able) {
        for (const idle of machines) assert.ok(idle.state !== 'ready' || idle.forSessions || used.has(idle.id) || !fits(one.needs, idle));
        for (const { build: id } of assign) {
          const other = waiting.find((candidate) => candidate.id === id);
          assert.ok(other && (needsKey(other.needs) !== needsKey(one.needs) || compareWaiting(other, one) < 0));
        }
      }
    }),
  );
});

test('the order of the input changes nothing', () => {
  fc.assert(
    fc.property(anyWaiting, anyMachines, fc.infiniteStream(fc.nat()), (waiting, machines, chance) => {
      const shuffled = <T>(list: readonly T[]): T[] =>
        list
          .map((item) => ({ item, key: chance.next().value ?? 0 }))
          .toSorted((a, b) => a.key - b.key)
          .map(({ item }) => item);
      const plan = planAssignments({ waiting, machines, now });
      const again = planAssignments({ waiting: shuffled(waiting), machines: shuffled(machines), now });
      assert.deepEqual(again.assign, plan.assign);
      assert.deepEqual(again.reasons, plan.reasons);
    }),
  );
});

test('the world is left as it was', () => {
  const waiting = Object.freeze([Object.freeze(build('b', 2)), Object.freeze(build('a', 1))]);
  planAssignments({ waiting, machines: Object.freeze([machine('m')]), now });
  assert.deepEqual(
    waiting.map(({ id }) => id),
    ['b', 'a'],
  );
});

test('5,000 builds and 500 machines are planned well within 200 ms', () => {
  const kinds = Array.from({ length: 60 }, (_, index) => [`host-${index % 20}`, ...(index % 3 === 0 ? ['big'] : [])]);
  const waiting = Array.from({ length: 5_000 }, (_, seq) =>
    build(`B${seq}`, 5_000 - seq, { band: bands[seq % 6] ?? 'release', labels: kinds[seq % 60] ?? [] }),
  );
  const machines = Array.from({ length: 500 }, (_, index) =>
    machine(`m${index}`, index % 5 === 0 ? 'ready' : 'busy', { labels: [`host-${index % 20}`, 'big', 'linux'], freeAt: now + index }),
  );
  const took = Array.from({ length: 5 }, () => {
    const start = process.hrtime.bigint();
    const plan = planAssignments({ waiting, machines, now });
    assert.equal(plan.assign.length + plan.reasons.size, 5_000);
    return Number(process.hrtime.bigint() - start) / 1e6;
  });
  assert.ok(Math.min(...took) < 200, `${took.map((ms) => ms.toFixed(1)).join(', ')} ms`);
});
