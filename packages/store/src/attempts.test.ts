import assert from 'node:assert/strict';
import { test } from 'node:test';
import { advanceStep, type StepState } from '@croft/domain/attempt';
import type { Job } from '@croft/domain/job';
import { parseBuilderName, parseBuildId, parseLeaseId, parseMachineId, parseRepoName, runId, type Revision } from '@croft/domain/names';
import type { AttemptEnd } from '@croft/domain/outcome';
import { isCode } from '@croft/runtime/errors';
import {
  attemptsOf,
  endAttemptRow,
  getAttempt,
  insertAttempt,
  lastAttempts,
  medianDurationMs,
  planAttempt,
  type AttemptRef,
  type NewAttempt,
} from './attempts.ts';
import type { Sql } from './database.ts';
import {
  attemptByLogSha1,
  buildersWithLogs,
  completeLog,
  expiredLogs,
  expireLog,
  saveSegment,
  segmentsOf,
  setLogLength,
  type LogSegment,
} from './logs.ts';
import { insertSteps, saveStepState, stepsOf, type NewStep } from './steps.ts';
import { eachDatabase } from './testing.ts';

const build = parseBuildId('B0000000000000001');
const builder = parseBuilderName('unit');
const ref: AttemptRef = { build, number: 1 };
const attempt: NewAttempt = {
  ...ref,
  builder,
  startedAt: 1_000,
  machine: parseMachineId('local-1'),
  lease: parseLeaseId('L0000000000000001'),
  epoch: 7,
};
const job: Job = {
  owner: { kind: 'builder', name: builder },
  revisions: [{ repo: parseRepoName('croft'), revision: '1'.repeat(40) as Revision }],
  trigger: { kind: 'branch', ref: 'main' },
  configHash: 'c',
  steps: [],
  env: {},
  needs: { labels: [] },
  isolation: 'none',
  trust: 'trusted',
};
const sha1 = 'a'.repeat(40);
const passed: AttemptEnd = { kind: 'passed' };

interface Ended {
  readonly at: number;
  readonly ms?: number;
  readonly end?: AttemptEnd;
}

/** An ended attempt with a complete log of 100 bytes. */
async function ended(sql: Sql, number: number, { at, ms = 10, end = passed }: Ended): Promise<void> {
  const one = { ...attempt, number, startedAt: at - ms };
  await insertAttempt(sql, one);
  await setLogLength(sql, one, { bytes: 100, lines: 1 });
  await completeLog(sql, one, { bytes: 100, lines: 1, sha1: String(number).padStart(40, '0') });
  await endAttemptRow(sql, one, { end, at });
}

