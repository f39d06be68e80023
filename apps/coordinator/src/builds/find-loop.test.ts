import assert from 'node:assert/strict';
import { renameSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { createPlace, createRepo, type Repo } from '@croft/forge/testing';
import { parseRepoName } from '@croft/domain/names';
import { systemClock } from '@croft/runtime/clock';
import { isCode } from '@croft/runtime/errors';
import { silentLog } from '@croft/runtime/log';
import { createTaskGroup } from '@croft/runtime/tasks';
import { branchCommits, branches } from '@croft/store/commits';
import { openDatabase, type Database } from '@croft/store/database';
import { getRepo } from '@croft/store/repos';
import type { ConfigInput } from '@croft/config/define-config';
import { readConfig } from '@croft/config/read-config';
import { createFinder, type Finder, type Found } from './find-loop.ts';
import { createWorkRecords } from './record-found.ts';
import { openSources } from './source.ts';

const name = parseRepoName('app');

interface Stage extends AsyncDisposable {
  readonly repo: Repo;
  readonly db: Database;
  readonly finder: Finder;
  /** What was to be stored, look by look. */
  readonly found: Found[];
  /** What the next look that ends has queued. */
  queued(): Promise<readonly string[]>;
}

async function openStage({
  builders = 1,
  ...rest
}: Partial<NonNullable<ConfigInput['repos']>[number]> & { builders?: number } = {}): Promise<Stage> {
  await using stack = new AsyncDisposableStack();
  const place = stack.use(createPlace());
  const repo = createRepo(join(place.dir, 'origin'));
  repo.write('a', 'a');
  repo.commit('first');
  const config = readConfig({
    dataDir: place.dir,
    repos: [{ name, url: repo.dir, pollMs: 3_600_000, ...rest }],
    builders: Array.from({ length: builders }, (_, n) => ({ name: `builder-${n}`, repo: name })),
  });
  const db = stack.use(await openDatabase({ url: `sqlite:${join(place.dir, 'croft.db')}`, durability: 'kill', log: silentLog }));
  const sources = stack.use(await openSources(config.repos, { dir: join(place.dir, 'repos'), clock: systemClock }));
  const found: Found[] = [];
  let looked = Promise.withResolvers<readonly string[]>();
  const records = createWorkRecords(db, systemClock);
  const finder = createFinder({
    sources,
    config: () => config,
    clock: systemClock,
    log: silentLog,
    records: {
      ...records,
      recordFound(all) {
        found.push(all);
        return records.recordFound(all);
      },
    },
    onQueued(_, builds) {
      looked.resolve(builds);
      looked = Promise.withResolvers();
    },
    onUnreadable() {},
  });
  const tasks = stack.use(createTaskGroup((_, error) => assert.fail(String(error))));
  tasks.start('find', (waits) => finder.run(waits));
  const owned = stack.move();
  return { repo, db, finder, found, queued: () => looked.promise, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

const subjects = async ({ db }: Stage): Promise<string[]> =>
  (await db.read((sql) => branchCommits(sql, name, { branch: 'main', limit: 100 }))).map((commit) => commit.subject);

test('a commit is queued once, however often it is looked for, and what has not moved is not read again', async () => {
  await using stage = await openStage();
  const { repo, finder, found } = stage;
  await finder.find(name, {});
  repo.write('a', 'b');
  repo.commit('second');
  assert.equal((await finder.find(name, {})).length, 1);
  assert.deepEqual(await finder.find(name, {}), []);
  assert.deepEqual(found.at(-1)?.branches, []);
  assert.deepEqual(await subjects(stage), ['second', 'first']);
});

test('however many ask during a look, one more look answers all of them', async () => {
  await using stage = await openStage();
  const { repo, finder, found } = stage;
  await finder.find(name, {});
  const looks = found.length;
  repo.write('a', 'b');
  repo.commit('second');
  const answers = await Promise.all(Array.from({ length: 20 }, () => finder.find(name, {})));
  assert.ok(answers.every((queued) => queued.length === 1));
  assert.equal(found.length, looks + 1);
});

test('a branch that is said to have moved is looked at alone, and at once', async () => {
  await using stage = await openStage({ branches: ['main', 'side'] });
  const { repo, finder, found } = stage;
  repo.git('branch', 'side');
  await finder.find(name, {});
  repo.write('a', 'b');
  const revision = repo.commit('second');
  repo.git('branch', '--force', 'side');
  const queued = stage.queued();
  finder.wake(name, ['main']);
  assert.equal((await queued).length, 1);
  assert.notEqual(found.at(-1)?.heads['side'], revision);
  const again = stage.queued();
  finder.wake(name, []);
  await again;
  assert.equal(found.at(-1)?.heads['side'], revision);
});

test('who goes away ends nobody else’s look', async () => {
  await using stage = await openStage();
  await stage.finder.find(name, {});
  const gone = new AbortController();
  const first = stage.finder.find(name, { signal: gone.signal });
  const second = stage.finder.find(name, {});
  gone.abort(new Error('gone'));
  await assert.rejects(first, /gone/);
  assert.deepEqual(await second, []);
});

test('a branch that is configured and not there is a problem that is told, and the others are built', async () => {
  await using stage = await openStage({ branches: ['main', 'relaese'] });
  await stage.finder.find(name, {});
  await stage.finder.find(name, {});
  const repo = await stage.db.read((sql) => getRepo(sql, name));
  assert.equal(repo?.lastError, 'there is no branch relaese; there are: main');
  assert.deepEqual(await subjects(stage), ['first']);
});

test('history that was pushed over is followed, and a branch that is deleted goes', async () => {
  await using stage = await openStage({ branches: ['main', 'side'] });
  const { repo, finder, db } = stage;
  repo.git('branch', 'side');
  repo.write('a', 'b');
  repo.commit('regretted');
  await finder.find(name, {});
  repo.git('reset', '--quiet', '--hard', 'HEAD~1');
  repo.write('a', 'c');
  repo.commit('better');
  repo.git('branch', '-D', 'side');
  assert.equal((await finder.find(name, {})).length, 1);
  assert.deepEqual(await subjects(stage), ['better', 'first']);
  assert.deepEqual(
    (await db.read((sql) => branches(sql, name))).map(({ branch }) => branch),
    ['main'],
  );
});

test('a repository that vanishes is told with its reason, keeps what was found, and is found again when it is back', async () => {
  await using stage = await openStage();
  const { repo, finder, db } = stage;
  await finder.find(name, {});
  renameSync(repo.dir, `${repo.dir}.away`);
  await assert.rejects(finder.find(name, {}), (error) => isCode(error, 'not-found'));
  assert.match((await db.read((sql) => getRepo(sql, name)))?.lastError ?? '', /origin/);
  assert.deepEqual(await subjects(stage), ['first']);
  renameSync(`${repo.dir}.away`, repo.dir);
  assert.deepEqual(await finder.find(name, {}), []);
  assert.equal((await db.read((sql) => getRepo(sql, name)))?.lastError, undefined);
});

test('more builds than one transaction takes are all queued', async () => {
  await using stage = await openStage({ builders: 700, depth: 1 });
  const { found, finder } = stage;
  await finder.find(name, {});
  stage.repo.write('a', 'b');
  stage.repo.commit('second');
  assert.equal((await finder.find(name, {})).length, 700);
  assert.equal(found[0]?.builds.length, 700);
});

test('a repository that is not configured is not found', async () => {
  await using stage = await openStage();
  await assert.rejects(stage.finder.find('other', {}), (error) => isCode(error, 'not-found'));
});
