import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { CroftError, isCode } from '@croft/runtime/errors';
import { advance, infraPauseMs, maxInfraAttempts, newBuildState, type BuildEvent, type BuildState } from './build.ts';
import { infraCauses, type AttemptEnd } from './outcome.ts';

const passed: AttemptEnd = { kind: 'passed' };
const failed: AttemptEnd = { kind: 'failed', step: 'test', text: 'exit status 1' };
const timedOut: AttemptEnd = { kind: 'timed-out', step: 'test', text: 'after 20 min' };
const skipped: AttemptEnd = { kind: 'skipped', why: 'nothing to run' };
const cancelled: AttemptEnd = { kind: 'cancelled', by: 'ann', why: 'not needed' };
const died: AttemptEnd = { kind: 'infra', cause: 'buildlet-died', evidence: 'exit 137' };
const farmStopped: AttemptEnd = { kind: 'infra', cause: 'farm-stopped', evidence: 'stopped by ann' };

const queued: BuildState = { kind: 'queued', since: 10, notBefore: 10, attempts: 4, infra: 0 };
const running: BuildState = { kind: 'running', since: 20, attempts: 5, infra: 0 };
const cancelling: BuildState = { kind: 'cancelling', since: 20, attempts: 5, by: 'ann', why: 'not needed' };
const over: BuildState = { kind: 'ended', since: 30, attempts: 5, end: failed };

const assigned: BuildEvent = { kind: 'assigned', at: 99 };
const cancel: BuildEvent = { kind: 'cancel', at: 99, by: 'bob', why: 'too old' };
const retry: BuildEvent = { kind: 'retry', at: 99 };
const reported: BuildEvent = { kind: 'reported', at: 99, end: failed };
const attemptEnds = (end: AttemptEnd, attempt = 5): BuildEvent => ({ kind: 'attempt-ended', at: 99, attempt, end });
const endedWith = (end: AttemptEnd): BuildState => ({ kind: 'ended', since: 99, attempts: 5, end });

const refused = Symbol('refused');
const moves: [name: string, from: BuildState, event: BuildEvent, to: BuildState | typeof refused][] = [
  ['queued takes assigned', queued, assigned, { kind: 'running', since: 99, attempts: 5, infra: 0 }],
  ['queued refuses the end of an attempt', queued, attemptEnds(passed, 4), refused],
  ['queued takes cancel', queued, cancel, { kind: 'ended', since: 99, attempts: 4, end: { kind: 'cancelled', by: 'bob', why: 'too old' } }],
  ['queued refuses retry', queued, retry, refused],
  ['queued takes a result from outside', queued, reported, endedWith(failed)],
  ['running refuses a result from outside', running, reported, refused],
  ['cancelling refuses a result from outside', cancelling, reported, refused],
  ['ended takes a later result from outside', over, reported, { kind: 'ended', since: 99, attempts: 6, end: failed }],
  ['running refuses assigned', running, assigned, refused],
  ['running ends passed', running, attemptEnds(passed), endedWith(passed)],
  ['running ends failed', running, attemptEnds(failed), endedWith(failed)],
  ['running ends timed-out', running, attemptEnds(timedOut), endedWith(timedOut)],
  ['running ends skipped', running, attemptEnds(skipped), endedWith(skipped)],
  ['running ends cancelled', running, attemptEnds(cancelled), endedWith(cancelled)],
  [
    'running queues after its first infra end',
    running,
    attemptEnds(died),
    { kind: 'queued', since: 99, notBefore: 99, attempts: 5, infra: 1 },
  ],
  [
    'running rests after its second infra end',
    { ...running, infra: 1 },
    attemptEnds(died),
    { kind: 'queued', since: 99, notBefore: 1_099, attempts: 5, infra: 2 },
  ],
  ['running ends with its third infra end', { ...running, infra: 2 }, attemptEnds(died), endedWith(died)],
  [
    'a stopped farm does not count',
    { ...running, infra: 2 },
    attemptEnds(farmStopped),
    { kind: 'queued', since: 99, notBefore: 1_099, attempts: 5, infra: 2 },
  ],
  ['running refuses the end of an older attempt', running, attemptEnds(passed, 4), refused],
  ['running refuses the end of a coming attempt', running, attemptEnds(passed, 6), refused],
  ['running takes cancel', running, cancel, { kind: 'cancelling', since: 20, attempts: 5, by: 'bob', why: 'too old' }],
  ['running refuses retry', running, retry, refused],
  ['cancelling refuses assigned', cancelling, assigned, refused],
  ['cancelling ends as the attempt does', cancelling, attemptEnds(cancelled), endedWith(cancelled)],
  ['cancelling keeps a verdict that came first', cancelling, attemptEnds(failed), endedWith(failed)],
  ['cancelling does not run again after an infra end', cancelling, attemptEnds(died), endedWith(cancelled)],
  ['cancelling does not run again after a stopped farm', cancelling, attemptEnds(farmStopped), endedWith(cancelled)],
  ['cancelling refuses the end of an older attempt', cancelling, attemptEnds(passed, 4), refused],
  ['cancelling keeps the first cancel', cancelling, cancel, cancelling],
  ['cancelling refuses retry', cancelling, retry, refused],
  ['ended refuses assigned', over, assigned, refused],
  ['ended refuses the end of an attempt', over, attemptEnds(failed), refused],
  ['ended refuses cancel', over, cancel, refused],
  ['ended takes retry', over, retry, { kind: 'queued', since: 99, notBefore: 99, attempts: 5, infra: 0 }],
];

