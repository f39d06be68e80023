import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { HOUR, MINUTE } from '@croft/runtime/clock';
import { isCode } from '@croft/runtime/errors';
import { parseBuilderName, parseMachineId, type BuilderName } from './names.ts';
import {
  advanceSession,
  freeAlias,
  isUseDue,
  machineOf,
  readSessionName,
  whyOver,
  type ActiveSession,
  type SessionEvent,
  type SessionState,
} from './session.ts';

const limits = { idleMs: 30 * MINUTE, longestMs: 24 * HOUR };
const machine = parseMachineId('m-1');
const linux = parseBuilderName('linux-amd64');
const waiting: SessionState = { kind: 'waiting', since: 0 };

function moved(...events: SessionEvent[]): SessionState {
  return events.reduce(advanceSession, waiting);
}

function active(at = 0): ActiveSession {
  const state = moved({ kind: 'assigned', at, machine, limits }, { kind: 'prepared', at, limits });
  assert.ok(state.kind === 'active');
  return state;
}

test('SES-1: a session that nobody uses is over after the idle limit and not before', () => {
  const state = active();
  assert.equal(whyOver(state, 30 * MINUTE - 1, limits), undefined);
  assert.equal(whyOver(state, 30 * MINUTE, limits), 'nobody used it for 30 min');
});

test('SES-2: each use renews it to the idle limit from then on', () => {
  let state: SessionState = active();
  for (let at = 20 * MINUTE; at < 5 * HOUR; at += 20 * MINUTE) {
    assert.equal(whyOver(state, at, limits), undefined);
    state = advanceSession(state, { kind: 'used', at, limits });
  }
  assert.equal(whyOver(state, 5 * HOUR + 11 * MINUTE, limits), 'nobody used it for 30 min');
});

test('use does not carry it beyond its longest life', () => {
  const state = advanceSession(active(), { kind: 'used', at: 24 * HOUR - MINUTE, limits });
  assert.equal(whyOver(state, 24 * HOUR - 1, limits), undefined);
  assert.equal(whyOver(state, 24 * HOUR, limits), 'it had its longest life, 24 h');
});

test('it is kept longer or shorter as people say, and use never shortens that', () => {
  const longer = advanceSession(active(), { kind: 'extended', at: 0, forMs: 8 * HOUR });
  const used = advanceSession(longer, { kind: 'used', at: MINUTE, limits });
  assert.equal(whyOver(used, 8 * HOUR - 1, limits), undefined);
  assert.equal(whyOver(used, 8 * HOUR, limits), 'its time was over and nobody used it');
  const shorter = advanceSession(used, { kind: 'extended', at: HOUR, forMs: MINUTE });
  assert.ok(whyOver(shorter, HOUR + MINUTE, limits));
});

test('nobody extends it beyond its longest life, and is told how much is left', () => {
  assert.throws(
    () => advanceSession(active(), { kind: 'extended', at: 20 * HOUR, forMs: 5 * HOUR }),
    (error) => isCode(error, 'exhausted') && /its longest life ends in 4 h/.test(String(error)),
  );
});

test('one that is being prepared for longer than its longest life is over, too', () => {
  const state = moved({ kind: 'assigned', at: 0, machine, limits }, { kind: 'progress', text: 'step build runs' });
  assert.equal(whyOver(state, 24 * HOUR - 1, limits), undefined);
  assert.ok(whyOver(state, 24 * HOUR, limits));
});

test('a machine that passes to it is kept for the time that was asked, at most its longest life', () => {
  const state = moved({ kind: 'passed', at: 5, machine, forMs: HOUR, limits });
  assert.ok(state.kind === 'active' && state.expiresAt === 5 + HOUR);
  const long = moved({ kind: 'passed', at: 5, machine, forMs: 99 * HOUR, limits });
  assert.ok(long.kind === 'active' && long.expiresAt === 5 + 24 * HOUR);
});

test('ending one that waits is its end at once; one with a machine is cleaned first, for the first reason given', () => {
  assert.equal(moved({ kind: 'end', at: 1, reason: 'ann: not needed' }).kind, 'ended');
  const ending = advanceSession(active(), { kind: 'end', at: 1, reason: 'ann: done' });
  const again = advanceSession(ending, { kind: 'end', at: 2, reason: 'bob: mine' });
  const ended = advanceSession(again, { kind: 'cleaned', at: 3 });
  assert.deepEqual(ended, { kind: 'ended', at: 3, reason: 'ann: done', had: { machine, startedAt: 0 } });
});

test('a lost machine ends it with the evidence, unless it was ending for another reason', () => {
  const lost: SessionEvent = { kind: 'lost', at: 9, evidence: 'silent for 15 s' };
  const one = advanceSession(active(), lost);
  assert.ok(one.kind === 'ended' && one.reason === 'its machine was lost: silent for 15 s');
  const other = advanceSession(advanceSession(active(), { kind: 'end', at: 1, reason: 'ann: done' }), lost);
  assert.ok(other.kind === 'ended' && other.reason === 'ann: done');
});

