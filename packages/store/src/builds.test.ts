import assert from 'node:assert/strict';
import { test } from 'node:test';
import { advance, type BuildEvent, type BuildState } from '@croft/domain/build';
import { buildId, type Band, type Needs } from '@croft/domain/job';
import { parseBuilderName, parseRepoName, type BuilderName, type BuildId, type Revision } from '@croft/domain/names';
import { needsKey } from '@croft/domain/schedule';
import { isCode } from '@croft/runtime/errors';
import {
  buildsOfCommits,
  countByState,
  countQueuedBefore,
  countQueuedByBand,
  getBuilds,
  listBuilds,
  queuedBuilds,
  runningBuilds,
} from './build-lists.ts';
import { getBuild, getBuildForUpdate, insertBuild, saveBuildState, type NewBuild } from './builds.ts';
import type { Database, Sql } from './database.ts';
import { eachDatabase } from './testing.ts';

const repo = parseRepoName('croft');
const unit = parseBuilderName('unit');
const revision = (n: number): Revision => n.toString(16).padStart(40, '0') as Revision;

interface Wish {
  readonly builder?: BuilderName;
  readonly band?: Band;
  readonly needs?: Needs;
}

function newBuild(n: number, { builder = unit, band = 'post-submit', needs = { labels: ['linux'] } }: Wish = {}): NewBuild {
  const revisions = [{ repo, revision: revision(n) }];
  const trigger = { kind: 'branch', ref: 'main' } as const;
  return { id: buildId({ builder, revisions, trigger }), builder, revisions, trigger, band, needs, createdAt: 1_000 + n };
}

async function insertAll(database: Database, builds: readonly NewBuild[]): Promise<void> {
  await database.write(async (sql) => {
    for (const build of builds) await insertBuild(sql, build);
  });
}

async function move(sql: Sql, id: BuildId, ...events: BuildEvent[]): Promise<void> {
  const { state } = await getBuildForUpdate(sql, id);
  await saveBuildState(sql, id, events.reduce(advance, state));
}

const ids = (builds: readonly { id: BuildId }[]): BuildId[] => builds.map(({ id }) => id);