for (const [name, from, event, to] of moves) {
  test(name, () => {
    const before = structuredClone(from);
    if (to === refused)
      assert.throws(
        () => advance(from, event),
        (error) => isCode(error, 'conflict'),
      );
    else assert.deepEqual(advance(from, event), to);
    assert.deepEqual(from, before);
  });
}

test('the table of moves leaves out no state and no event', () => {
  const named = new Set(moves.map(([, from, event]) => `${from.kind} ${event.kind}`));
  const kinds = (values: readonly { kind: string }[]): string[] => [...new Set(values.map((value) => value.kind))];
  const states = kinds(moves.map(([, from]) => from));
  const events = kinds(moves.map(([, , event]) => event));
  assert.equal(states.length, 4);
  assert.equal(events.length, 5);
  for (const state of states) for (const event of events) assert.ok(named.has(`${state} ${event}`), `${state} ${event}`);
});

test('a refusal says what the build is and what it cannot take', () => {
  assert.throws(
    () => advance(over, cancel),
    (error) => error instanceof CroftError && /ended.*attempt 5.*"cancel".*Only what waits or runs/.test(`${error.message} ${error.hint}`),
  );
});

test('a new build waits, may start at once and has no attempt', () => {
  assert.deepEqual(newBuildState(7), { kind: 'queued', since: 7, notBefore: 7, attempts: 0, infra: 0 });
});

test('the rest after infra ends grows from nothing to a minute', () => {
  assert.deepEqual([0, 1, 2, 3, 4, 7, 8, 9, 50].map(infraPauseMs), [0, 0, 1_000, 2_000, 4_000, 32_000, 60_000, 60_000, 60_000]);
});

const anyEnd: fc.Arbitrary<AttemptEnd> = fc.oneof(
  fc.constantFrom(passed, failed, timedOut, skipped, cancelled),
  fc.constantFrom(...infraCauses).map((cause): AttemptEnd => ({ kind: 'infra', cause, evidence: 'gone' })),
);
const anyEvent: fc.Arbitrary<BuildEvent> = fc.oneof(
  fc.constantFrom(assigned, cancel, retry, reported),
  fc.record({ end: anyEnd, attempt: fc.integer({ min: 0, max: 6 }) }).map(({ end, attempt }) => attemptEnds(end, attempt)),
);

test('whatever happens, attempts are numbered upwards and each retry allows three infra ends', () => {
  fc.assert(
    fc.property(fc.array(anyEvent, { maxLength: 60 }), (events) => {
      let state = newBuildState(0);
      let counted = 0;
      for (const event of events) {
        let next: BuildState;
        try {
          next = advance(state, event);
        } catch (error) {
          assert.ok(isCode(error, 'conflict'));
          continue;
        }
        assert.equal(next.attempts, event.kind === 'assigned' || event.kind === 'reported' ? state.attempts + 1 : state.attempts);
        if (event.kind === 'retry') counted = 0;
        if (state.kind === 'running' && event.kind === 'attempt-ended' && event.end.kind === 'infra' && event.end.cause !== 'farm-stopped')
          counted += 1;
        assert.ok(counted <= maxInfraAttempts);
        if (next.kind === 'queued') assert.ok(next.infra === counted && next.infra < maxInfraAttempts && next.notBefore >= next.since);
        if (next.kind === 'ended' && next.end.kind === 'infra') assert.equal(counted, maxInfraAttempts);
        state = next;
      }
    }),
  );
});