test('a use is worth a write after ten seconds, or after a tenth of a short idle limit', () => {
  assert.equal(isUseDue(active(), 9_999, limits), false);
  assert.equal(isUseDue(active(), 10_000, limits), true);
  assert.equal(isUseDue(active(), 300, { ...limits, idleMs: 3_000 }), true);
});

const at = fc.integer({ min: 0, max: 100 * HOUR });
const anyEvent: fc.Arbitrary<SessionEvent> = fc.oneof(
  fc.record({
    kind: fc.constant('assigned' as const),
    at,
    machine: fc.constantFrom(machine, parseMachineId('m-2')),
    limits: fc.constant(limits),
  }),
  fc.record({ kind: fc.constant('prepared' as const), at, limits: fc.constant(limits) }),
  fc.record({ kind: fc.constant('progress' as const), text: fc.constant('step') }),
  fc.record({ kind: fc.constant('passed' as const), at, machine: fc.constant(machine), forMs: at, limits: fc.constant(limits) }),
  fc.record({ kind: fc.constant('used' as const), at, limits: fc.constant(limits) }),
  fc.record({ kind: fc.constant('extended' as const), at, forMs: at }),
  fc.record({ kind: fc.constant('end' as const), at, reason: fc.constant('done') }),
  fc.record({ kind: fc.constant('cleaned' as const), at }),
  fc.record({ kind: fc.constant('lost' as const), at, evidence: fc.constant('gone') }),
);

test('whatever happens: it has one machine at most, never outlives its longest life, and an end is for ever', () => {
  fc.assert(
    fc.property(fc.array(anyEvent, { maxLength: 40 }), (events) => {
      let state: SessionState = waiting;
      for (const event of events) {
        const before: SessionState = state;
        try {
          state = advanceSession(state, event);
        } catch (error) {
          assert.ok(isCode(error, 'conflict') || isCode(error, 'exhausted'));
          continue;
        }
        if (before.kind === 'ended') assert.deepEqual(state, before);
        const had = machineOf(before);
        if (had !== undefined) assert.equal(machineOf(state) ?? had, had);
        if (state.kind === 'active') {
          assert.ok(state.expiresAt <= state.latestAt && state.latestAt === state.startedAt + limits.longestMs);
          assert.ok(whyOver(state, state.latestAt, limits) !== undefined);
        }
        if (before.kind !== 'waiting' && before.kind !== 'ended' && state.kind === 'ended')
          assert.ok(event.kind === 'cleaned' || event.kind === 'lost', 'a machine is given back clean or not at all');
      }
    }),
  );
});

test('V2-4: an alias has the lowest number that is free', () => {
  const taken = new Set(['ann-linux-amd64-0', 'ann-linux-amd64-2']);
  assert.equal(
    freeAlias('Ann', linux, (alias) => taken.has(alias)),
    'ann-linux-amd64-1',
  );
});

test('KEY-2: the first dash of an alias ends the owner, whatever people are called', () => {
  const named = (owner: string): string => freeAlias(owner, linux, () => false);
  assert.equal(named('ann-marie'), 'ann_marie-linux-amd64-0');
  assert.equal(named('Zoë B.'), 'zo__b.-linux-amd64-0');
  assert.equal(named('../x'), 'u.._x-linux-amd64-0');
  assert.equal(named('user'), 'user_-linux-amd64-0');
  assert.equal(named('build'), 'build_-linux-amd64-0');
});

const anyBuilderName = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/) as fc.Arbitrary<BuilderName>;
const anyOwner = fc.string({ minLength: 1, maxLength: 100, unit: 'binary' });

test('an alias is read as itself, also with what Go’s tools put in front, and can be a path and a user name', () => {
  fc.assert(
    fc.property(anyOwner, anyBuilderName, fc.nat(20), (owner, builder, skip) => {
      const alias = freeAlias(owner, builder, (name) => Number(name.slice(name.lastIndexOf('-') + 1)) < skip);
      assert.match(alias, /^[a-z0-9][A-Za-z0-9._-]{0,219}$/);
      for (const front of ['', 'user-', 'mutable-', 'mutable-user-'])
        assert.deepEqual(readSessionName(front + alias), { kind: 'alias', alias });
      assert.ok(alias.slice(alias.indexOf('-') + 1).startsWith(`${builder}-`));
    }),
  );
});

test('a session is called by its id, and the one that holds a build’s machine by the build', () => {
  assert.deepEqual(readSessionName('S0123456789abcdef'), { kind: 'id', id: 'S0123456789abcdef' });
  assert.deepEqual(readSessionName('mutable-S0123456789abcdef'), { kind: 'id', id: 'S0123456789abcdef' });
  assert.deepEqual(readSessionName('build-B0123456789abcdef'), { kind: 'build', build: 'B0123456789abcdef' });
  assert.equal(readSessionName('build-x').kind, 'alias');
});