eachDatabase('attempts', (open) => {
  test('an attempt is stored before its plan, keeps its first plan, and ends once', async () => {
    await using database = await open();
    await database.write((sql) => insertAttempt(sql, attempt));
    const { startedAt, ...rest } = attempt;
    const begun = {
      ...rest,
      state: { kind: 'running', startedAt },
      job: undefined,
      planReason: undefined,
      log: { state: 'live', bytes: 0, lines: 0, sha1: undefined },
    };
    assert.deepEqual(await database.read((sql) => getAttempt(sql, ref)), begun);
    const plan = { job, reason: 'package.json has a test script' };
    await database.write((sql) => planAttempt(sql, ref, plan));
    await database.write((sql) => planAttempt(sql, ref, plan));
    const otherPlan = database.write((sql) => planAttempt(sql, ref, { ...plan, job: { ...job, configHash: 'd' } }));
    await assert.rejects(otherPlan, (error) => isCode(error, 'conflict'));
    const end = { kind: 'failed', step: 'test', text: 'exit status 1' } as const;
    await database.write((sql) => endAttemptRow(sql, ref, { end, at: 2_000 }));
    await database.write((sql) => endAttemptRow(sql, ref, { end, at: 3_000 }));
    await assert.rejects(
      database.write((sql) => endAttemptRow(sql, ref, { end: passed, at: 3_000 })),
      (error) => isCode(error, 'conflict'),
    );
    const after = { ...begun, job, planReason: plan.reason, state: { kind: 'ended', startedAt, endedAt: 2_000, end } };
    assert.deepEqual(await database.read((sql) => attemptsOf(sql, build)), [after]);
  });

  test('the same number is given once', async () => {
    await using database = await open();
    await database.write((sql) => insertAttempt(sql, attempt));
    await assert.rejects(
      database.write((sql) => insertAttempt(sql, attempt)),
      (error) => isCode(error, 'conflict'),
    );
    await assert.rejects(
      database.write((sql) => endAttemptRow(sql, { build, number: 2 }, { end: passed, at: 1 })),
      (error) => isCode(error, 'not-found'),
    );
  });

  test('the last attempt of each build is found', async () => {
    await using database = await open();
    const other = parseBuildId('B0000000000000002');
    await database.write(async (sql) => {
      for (const number of [1, 2, 10]) await insertAttempt(sql, { ...attempt, number });
      await insertAttempt(sql, { ...attempt, build: other });
    });
    const last = await database.read((sql) => lastAttempts(sql, [build, other, parseBuildId('B0000000000000003')]));
    assert.deepEqual([...last].map(([id, { number }]) => `${id}.${number}`).toSorted(), [`${build}.10`, `${other}.1`]);
  });

  test('the median is of the last 20 that passed or failed', async () => {
    await using database = await open();
    assert.equal(await database.read((sql) => medianDurationMs(sql, builder)), undefined);
    await database.write(async (sql) => {
      for (let number = 1; number <= 5; number += 1) await ended(sql, number, { at: 10_000 + number, ms: 9_000 });
      for (let number = 6; number <= 25; number += 1) await ended(sql, number, { at: 20_000 + number, ms: number });
      await ended(sql, 26, { at: 30_000, ms: 1, end: { kind: 'infra', cause: 'machine-lost', evidence: '' } });
    });
    assert.equal(await database.read((sql) => medianDurationMs(sql, builder)), 16);
    assert.equal(await database.read((sql) => medianDurationMs(sql, parseBuilderName('lint'))), undefined);
  });
});

eachDatabase('steps', (open) => {
  test('steps are inserted once and every state of theirs comes back', async () => {
    await using database = await open();
    const steps: NewStep[] = ['build', 'test'].map((name) => ({ name, role: 'step', run: runId(build, 1, name) }));
    await database.write((sql) => insertSteps(sql, ref, steps));
    let state: StepState = advanceStep({ kind: 'pending' }, { kind: 'started', at: 5, logFrom: 0 });
    await database.write((sql) => saveStepState(sql, { ...ref, index: 0 }, state));
    await database.write((sql) => insertSteps(sql, ref, steps));
    const read = async (): Promise<unknown> => await database.read((sql) => stepsOf(sql, ref));
    assert.deepEqual(await read(), [
      { ...steps[0], index: 0, state },
      { ...steps[1], index: 1, state: { kind: 'pending' } },
    ]);
    const seen = { usage: { cpuMs: 7, peakBytes: 2 ** 33, oomKills: 1 }, evidence: ['the disk was full'] };
    state = advanceStep(state, { kind: 'ended', at: 9, logTo: 2 ** 33, exit: { kind: 'signalled', signal: 'SIGSEGV' }, seen });
    await database.write((sql) => saveStepState(sql, { ...ref, index: 0 }, state));
    assert.deepEqual(await read(), [
      { ...steps[0], index: 0, state },
      { ...steps[1], index: 1, state: { kind: 'pending' } },
    ]);
    await assert.rejects(
      database.write((sql) => saveStepState(sql, { ...ref, index: 2 }, state)),
      (error) => isCode(error, 'not-found'),
    );
  });
});

