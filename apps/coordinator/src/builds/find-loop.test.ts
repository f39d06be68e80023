import assert from 'node:assert/strict';
import { renameSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Repository } from '@croft/config/farm-config';
import { parseRepoName } from '@croft/domain/names';
import type { Mirror } from '@croft/forge/git';
import { MINUTE } from '@croft/runtime/clock';
import { createPlace, createRepo } from '@croft/forge/testing';
import { CroftError, isCode } from '@croft/runtime/errors';
import { silentLog } from '@croft/runtime/log';
import { createTaskGroup } from '@croft/runtime/tasks';
import { FakeClock, seededRandom } from '@croft/runtime/testing';
import { listBuilds } from '@croft/store/build-lists';
import { branchCommits, branches } from '@croft/store/commits';
import { getRepo } from '@croft/store/repos';
import { createFinder } from './find-loop.ts';
import type { Rules } from './look.ts';
import type { Sources } from './source.ts';
import { app as name, openFinderStage as openStage, type FinderStage as Stage } from './testing-finder.ts';

function anyRepository(repo: string): Repository {
  return { name: parseRepoName(repo), url: '/nowhere', branches: [], depth: 1, pollMs: undefined, paths: [], hookSecret: undefined };
}

function aborted(signal: AbortSignal | undefined): Promise<never> {
  const { promise, reject } = Promise.withResolvers<never>();
  signal?.addEventListener('abort', () => reject(signal.reason), { once: true });
  return promise;
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

test('another configuration is looked at anew: new builders get what is there, new repositories are looked at, removed ones are not', async () => {
  await using stage = await openStage();
  const { finder, repo, reload } = stage;
  await finder.find(name, {});
  const builders = ['builder-0', 'more'].map((builder) => ({ name: builder, repos: [name, 'other'] }));
  await reload({ builders, repos: [name, 'other'].map((one) => ({ name: one, url: repo.dir, pollMs: 'never' })) });
  const builds = async (): Promise<string[]> => {
    const all = await stage.db.read((sql) => listBuilds(sql, { limit: 100 }));
    return all.map((build) => `${build.repo} ${build.builder}`).toSorted();
  };
  await finder.find('other', {});
  await finder.find(name, {});
  assert.deepEqual(await builds(), [`${name} builder-0`, `${name} more`, 'other builder-0', 'other more']);
  await reload({ repos: [{ name, url: repo.dir }] });
  await assert.rejects(finder.find('other', {}), /no repository is called "other"/);
  assert.deepEqual(await finder.find(name, {}), []);
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

test('of many branches only those that have moved are read, and a new one that shares its history queues nothing twice', async () => {
  await using stage = await openStage({ branches: ['main', 'topic/*'] });
  const { repo, finder, found } = stage;
  for (let n = 0; n < 20; n += 1) repo.git('branch', `topic/${n}`);
  assert.equal((await finder.find(name, {})).length, 0, 'the commit is that of main');
  assert.equal(found.flatMap(({ branches }) => branches).length, 21);
  found.length = 0;
  repo.git('checkout', '--quiet', 'topic/7');
  repo.write('a', 'topic');
  repo.commit('on a topic');
  repo.git('branch', 'topic/new');
  repo.git('branch', 'other');
  assert.equal((await finder.find(name, {})).length, 1);
  assert.deepEqual(found.flatMap(({ branches }) => branches.map(({ branch }) => branch)).toSorted(), ['topic/7', 'topic/new']);
});

test('builders that are new are filled in down to the depth, behind all tips', async () => {
  await using stage = await openStage({ depth: 3 });
  const { repo, finder, found } = stage;
  for (let n = 0; n < 5; n += 1) repo.commit(`commit ${n}`);
  await finder.find(name, {});
  stage.configure({ builders: 2 });
  assert.equal((await finder.find(name, {})).length, 3);
  assert.deepEqual(
    found
      .at(-1)
      ?.builds.filter((build) => build.builder === 'builder-1')
      .map((build) => build.band),
    ['post-submit', 'back-fill', 'back-fill'],
  );
});

test('a shallow source that gets deeper is filled in although its branch stays where it is', async () => {
  await using stage = await openStage({ shallow: true, depth: 3 });
  const { repo, finder } = stage;
  await finder.find(name, {});
  assert.deepEqual(await subjects(stage), ['third']);
  repo.git('fetch', '--quiet', '--unshallow');
  assert.equal((await finder.find(name, {})).length, 2);
  assert.deepEqual(await subjects(stage), ['third', 'second', 'first']);
});

test('commits that change nothing of what is asked for are shown, and not built', async () => {
  await using stage = await openStage({ paths: ['src/**'] });
  const { repo, finder } = stage;
  await finder.find(name, {});
  repo.write('README', 'words');
  repo.commit('words');
  assert.deepEqual(await finder.find(name, {}), []);
  repo.write('src/a', 'code');
  repo.commit('code');
  assert.equal((await finder.find(name, {})).length, 1);
  assert.deepEqual(await subjects(stage), ['code', 'words', 'first']);
});

test('a look that failed is made again soon, also where nobody polls', async () => {
  await using stage = await openStage({ pollMs: 'never' });
  const { repo, finder, clock } = stage;
  await finder.find(name, {});
  renameSync(repo.dir, `${repo.dir}.away`);
  finder.wake(name, []);
  await stage.failed();
  renameSync(`${repo.dir}.away`, repo.dir);
  repo.commit('second');
  const queued = stage.queued();
  await clock.advance(2 * MINUTE);
  assert.equal((await queued).length, 1);
});

test('few polls go on together, and a look that is asked for does not wait for them', async () => {
  const { promise: forEver } = Promise.withResolvers<never>();
  const begun: string[] = [];
  const twelve = Promise.withResolvers<void>();
  const repos = Array.from({ length: 12 }, (_, n) => anyRepository(`repo-${n}`));
  const mirror = async (repo: string): Promise<Pick<Mirror, 'fetch'>> => ({
    fetch: async ({ signal }) => {
      begun.push(repo);
      if (begun.length === 12) twelve.resolve();
      return await Promise.race([forEver, aborted(signal)]);
    },
  });
  const finder = createFinder({
    sources: { repos, mirror } as unknown as Sources,
    config: () => ({ builders: [], policies: [], dependents: [] }),
    records: { recordFound: async () => [], recordFetchError: async () => undefined },
    clock: new FakeClock(),
    random: seededRandom(1),
    log: silentLog,
    onFound() {},
    onUnreadable() {},
    onOutdated() {},
  });
  await using tasks = createTaskGroup((_, error) => assert.fail(String(error)));
  tasks.start('find', (waits) => finder.run(waits));
  await nextTurn();
  assert.equal(begun.length, 8);
  for (const { name: waiting } of repos.slice(8)) finder.wake(waiting, ['main']);
  await twelve.promise;
  assert.deepEqual(begun.toSorted(), repos.map((repo) => repo.name as string).toSorted());
});

test('a look that another configuration overtakes is told: what it has queued may not be wanted', async () => {
  const rules = (): Rules => ({ builders: [], policies: [], dependents: [] });
  const one = anyRepository('app');
  let config = rules();
  let reload = true;
  const mirror = async (): Promise<never> => {
    if (reload) config = rules();
    throw new CroftError('unavailable', 'no mirror');
  };
  let outdated = 0;
  const finder = createFinder({
    sources: { repos: [one], mirror } as unknown as Sources,
    config: () => config,
    records: { recordFound: async () => [], recordFetchError: async () => undefined },
    clock: new FakeClock(),
    random: seededRandom(1),
    log: silentLog,
    onFound() {},
    onUnreadable() {},
    onOutdated: () => void (outdated += 1),
  });
  await using tasks = createTaskGroup((_, error) => assert.fail(String(error)));
  tasks.start('find', (waits) => finder.run(waits));
  await assert.rejects(finder.find('app', {}), /no mirror/);
  assert.equal(outdated, 1);
  reload = false;
  await assert.rejects(finder.find('app', {}), /no mirror/);
  assert.equal(outdated, 1);
});

test('a repository that is not configured is not found', async () => {
  await using stage = await openStage();
  await assert.rejects(stage.finder.find('other', {}), (error) => isCode(error, 'not-found'));
});

test('a commit of a toolchain or of what is built with it makes a build of the pair, and a restart makes no other', async () => {
  await using place = createPlace();
  const compiler = createRepo(join(place.dir, 'compiler'));
  const tool = compiler.commit('compiler one');
  await using stage = await openStage();
  const { repo, db, reload } = stage;
  const repos = [
    { name, url: repo.dir },
    { name: 'compiler', url: compiler.dir },
  ].map((one) => ({ ...one, pollMs: 'never' as const }));
  const built = async (): Promise<string[]> => {
    const builds = await db.read((sql) => listBuilds(sql, { limit: 100 }));
    return builds
      .filter(({ revisions }) => revisions.length > 1)
      .map(({ revisions }) => revisions.map(({ revision }) => revision).join(' '));
  };
  const settings = {
    repos,
    builders: [{ name: 'unit', repos: [name, 'compiler'] }],
    dependents: [{ toolchain: 'compiler', repos: [name] }],
  };
  await stage.finder.find(name, {});
  await reload(settings);
  await stage.finder.find('compiler', {});
  await stage.finder.find(name, {});
  const first = repo.git('rev-parse', 'HEAD').trim();
  assert.deepEqual(await built(), [`${first} ${tool}`]);

  const better = compiler.commit('compiler two');
  const queued = stage.queued();
  await stage.finder.find('compiler', {});
  await queued;
  await stage.finder.find(name, {});
  assert.deepEqual(await built(), [`${first} ${better}`, `${first} ${tool}`]);

  const second = repo.commit('app two');
  await stage.finder.find(name, {});
  const all = [`${second} ${better}`, `${first} ${better}`, `${first} ${tool}`];
  assert.deepEqual(await built(), all);
  await stage.restart();
  await stage.finder.find('compiler', {});
  await stage.finder.find(name, {});
  assert.deepEqual(await built(), all, 'what has been built with another toolchain is not built again');
});

test('a commit that changes nothing of what is asked for is not built because its toolchain moved either', async () => {
  await using place = createPlace();
  const compiler = createRepo(join(place.dir, 'compiler'));
  compiler.commit('compiler one');
  await using stage = await openStage();
  const { repo, finder } = stage;
  await finder.find(name, {});
  await stage.reload({
    repos: [
      { name, url: repo.dir, pollMs: 'never' },
      { name: 'compiler', url: compiler.dir, pollMs: 'never' },
    ],
    builders: [{ name: 'code', repo: name, paths: ['src/**'] }],
    dependents: [{ toolchain: 'compiler', repos: [name] }],
  });
  await finder.find('compiler', {});
  assert.deepEqual(await finder.find(name, {}), []);
  compiler.commit('compiler two');
  await finder.find('compiler', {});
  assert.deepEqual(await finder.find(name, {}), []);
  assert.deepEqual(
    stage.found.flatMap(({ builds }) => builds).filter((build) => build.builder === 'code'),
    [],
  );
});