eachDatabase('builds', (open) => {
  test('a build is stored once, queued, and read as it was given', async () => {
    await using database = await open();
    const build = newBuild(1, { needs: { labels: ['x64', 'linux'], cpus: 2 } });
    assert.equal(await database.write((sql) => insertBuild(sql, build)), true);
    assert.equal(await database.write((sql) => insertBuild(sql, { ...build, band: 'interactive', createdAt: 9 })), false);
    const state = { kind: 'queued', since: 1_001, notBefore: 1_001, attempts: 0, infra: 0 };
    const stored = { ...build, seq: 1, repo, revision: revision(1), state };
    assert.deepEqual(await database.read((sql) => getBuild(sql, build.id)), stored);
    assert.deepEqual(await database.read((sql) => getBuilds(sql, [newBuild(2).id, build.id])), [stored]);
    await assert.rejects(
      database.write((sql) => getBuildForUpdate(sql, newBuild(2).id)),
      (error) => isCode(error, 'not-found'),
    );
  });

  test('found by many at once, a build is stored by one of them', async () => {
    await using database = await open();
    const found = await Promise.all(Array.from({ length: 20 }, (_, n) => database.write((sql) => insertBuild(sql, newBuild(n % 4)))));
    assert.equal(found.filter(Boolean).length, 4);
    assert.equal((await database.read((sql) => listBuilds(sql, { limit: 100 }))).length, 4);
  });

  test('every state comes back as it was saved', async () => {
    await using database = await open();
    const { id } = newBuild(1);
    await insertAll(database, [newBuild(1)]);
    const infra = { kind: 'infra', cause: 'buildlet-died', evidence: 'pid 7 \u0000 <gone>' } as const;
    const events: BuildEvent[] = [
      { kind: 'assigned', at: 10 },
      { kind: 'attempt-ended', at: 20, attempt: 1, end: infra },
      { kind: 'assigned', at: 30 },
      { kind: 'attempt-ended', at: 40, attempt: 2, end: infra },
      { kind: 'assigned', at: 2_000 },
      { kind: 'cancel', at: 2_001, by: 'ann', why: 'enough' },
      { kind: 'attempt-ended', at: 2_002, attempt: 3, end: infra },
      { kind: 'retry', at: 3_000 },
    ];
    let expected: BuildState = (await database.read((sql) => getBuild(sql, id)))?.state ?? assert.fail();
    for (const event of events) {
      expected = advance(expected, event);
      await database.write((sql) => move(sql, id, event));
      assert.deepEqual((await database.read((sql) => getBuild(sql, id)))?.state, expected);
    }
  });

  test('the queue is most urgent first, then first come first served, with a head for each kind of machine', async () => {
    await using database = await open();
    const mac = { labels: ['mac'] };
    const builds = [
      newBuild(1),
      newBuild(2),
      newBuild(3, { band: 'interactive' }),
      newBuild(4, { needs: mac }),
      newBuild(5),
      newBuild(6, { needs: mac, band: 'release' }),
    ];
    await insertAll(database, builds);
    const [a, b, c, d, , f] = ids(builds);
    const head = await database.read((sql) => queuedBuilds(sql, { limit: 2 }));
    assert.deepEqual(ids(head), [c, f, a, d]);
    const builders = [builds[0]?.builder as BuilderName];
    assert.deepEqual(ids(await database.read((sql) => queuedBuilds(sql, { limit: 2, builders }))), [c, f, a, d]);
    assert.deepEqual(await database.read((sql) => queuedBuilds(sql, { limit: 2, builders: [] })), []);
    assert.deepEqual(ids(await database.read((sql) => queuedBuilds(sql, { limit: 2, restedAt: 1_003 }))), [c, a]);
    assert.deepEqual(await database.read((sql) => queuedBuilds(sql, { limit: 2, builders: ['gone' as BuilderName] })), []);
    assert.deepEqual(
      head.map(({ notBefore }) => notBefore),
      [1_003, 1_006, 1_001, 1_004],
    );
    await database.write((sql) => move(sql, a as BuildId, { kind: 'assigned', at: 5 }));
    assert.deepEqual(ids(await database.read((sql) => queuedBuilds(sql, { limit: 2 }))), [c, f, b, d]);
    const last = { needsKey: needsKey({ labels: ['linux'] }), band: 'post-submit', seq: 5 } as const;
    assert.equal(await database.read((sql) => countQueuedBefore(sql, last)), 2);
    assert.equal(await database.read((sql) => countQueuedBefore(sql, { ...last, needsKey: needsKey(mac) })), 2);
    assert.deepEqual({ ...(await database.read(countByState)) }, { queued: 5, running: 1, cancelling: 0 });
    assert.deepEqual(await database.read(countQueuedByBand), { interactive: 1, release: 1, 'post-submit': 3 });
  });

  test('lists are newest first, filtered, page by page', async () => {
    await using database = await open();
    const lint = parseBuilderName('lint');
    const builds = [1, 2, 3, 4, 5].flatMap((n) => [newBuild(n), newBuild(n, { builder: lint })]);
    await insertAll(database, builds);
    const first = await database.read((sql) => listBuilds(sql, { builder: lint, repo, limit: 3 }));
    const rest = await database.read((sql) => listBuilds(sql, { builder: lint, repo, limit: 9, before: first.at(-1)?.seq }));
    assert.deepEqual(
      [...first, ...rest].map((build) => build.seq),
      [10, 8, 6, 4, 2],
    );
    assert.deepEqual(
      (await database.read((sql) => listBuilds(sql, { revision: revision(3), limit: 9 }))).map(({ builder }) => builder),
      ['lint', 'unit'],
    );
    assert.deepEqual(await database.read((sql) => listBuilds(sql, { repo: parseRepoName('other'), limit: 9 })), []);
    const [running, cancelling] = ids(builds);
    await database.write(async (sql) => {
      await move(sql, cancelling as BuildId, { kind: 'assigned', at: 5 }, { kind: 'cancel', at: 6, by: 'ann', why: 'no' });
      await move(sql, running as BuildId, { kind: 'assigned', at: 7 });
    });
    assert.deepEqual(ids(await database.read(runningBuilds)), [running, cancelling]);
    assert.deepEqual(ids(await database.read((sql) => listBuilds(sql, { state: 'running', limit: 9 }))), [running]);
  });

  test('the builds of any number of commits are found', async () => {
    await using database = await open();
    const builds = Array.from({ length: 450 }, (_, n) => newBuild(n));
    await insertAll(database, builds);
    const wanted = Array.from({ length: 600 }, (_, n) => revision(n + 100));
    const found = await database.read((sql) => buildsOfCommits(sql, repo, wanted));
    assert.deepEqual(ids(found), ids(builds.slice(100)));
    assert.deepEqual(await database.read((sql) => buildsOfCommits(sql, parseRepoName('other'), wanted)), []);
  });

  test('64 schedulers at once assign each queued build exactly once', async () => {
    await using database = await open({ durability: 'power' });
    await insertAll(
      database,
      Array.from({ length: 40 }, (_, n) => newBuild(n)),
    );
    const assigned: BuildId[] = [];
    const scheduler = async (): Promise<void> => {
      for (;;) {
        const [next] = await database.read((sql) => queuedBuilds(sql, { limit: 1 }));
        if (!next) return;
        try {
          await database.write((sql) => move(sql, next.id, { kind: 'assigned', at: 9 }));
          assigned.push(next.id);
        } catch (error) {
          if (!isCode(error, 'conflict')) throw error; // another scheduler was first
        }
      }
    };
    await Promise.all(Array.from({ length: 64 }, scheduler));
    assert.deepEqual(assigned.toSorted(), ids(Array.from({ length: 40 }, (_, n) => newBuild(n))).toSorted());
    const states = await database.read((sql) => listBuilds(sql, { limit: 100 }));
    assert.ok(states.every(({ state }) => state.kind === 'running' && state.attempts === 1));
  });
});
