import assert from 'node:assert/strict';
import { test } from 'node:test';
import { advance } from '@croft/domain/build';
import { buildId } from '@croft/domain/job';
import { parseBuilderName, parseLeaseId, parseMachineId, parseRepoName, parseRevision, type BuildId } from '@croft/domain/names';
import type { AttemptEnd } from '@croft/domain/outcome';
import { endAttemptRow, insertAttempt } from './attempts.ts';
import { getBuild, getBuildForUpdate, insertBuild, isBuiltBeside, saveBuildState, type NewBuild } from './builds.ts';
import type { Database } from './database.ts';
import { eachDatabase } from './testing.ts';
import { moveWaiting, waitingGroups, waitingOf } from './waiting-builds.ts';

const unit = parseBuilderName('unit');
const app = parseRepoName('app');
const compiler = parseRepoName('compiler');
const revision = (n: number) => parseRevision(String(n).padStart(40, '0'));
const machine = parseMachineId('local-1');

function newBuild(n: number, differs: Partial<NewBuild> = {}): NewBuild {
  const key = { builder: unit, revisions: [{ repo: app, revision: revision(n) }], trigger: { kind: 'branch', ref: 'main' } } as const;
  const all = { ...key, ...differs };
  return { band: 'post-submit', needs: { labels: ['linux'] }, createdAt: n, ...all, id: buildId(all) };
}

async function insertAll(database: Database, builds: readonly NewBuild[]): Promise<boolean[]> {
  const inserted: boolean[] = [];
  await database.write(async (sql) => {
    for (const build of builds) inserted.push(await insertBuild(sql, build));
  });
  return inserted;
}

async function runAndDrop(database: Database, id: BuildId, end: AttemptEnd): Promise<void> {
  await database.write(async (sql) => {
    const running = advance((await getBuildForUpdate(sql, id)).state, { kind: 'assigned', at: 5 });
    await insertAttempt(sql, {
      build: id,
      number: 1,
      builder: unit,
      startedAt: 5,
      machine,
      lease: parseLeaseId('L0123456789abcdef'),
      epoch: 1,
    });
    await endAttemptRow(sql, { build: id, number: 1 }, { end, at: 6 });
    const after = advance(running, { kind: 'attempt-ended', at: 6, attempt: 1, end });
    await saveBuildState(sql, id, after.kind === 'queued' ? advance(after, { kind: 'skip', at: 7, why: 'not wanted' }) : after);
  });
}

eachDatabase('waiting builds', (open) => {
  test('come in groups of what is said about them, and a group moves as one', async () => {
    await using database = await open();
    const other = newBuild(3, { trigger: { kind: 'branch', ref: 'next' } });
    await insertAll(database, [newBuild(1), newBuild(2), other]);
    const groups = await database.read(waitingGroups);
    assert.deepEqual(
      groups.map(({ trigger }) => trigger.ref),
      ['main', 'next'],
    );
    const [main] = groups;
    assert.ok(main);
    assert.deepEqual(
      (await database.write((sql) => waitingOf(sql, main, 1))).map(({ id }) => id),
      [newBuild(1).id],
    );
    await database.write((sql) => moveWaiting(sql, main, { band: 'release', needs: { labels: ['big'] } }));
    const looks = await database.read(async (sql) => [await getBuild(sql, newBuild(2).id), await getBuild(sql, other.id)]);
    assert.deepEqual(
      looks.map((build) => [build?.band, build?.needs.labels]),
      [
        ['release', ['big']],
        ['post-submit', ['linux']],
      ],
    );
  });

  test('that were dropped queue again when they are wanted, with the attempts that they had; those with nothing to run do not', async () => {
    await using database = await open();
    const [interrupted, empty] = [newBuild(1), newBuild(2)];
    await insertAll(database, [interrupted, empty]);
    await runAndDrop(database, interrupted.id, { kind: 'infra', cause: 'machine-lost', evidence: 'for the test' });
    await runAndDrop(database, empty.id, { kind: 'skipped', why: 'nothing to run' });
    assert.deepEqual(await insertAll(database, [interrupted, empty]), [true, false]);
    const states = await database.read(async (sql) => [await getBuild(sql, interrupted.id), await getBuild(sql, empty.id)]);
    assert.deepEqual(
      states.map((build) => [build?.state.kind, build?.state.attempts]),
      [
        ['queued', 1],
        ['ended', 1],
      ],
    );
  });

  test('a revision counts as built with a toolchain only where one stands beside it', async () => {
    await using database = await open();
    const pair = newBuild(1, {
      revisions: [
        { repo: app, revision: revision(1) },
        { repo: compiler, revision: revision(9) },
      ],
    });
    await insertAll(database, [newBuild(2), pair]);
    const built = await database.read(async (sql) => [await isBuiltBeside(sql, newBuild(1)), await isBuiltBeside(sql, newBuild(2))]);
    assert.deepEqual(built, [true, false]);
  });
});
