import assert from 'node:assert/strict';
import { test } from 'node:test';
import { endOfStep, endText, legacyResult, type AttemptEnd, type Exit } from './outcome.ts';

const exits: [exit: Exit, end: AttemptEnd | undefined][] = [
  [{ kind: 'exited', code: 0 }, undefined],
  [
    { kind: 'exited', code: 1 },
    { kind: 'failed', step: 'test', text: 'exit status 1' },
  ],
  [
    { kind: 'exited', code: 255 },
    { kind: 'failed', step: 'test', text: 'exit status 255' },
  ],
  [
    { kind: 'signalled', signal: 'SIGSEGV' },
    { kind: 'failed', step: 'test', text: 'signal: SIGSEGV' },
  ],
  [
    { kind: 'not-started', reason: 'no program "gox"' },
    { kind: 'failed', step: 'test', text: 'no program "gox"' },
  ],
  [
    { kind: 'over-limit', limit: 'time', reason: 'after 20 min' },
    { kind: 'timed-out', step: 'test', text: 'after 20 min' },
  ],
  [
    { kind: 'over-limit', limit: 'output', reason: 'wrote 4 GiB' },
    { kind: 'failed', step: 'test', text: 'wrote 4 GiB' },
  ],
  [
    { kind: 'killed', reason: 'ann: not needed' },
    { kind: 'cancelled', by: 'coordinator', why: 'ann: not needed' },
  ],
  [
    { kind: 'lost', reason: 'pid 7 was gone' },
    { kind: 'infra', cause: 'buildlet-died', evidence: 'pid 7 was gone' },
  ],
];

for (const [exit, end] of exits) {
  test(`a step that ends ${JSON.stringify(exit)} means ${end?.kind ?? 'go on'}`, () => assert.deepEqual(endOfStep('test', exit), end));
}

test('only what the command itself did is a red cell', () => {
  const red = exits.filter(([, end]) => legacyResult(end, 'https://farm/log/1').startsWith('https:')).map(([exit]) => exit.kind);
  assert.deepEqual(new Set(red), new Set(['exited', 'signalled', 'not-started', 'over-limit']));
});

test('a command that the machine killed for lack of memory is no red cell, and one that says so by its exit status is', () => {
  const seen = { usage: { cpuMs: 1, peakBytes: 1, oomKills: 1 }, evidence: ['the kernel killed process 7 (cc1)'] };
  assert.deepEqual(endOfStep('test', { kind: 'signalled', signal: 'SIGKILL' }, seen), {
    kind: 'infra',
    cause: 'machine-unfit',
    evidence: 'test was killed: the kernel killed process 7 (cc1)',
  });
  for (const exit of [
    { kind: 'exited', code: 2 },
    { kind: 'signalled', signal: 'SIGSEGV' },
  ] as const) {
    assert.equal(endOfStep('test', exit, seen)?.kind, 'failed');
  }
  assert.equal(endOfStep('test', { kind: 'signalled', signal: 'SIGKILL' })?.kind, 'failed');
});

const ends: [end: AttemptEnd, legacy: string, text: string][] = [
  [{ kind: 'passed' }, 'ok', 'passed'],
  [{ kind: 'failed', step: 'test', text: 'exit status 3' }, 'URL', 'failed in test: exit status 3'],
  [{ kind: 'timed-out', step: 'test', text: 'after 20 min' }, 'URL', 'timed-out in test: after 20 min'],
  [{ kind: 'cancelled', by: 'ann', why: 'not needed' }, '', 'cancelled by ann: not needed'],
  [{ kind: 'infra', cause: 'machine-lost', evidence: 'silent for 15 s' }, '', 'infrastructure (machine-lost): silent for 15 s'],
  [{ kind: 'skipped', why: 'nothing to run' }, '', 'skipped: nothing to run'],
];

for (const [end, legacy, text] of ends) {
  test(`${end.kind} is ${JSON.stringify(legacy)} to the originals and "${text}" to people`, () => {
    assert.equal(legacyResult(end, 'URL'), legacy);
    assert.equal(endText(end), text);
  });
}

test('what has no end yet needs a build', () => assert.equal(legacyResult(undefined, 'URL'), ''));
