import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { advance } from '@croft/domain/build';
import { buildId } from '@croft/domain/job';
import { parseBuilderName, parseRepoName, parseRevision, type BuildId } from '@croft/domain/names';
import { anyBuilder } from '@croft/domain/testing';
import { isCode } from '@croft/runtime/errors';
import { silentLog } from '@croft/runtime/log';
import { getBuildForUpdate, insertBuild, saveBuildState } from '@croft/store/builds';
import { openDatabase, type Database } from '@croft/store/database';
import { readBuilds, readGrid } from './read-builds.ts';

interface Stage extends AsyncDisposable {
  readonly db: Database;
  /** Oldest first: queued, running, cancelling, running, ended. */
  readonly builds: readonly BuildId[];
  list(filter: {
    state?: 'queued' | 'running' | 'ended';
    limit: number;
    before?: string;
  }): Promise<{ ids: BuildId[]; next: string | undefined }>;
}

const outlook = { plan: { assign: [], lend: [], reasons: new Map() }, builders: [], troubles: [] };

async function openStage(): Promise<Stage> {
  await using stack = new AsyncDisposableStack();
  const dir = await mkdtemp(join(tmpdir(), 'croft-queries-'));
  stack.defer(() => rm(dir, { recursive: true }));
  const db = stack.use(await openDatabase({ url: `sqlite:${join(dir, 'croft.db')}`, durability: 'kill', log: silentLog }));
  const repo = parseRepoName('app');
  const assigned = { kind: 'assigned', at: 1 } as const;
  const cancel = { kind: 'cancel', at: 2, by: 'tester', why: 'enough' } as const;
  const moves = [[], [assigned], [assigned, cancel], [assigned], [cancel]];
  const builds: BuildId[] = [];
  for (const [n, events] of moves.entries()) {
    const revisions = [{ repo, revision: parseRevision(String(n).repeat(40)) }];
    const key = { builder: parseBuilderName('unit'), revisions, trigger: { kind: 'branch', ref: 'main' } } as const;
    const id = buildId(key);
    builds.push(id);
    await db.write(async (sql) => {
      await insertBuild(sql, { ...key, id, band: 'post-submit', needs: { labels: [] }, createdAt: 0 });
      for (const event of events) await saveBuildState(sql, id, advance((await getBuildForUpdate(sql, id)).state, event));
    });
  }
  const owned = stack.move();
  return {
    db,
    builds,
    async list(filter) {
      const { builds: found, next } = await db.read((sql) => readBuilds(sql, filter, outlook));
      return { ids: found.map((build) => build.id as BuildId), next };
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

test('a build that is being cancelled still runs', async () => {
  await using stage = await openStage();
  const [queued, first, cancelling, last, ended] = stage.builds;
  assert.deepEqual((await stage.list({ state: 'running', limit: 9 })).ids, [last, cancelling, first]);
  assert.deepEqual((await stage.list({ state: 'queued', limit: 9 })).ids, [queued]);
  assert.deepEqual((await stage.list({ state: 'ended', limit: 9 })).ids, [ended]);
});

test('a list goes on where it stopped, and nobody is left out or comes twice', async () => {
  for (const state of [undefined, 'running'] as const) {
    await using stage = await openStage();
    const whole = (await stage.list({ ...(state && { state }), limit: 9 })).ids;
    const pieces: BuildId[] = [];
    for (let before: string | undefined, more = true; more;) {
      const { ids, next } = await stage.list({ ...(state && { state }), limit: 2, ...(before === undefined ? {} : { before }) });
      pieces.push(...ids);
      before = next;
      more = next !== undefined;
    }
    assert.deepEqual(pieces, whole);
  }
});

test('what does not continue a list is refused', async () => {
  await using stage = await openStage();
  await assert.rejects(stage.list({ limit: 2, before: 'x' }), (error) => isCode(error, 'invalid'));
});

test('failures of a builder name its known issues, and nothing else does', async () => {
  await using stage = await openStage();
  const [first, ...others] = stage.builds;
  await stage.db.write(async (sql) => {
    for (const [id, kind] of [
      [first, 'failed'],
      [others.at(-1), 'timed-out'],
    ] as const) {
      const { state } = await getBuildForUpdate(sql, id as BuildId);
      await saveBuildState(sql, id as BuildId, advance(state, { kind: 'reported', at: 3, end: { kind, step: 'test', text: '' } }));
    }
  });
  const knownIssues = ['https://example.com/issues/7'];
  const builders = [anyBuilder({ name: parseBuilderName('unit'), knownIssues })];
  const { builds } = await stage.db.read((sql) => readBuilds(sql, { limit: 9 }, { ...outlook, builders }));
  const known = builds.filter((build) => build.knownIssues).map((build) => [build.id, build.knownIssues]);
  assert.deepEqual(known, [
    [others.at(-1), knownIssues],
    [first, knownIssues],
  ]);
});

test('who is limited to repositories that nobody knows is told no others', async () => {
  await using stage = await openStage();
  const repos = ['secret', 'hidden'].map(parseRepoName);
  const grid = (query: object): Promise<unknown> => stage.db.read((sql) => readGrid(sql, { page: 0, ...query }, { repos, outlook }));
  await assert.rejects(grid({ repo: 'gone' }), /there are: .*secret, hidden/);
  await assert.rejects(grid({ repo: 'gone', allowed: () => false }), (error) => !/secret|hidden/.test(String(error)));
});
