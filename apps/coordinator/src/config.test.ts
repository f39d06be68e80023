import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { test } from 'node:test';
import { CroftError } from '@croft/runtime/errors';
import { readConfig, readConfigFile, type Config, type ConfigInput } from './config.ts';

const repo = { name: 'app', url: '/srv/app' };
const step = { name: 'test', argv: ['make', 'test'] };

const withBuilder = (builder: object): Config =>
  readConfig({ dataDir: 'd', repos: [repo], builders: [{ name: 'unit', repo: 'app', ...builder }] } as ConfigInput);

const withStep = (more: object): Config => withBuilder({ steps: [{ ...step, ...more }] });

/** The mistakes that are told, without the first line. */
function mistakesOf(read: () => unknown): string[] {
  try {
    read();
  } catch (error) {
    assert.ok(error instanceof CroftError && error.code === 'invalid');
    return error.message
      .split('\n')
      .slice(1)
      .map((line) => line.trim());
  }
  return [];
}

test('a data directory is enough, and every default runs on a laptop', () => {
  const config = readConfig({ dataDir: 'data' });
  assert.equal(config.dataDir, resolve('data'));
  assert.deepEqual([config.host, config.port, config.durability, config.anonymous], ['127.0.0.1', 8119, 'power', 'none']);
  assert.deepEqual(withBuilder({}).builders[0]?.steps, 'detect');
});

test('every mistake is told at once, each with the name of its setting', () => {
  const mistakes = mistakesOf(() =>
    readConfig({
      dataDir: 'd',
      port: 99_999,
      repos: [repo, repo],
      builders: [{ name: 'no spaces', repo: 'app' }],
      pools: [{ kind: 'local', size: -1 }],
      colour: 'red',
    } as ConfigInput),
  );
  for (const named of [/^port: /, /^builders\.0\.name: /, /^pools\.0\.size: /, /colour/]) {
    assert.ok(
      mistakes.some((mistake) => named.test(mistake)),
      `${named} in ${mistakes.join('\n')}`,
    );
  }
});

test('names are there once, and a builder names a repository that is there', () => {
  assert.deepEqual(
    mistakesOf(() => readConfig({ dataDir: 'd', repos: [repo, repo] })),
    ['repos: "app" is there twice'],
  );
  assert.deepEqual(
    mistakesOf(() => withBuilder({ repo: 'apt' })),
    ['builders.0.repo: no repository is called "apt"; there are: app'],
  );
  assert.deepEqual(
    mistakesOf(() => withBuilder({ steps: [step, step] })),
    ['builders.0.steps: two steps have the same name'],
  );
});

test('a step stays inside of the tree', () => {
  for (const dir of ['.', 'a', 'a/b', '..a', 'a..', 'a/..b', './a'])
    assert.deepEqual(
      mistakesOf(() => withStep({ dir })),
      [],
      dir,
    );
  for (const dir of ['..', '../a', 'a/..', 'a/../../b', '/a', '']) {
    assert.deepEqual(mistakesOf(() => withStep({ dir })).length, 1, JSON.stringify(dir));
  }
});

test('a step is a command that can be started, with variables that are not ours', () => {
  const wrong = [
    { argv: [] },
    { argv: [''] },
    { argv: ['a\0b'] },
    { env: { CROFT_COOKIE: 'x' } },
    { env: { A: 'a\0' } },
    { name: 'source' },
    { limitMs: 0 },
  ];
  for (const more of wrong) assert.equal(mistakesOf(() => withStep(more)).length, 1, JSON.stringify(more));
  assert.deepEqual(
    mistakesOf(() => withStep({ argv: ['sh', '-c', ''], env: { NODE_OPTIONS: '' } })),
    [],
  );
});

test('isolation that nobody can give is refused instead of being forgotten', () => {
  for (const builder of [{ isolation: 'vm' }, { trust: 'untrusted' }, { isolation: 'container', trust: 'untrusted' }]) {
    assert.match(mistakesOf(() => withBuilder(builder)).join('\n'), /no pool can isolate/);
  }
});

test('nothing can be changed afterwards, and secrets do not print', () => {
  const config = readConfig({ dataDir: 'd', databaseUrl: 'postgres://croft:hunter2@db/croft' });
  assert.throws(() => Object.assign(config, { port: 1 }), TypeError);
  assert.throws(() => (config.repos as unknown[]).push(repo), TypeError);
  assert.doesNotMatch(JSON.stringify(config), /hunter2/);
  assert.equal(config.databaseUrl?.reveal(), 'postgres://croft:hunter2@db/croft');
});

test('a file that cannot be read or is not JSON is named', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'croft-config-'));
  try {
    const path = join(dir, 'farm.json');
    await assert.rejects(readConfigFile(path), (error) => error instanceof CroftError && error.message.includes(path));
    await writeFile(path, '{ dataDir:');
    await assert.rejects(readConfigFile(path), (error) => error instanceof CroftError && error.message.includes(path));
    await writeFile(path, '{ "dataDir": "d", "port": "no" }');
    await assert.rejects(
      readConfigFile(path),
      (error) => error instanceof CroftError && /farm\.json: 1 mistake\(s\)\n {2}port: /.test(error.message),
    );
    await writeFile(path, '{ "dataDir": "d" }');
    assert.equal((await readConfigFile(path)).dataDir, resolve('d'));
  } finally {
    await rm(dir, { recursive: true });
  }
});
