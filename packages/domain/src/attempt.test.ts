import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CroftError, isCode } from '@croft/runtime/errors';
import { advanceStep, endAttempt, type AttemptState, type StepEvent, type StepState } from './attempt.ts';
import type { AttemptEnd, Exit } from './outcome.ts';

const exit: Exit = { kind: 'exited', code: 0 };
const pending: StepState = { kind: 'pending' };
const running: StepState = { kind: 'running', startedAt: 10, logFrom: 100 };
const over: StepState = { kind: 'ended', startedAt: 10, endedAt: 20, logFrom: 100, logTo: 180, exit };
const started: StepEvent = { kind: 'started', at: 99, logFrom: 300 };
const ended: StepEvent = { kind: 'ended', at: 99, logTo: 300, exit };

const refused = Symbol('refused');
const moves: [name: string, from: StepState, event: StepEvent, to: StepState | typeof refused][] = [
  ['pending takes started', pending, started, { kind: 'running', startedAt: 99, logFrom: 300 }],
  ['pending refuses ended', pending, ended, refused],
  ['running refuses started', running, started, refused],
  ['running takes ended', running, ended, { kind: 'ended', startedAt: 10, endedAt: 99, logFrom: 100, logTo: 300, exit }],
  [
    'running may end without output',
    running,
    { ...ended, logTo: 100 },
    { kind: 'ended', startedAt: 10, endedAt: 99, logFrom: 100, logTo: 100, exit },
  ],
  ['running refuses an end before its beginning in the log', running, { ...ended, logTo: 99 }, refused],
  ['ended refuses started', over, started, refused],
  ['ended refuses ended', over, ended, refused],
];

for (const [name, from, event, to] of moves) {
  test(`a step that is ${name}`, () => {
    if (to === refused)
      assert.throws(
        () => advanceStep(from, event),
        (error) => isCode(error, 'conflict'),
      );
    else assert.deepEqual(advanceStep(from, event), to);
  });
}

test('a log that would shrink is named as the reason', () => {
  assert.throws(
    () => advanceStep(running, { ...ended, logTo: 99 }),
    (error) => error instanceof CroftError && /byte 100.*byte 99/.test(error.message),
  );
});

const passed: AttemptEnd = { kind: 'passed' };
const failed: AttemptEnd = { kind: 'failed', step: 'test', text: 'exit status 1' };

test('a running attempt ends', () => {
  assert.deepEqual(endAttempt({ kind: 'running', startedAt: 10 }, failed, 99), { kind: 'ended', startedAt: 10, endedAt: 99, end: failed });
});

test('ending again the same way is no change, whatever the order of the fields', () => {
  const state: AttemptState = { kind: 'ended', startedAt: 10, endedAt: 20, end: failed };
  assert.equal(endAttempt(state, { text: 'exit status 1', step: 'test', kind: 'failed' }, 99), state);
});

test('ending again another way is refused', () => {
  const state: AttemptState = { kind: 'ended', startedAt: 10, endedAt: 20, end: failed };
  for (const end of [passed, { ...failed, text: 'exit status 2' }]) {
    assert.throws(
      () => endAttempt(state, end, 99),
      (error) => error instanceof CroftError && error.code === 'conflict' && error.message.includes('failed'),
    );
  }
});