eachDatabase('logs', (open) => {
  test('a log only grows until it is complete, and is complete at exactly its length', async () => {
    await using database = await open();
    const conflict = (error: unknown): boolean => isCode(error, 'conflict');
    await database.write((sql) => insertAttempt(sql, attempt));
    await database.write((sql) => setLogLength(sql, ref, { bytes: 500, lines: 5 }));
    await assert.rejects(
      database.write((sql) => setLogLength(sql, ref, { bytes: 499, lines: 5 })),
      conflict,
    );
    await assert.rejects(
      database.write((sql) => completeLog(sql, ref, { bytes: 501, lines: 5, sha1 })),
      conflict,
    );
    assert.equal(await database.read((sql) => attemptByLogSha1(sql, sha1)), undefined);
    await database.write((sql) => completeLog(sql, ref, { bytes: 500, lines: 6, sha1 }));
    await database.write((sql) => completeLog(sql, ref, { bytes: 500, lines: 6, sha1 }));
    await assert.rejects(
      database.write((sql) => completeLog(sql, ref, { bytes: 500, lines: 6, sha1: 'b'.repeat(40) })),
      conflict,
    );
    await assert.rejects(
      database.write((sql) => setLogLength(sql, ref, { bytes: 600, lines: 7 })),
      conflict,
    );
    const found = await database.read((sql) => attemptByLogSha1(sql, sha1));
    assert.deepEqual(found?.log, { state: 'complete', bytes: 500, lines: 6, sha1 });
  });

  test('segments come back in order with their index, and go with an expired log', async () => {
    await using database = await open();
    const segments: LogSegment[] = [0, 1, 2].map((n) => ({
      n,
      start: n * 2 ** 32,
      bytes: 2 ** 32,
      linesBefore: n * 10,
      index: Uint8Array.of(0, n, 255),
    }));
    await database.write(async (sql) => {
      await insertAttempt(sql, attempt);
      for (const segment of segments.toReversed()) await saveSegment(sql, ref, { ...segment, bytes: 1 });
      for (const segment of segments) await saveSegment(sql, ref, segment);
    });
    const stored = await database.read((sql) => segmentsOf(sql, ref));
    assert.deepEqual(
      stored.map((segment) => ({ ...segment, index: new Uint8Array(segment.index) })),
      segments,
    );
    await database.write((sql) => expireLog(sql, ref));
    assert.deepEqual(await database.read((sql) => segmentsOf(sql, ref)), []);
    assert.equal((await database.read((sql) => getAttempt(sql, ref)))?.log.state, 'expired');
  });

  test('retention lets the old ones go, and the oldest of those that are too much together', async () => {
    await using database = await open();
    await database.write(async (sql) => {
      for (const number of [1, 2, 3, 4, 5]) await ended(sql, number, { at: 1_000 * number });
      await insertAttempt(sql, { ...attempt, number: 6, startedAt: 1 }); // still running
      await insertAttempt(sql, { ...attempt, number: 7, builder: parseBuilderName('lint') });
    });
    const expired = async (options: Partial<Parameters<typeof expiredLogs>[2]>): Promise<number[]> => {
      const found = await database.read((sql) => expiredLogs(sql, builder, { endedBefore: 0, maxBytes: 10_000, limit: 10, ...options }));
      return found.map(({ number }) => number);
    };
    assert.deepEqual(await expired({}), []);
    assert.deepEqual(await expired({ endedBefore: 3_000 }), [1, 2]);
    assert.deepEqual(await expired({ maxBytes: 250 }), [1, 2, 3]);
    assert.deepEqual(await expired({ maxBytes: 250, limit: 2 }), [1, 2]);
    assert.deepEqual(await expired({ maxBytes: 300, endedBefore: 2_000 }), [1, 2]);
    await database.write((sql) => expireLog(sql, { build, number: 1 }));
    assert.deepEqual(await expired({ endedBefore: 3_000 }), [2]);
    assert.deepEqual(await database.read(buildersWithLogs), [builder]);
  });
});
