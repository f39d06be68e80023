/** Go's `fetchlogs` and `retrybuilds` of 2017, unchanged, against a farm of this year; and our own, over HTTP and gRPC. */
import { after, before, test, type TestContext } from 'node:test';
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { mkdir, mkdtempDisposable, readdir, readFile, readlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { exchangesDir, type Exchange } from '@croft-apps/coordinator/testing';
import { buildThat, endedBuild, foundBuilds, listBuilds } from './testing-builds.ts';
import { buildOriginals, openDashboardProxy, recordExchanges, type Originals } from './testing-originals.ts';
import { makeRepo, type TestRepo } from './testing-repo.ts';
import { startFarm, type TestFarm } from './testing.ts';

const masterKey = 'the master key of this test';
const keyOf = (builder: string): string => createHmac('md5', masterKey).update(builder).digest('hex');
const linux = 'linux-amd64';
const plan9 = 'plan9-386';
const flaky = 'compiling\nlinking\nwriting\nwrite: No space left on device\n';
const genuine = `${'ok\n'.repeat(25)}--- FAIL: TestSum (0.00s)\n    sum_test.go:8: 1 + 1 = 3\n`;

let originals: Originals | { readonly missing: string };
before(async () => {
  originals = await buildOriginals();
});
after(async () => {
  if ('run' in originals) await originals[Symbol.asyncDispose]();
});

/** Skips the test, by its name, where there is nothing to run. */
function originalsOr(t: TestContext): Originals | undefined {
  if ('run' in originals) return originals;
  t.skip(originals.missing);
  return undefined;
}

interface Stage extends AsyncDisposable {
  readonly farm: TestFarm;
  readonly repo: TestRepo;
  /** The older commit fails here with a flake, and on plan9, which reports from outside, with a genuine failure. */
  readonly older: string;
  readonly keys: { readonly master: string; readonly wrong: string };
  /** What the dashboard says of a commit on a builder. */
  cell(builder: string, revision: string): Promise<string>;
}

async function openStage(): Promise<Stage> {
  await using stack = new AsyncDisposableStack();
  const { path: dir } = stack.use(await mkdtempDisposable(join(tmpdir(), 'croft-keys-')));
  const keys = { master: join(dir, 'master.key'), wrong: join(dir, 'wrong.key') };
  await writeFile(keys.master, `${masterKey}\n`);
  await writeFile(keys.wrong, 'a wrong key\n');
  const repo = stack.use(await makeRepo(`#!/bin/sh\nprintf '${flaky.replaceAll('\n', '\\n')}'\nexit 1\n`));
  const older = repo.head;
  await repo.commit({ '.ci/run': { executable: '#!/bin/sh\necho fine\n' } });
  const farm = stack.use(
    await startFarm({
      config: {
        repos: [{ name: 'go', url: repo.dir, pollMs: 'never' }],
        builders: [{ name: linux, repo: 'go', steps: 'detect' }],
        pools: [{ kind: 'local', name: 'local', size: 1 }],
        publicHosts: ['build.golang.org'],
        compat: { goBuilderKeys: true, masterKeyFile: keys.master },
        logFile: join(dir, 'farm.log'),
        logLevel: 'debug',
      },
    }),
  );
  for (const { id } of await foundBuilds(farm, 2)) await endedBuild(farm, id);
  const owned = stack.move();
  const cell: Stage['cell'] = async (builder, revision) => {
    const { builders, revisions } = await farm.api<{ builders: string[]; revisions: { revision: string; results: string[] }[] }>(
      'GET',
      '/?mode=json',
    );
    return revisions.find((row) => row.revision === revision)?.results[builders.indexOf(builder)] ?? '';
  };
  await report({ farm, older });
  return { farm, repo, older, keys, cell, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

async function report({ farm, older }: Pick<Stage, 'farm' | 'older'>): Promise<void> {
  const result = { Builder: plan9, PackagePath: '', Hash: older, GoHash: '', OK: false, Log: genuine, RunTime: 1e9 };
  const said = await farm.api<{ Error: string }>('POST', `/result?version=1&builder=${plan9}&key=${keyOf(plan9)}`, result);
  assert.equal(said.Error, '');
}

async function builtAgain({ farm, older }: Stage, builder: string, attempts: number): Promise<void> {
  const build = (await listBuilds(farm)).find((one) => one.builder === builder && one.revision === older);
  const is = (now: { state: string; attempts: number }): boolean => now.state === 'ended' && now.attempts === attempts;
  await buildThat(farm, build?.id ?? '', { what: `ended ${attempts} times`, is });
}

/** No key is in anything that the farm wrote. */
async function assertNoKey({ farm, keys }: Stage): Promise<void> {
  const secrets = [
    masterKey,
    encodeURIComponent(masterKey),
    masterKey.replaceAll(' ', '+'),
    keyOf(linux),
    keyOf(plan9),
    'a wrong key',
    'a+wrong+key',
  ];
  const files = (await readdir(farm.dataDir, { recursive: true, withFileTypes: true })).filter((file) => file.isFile());
  const paths = files.map((file) => join(file.parentPath, file.name));
  assert.ok(paths.some((path) => path.endsWith('croft.db')));
  for (const path of [...paths, join(keys.master, '../farm.log')]) {
    const bytes = await readFile(path);
    for (const secret of secrets) assert.ok(!bytes.includes(secret), `${path} holds a key`);
  }
  for (const secret of secrets) assert.ok(!farm.output().includes(secret));
}

test('Go’s fetchlogs of 2017 gets each failure’s log, byte for byte, under its commit', async (t) => {
  const go = originalsOr(t);
  if (!go) return;
  await using stage = await openStage();
  await using proxy = await openDashboardProxy(stage.farm.url);
  const dir = join(go.dir, 'logs');
  await mkdir(dir);
  const ran = await go.run('fetchlogs', ['-n', '2', '-dir', dir], proxy);
  assert.equal(ran.status, 0, ran.output);
  const revisions = await readdir(join(dir, 'rev'));
  assert.deepEqual(
    revisions.map((name) => name.slice(-7)).toSorted(),
    [stage.older, stage.repo.head].map((hash) => hash.slice(0, 7)).toSorted(),
  );
  const older = join(dir, 'rev', revisions.find((name) => name.endsWith(stage.older.slice(0, 7))) ?? '');
  assert.equal(await readFile(join(older, linux), 'utf8'), flaky);
  assert.equal(await readFile(join(older, plan9), 'utf8'), genuine);
  assert.match(await readlink(join(older, linux)), /^\.\.\/\.\.\/log\/[0-9a-f]{40}$/);
  assert.equal((JSON.parse(await readFile(join(older, '.rev.json'), 'utf8')) as { revision: string }).revision, stage.older);
});

test('Go’s retrybuilds of 2017 has builds run again by each of its choices, and shows no key to anybody', async (t) => {
  const go = originalsOr(t);
  if (!go) return;
  await using stage = await openStage();
  await using proxy = await openDashboardProxy(stage.farm.url);
  const retry = (...args: string[]) => go.run('retrybuilds', ['-builder-prefix=http://build.golang.org', ...args], proxy);
  const master = `-masterkey=${stage.keys.master}`;

  const flakes = await retry(master, '-redo-flaky');
  assert.equal(flakes.status, 0, flakes.output);
  await builtAgain(stage, linux, 2);
  assert.match(await stage.cell(plan9, stage.older), /\/log\//, 'a genuine failure stays');

  const hash = /[0-9a-f]{40}$/.exec(await stage.cell(plan9, stage.older))?.[0] ?? '';
  assert.equal((await retry(master, `-loghash=${hash.slice(0, 8)}`)).status, 0);
  assert.equal(await stage.cell(plan9, stage.older), '');

  const one = await retry(master, `-builder=${linux}`, `-hash=${stage.older.slice(0, 6)}`);
  assert.equal(one.status, 0, one.output);
  await builtAgain(stage, linux, 3);
  const all = await retry(master, '-sendmaster', `-builder=${linux}`);
  assert.equal(all.status, 0, all.output);
  await builtAgain(stage, linux, 4);

  const refused = await retry(`-key=${stage.keys.wrong}`, '-masterkey=', `-builder=${linux}`, `-hash=${stage.older}`);
  assert.notEqual(refused.status, 0);
  assert.match(refused.output, /Dashboard error: invalid key for builder "linux-amd64"/);
  await assertNoKey(stage);
});

test('what the tests without Go replay is what its programs say', async (t) => {
  const go = originalsOr(t);
  if (!go) return;
  const byPath = (exchanges: readonly Exchange[]): Exchange[] => exchanges.toSorted((a, b) => (a.path < b.path ? -1 : 1));
  for (const [name, exchanges] of Object.entries(await recordExchanges(go))) {
    const kept = JSON.parse(await readFile(new URL(`${name}.json`, exchangesDir), 'utf8')) as Exchange[];
    // Logs are fetched in any order.
    assert.deepEqual(byPath(exchanges), byPath(kept), 'to record anew: node farm/src/record-originals.ts');
  }
});

const croft = fileURLToPath(new URL('../../apps/croft/src/main.ts', import.meta.url));

test('our own retrybuilds does the same, with a token over HTTP and with a key over gRPC', async () => {
  await using stage = await openStage();
  const { farm } = stage;
  const retry = async (...args: string[]): Promise<{ stdout: string; stderr: string }> =>
    promisify(execFile)(process.execPath, [croft, 'retrybuilds', '--server', farm.url, ...args], { env: { HOME: farm.dataDir } });
  const preview = await retry('--redo-flaky', '--dry-run');
  assert.match(preview.stdout, /^linux-amd64 {2}\S+ {2}disk-full: the machine had no space left {2}http\S+\n$/);
  assert.equal((await retry('--redo-flaky')).stderr, 'wiped 1 matching failures\n');
  await builtAgain(stage, linux, 2);
  const keyed = ['--masterkey', stage.keys.master, '--builder', linux];
  await retry(...keyed, '--hash', stage.older, '--grpc-host', farm.url);
  await builtAgain(stage, linux, 3);
  await retry(...keyed);
  await builtAgain(stage, linux, 4);
  await assert.rejects(retry('--key', stage.keys.wrong, '--builder', linux, '--grpc-host', farm.url), /invalid key for builder/);
  await assertNoKey(stage);
});
