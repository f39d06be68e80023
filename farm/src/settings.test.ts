import { test } from 'node:test';
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { declaredMachines } from '@croft/config/farm-config';
import { readConfig } from '@croft/config/read-config';
import { isCode } from '@croft/runtime/errors';
import { readSettings, usage, type FarmSettings } from './settings.ts';

const root = '/clone/croft';

function settings(...args: string[]): FarmSettings {
  const read = readSettings(args, root);
  assert.ok(read);
  return read;
}

test('without options it farms its own clone: the last 5 commits, one at a time, checks and unit tests', () => {
  const { config, foreign } = settings();
  assert.equal(foreign, false);
  const { dataDir, port, repos, builders, pools, logFile } = readConfig(config);
  assert.deepEqual([dataDir, port, logFile], ['/clone/croft/.croft/croft', 8119, '/clone/croft/.croft/croft/farm.log']);
  assert.deepEqual(
    repos.map(({ name, url, depth, branches }) => ({ name, url, depth, branches })),
    [{ name: 'croft', url: root, depth: 5, branches: [] }],
  );
  assert.deepEqual(
    builders.map(({ name, repos: of }) => [name, ...of]),
    [
      ['checks', 'croft'],
      ['unit', 'croft'],
    ],
  );
  assert.deepEqual(
    pools.map((pool) => [pool.kind, declaredMachines([pool])]),
    [['local', 1]],
  );
});

test('every option reaches the configuration, and what is made of them is valid', () => {
  const args = ['--repo', 'https://example.org/some/thing.git', '--branch', 'main', '--branch', 'next', '--depth', '7', '--at-once', '3'];
  const { config, foreign } = settings(...args, '--port', '0', '--data-dir', '/data', '--database', 'postgres://db/croft');
  assert.equal(foreign, true);
  const { dataDir, databaseUrl, port, repos, builders, pools } = readConfig(config);
  assert.deepEqual([dataDir, port, databaseUrl?.reveal()], ['/data', 0, 'postgres://db/croft']);
  const [repo] = repos;
  assert.deepEqual([repo?.name, repo?.url, repo?.depth, repo?.branches], ['thing', args[1], 7, ['main', 'next']]);
  assert.deepEqual(
    builders.map(({ name, repos: of, steps }) => [name, of[0], steps]),
    [['ci', 'thing', 'detect']],
  );
  assert.equal(declaredMachines(pools), 3);
});

test('a repository is named for the end of its address, whatever that holds, and never for its password', () => {
  const dir = mkdtempSync(join(tmpdir(), 'croft-settings-'));
  try {
    const nameOf = (repo: string): string | undefined => readConfig(settings('--repo', repo).config).repos[0]?.name;
    assert.equal(nameOf(dir), dir.slice(dir.lastIndexOf('/') + 1));
    assert.equal(nameOf(`${dir}/`), dir.slice(dir.lastIndexOf('/') + 1));
    assert.equal(nameOf('git@example.org:team/odd name!.git'), 'odd-name-');
    assert.equal(nameOf('https://someone:hunter2@example.org'), 'example.org');
    assert.equal(nameOf('https://example.org/%20/'), '20');
    assert.equal(nameOf(`https://example.org/${'x'.repeat(300)}`)?.length, 60);
    assert.equal(nameOf('/'), 'repository');
  } finally {
    rmSync(dir, { recursive: true });
  }
});

test('two repositories of the same name have a directory each, and one has the same wherever it is named from', () => {
  const dataOf = (repo: string): string => readConfig(settings('--repo', repo).config).dataDir;
  const one = dataOf('https://example.org/one/thing.git');
  assert.match(one, /^\/clone\/croft\/\.croft\/thing-[0-9a-f]{8}$/);
  assert.notEqual(dataOf('https://example.org/other/thing.git'), one);
  assert.equal(dataOf('https://someone:hunter2@example.org/one/thing.git'), one, 'a new password is no new repository');
  assert.equal(dataOf('.'), dataOf(process.cwd()));
});

test('npm run dev farms a sample, or what is named, and detaches when it is to start again', () => {
  const { scripts } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { scripts: { dev: string } };
  assert.match(scripts.dev, /^node --watch .*farm\/src\/main\.ts --dev$/);
  const { config, dev, sample } = settings('--dev');
  const { dataDir, repos, builders } = readConfig(config);
  assert.deepEqual([dev, dataDir, sample], [true, '/clone/croft/.croft/dev', '/clone/croft/.croft/dev/sample/tally.git']);
  assert.deepEqual([repos[0]?.name, repos[0]?.url], ['tally', sample]);
  assert.ok(builders.length > 1);
  const named = settings('--dev', '--repo', 'https://example.org/thing.git');
  assert.deepEqual([named.sample, readConfig(named.config).repos[0]?.name, named.dev], [undefined, 'thing', true]);
  assert.equal(settings().dev, false);
});

test('a path becomes absolute, an address stays as it is', () => {
  const urlOf = (repo: string): string | undefined => settings('--repo', repo).config.repos?.[0]?.url;
  assert.equal(urlOf('.'), process.cwd());
  assert.equal(urlOf('ssh://git@example.org/x'), 'ssh://git@example.org/x');
});

for (const [args, complaint] of [
  [['--repo', '/nowhere/at-all'], /--repo \/nowhere\/at-all: there is nothing at \/nowhere\/at-all/],
  [['--repo', 'ext::sh -c true'], /names a transport program/],
  [['--repo=--upload-pack=x'], /begins with a dash/],
  [['--port', 'http'], /--port http is not a whole number/],
  [['--depth', '-1'], /--depth/],
  [['--at-once', '1e9'], /--at-once 1e9 is not a whole number/],
  [['--reop', 'x'], /--reop/],
  [['positional'], /positional/],
] as const) {
  test(`${args.join(' ')} is refused, with what to do`, () => {
    assert.throws(
      () => settings(...args),
      (error: Error) => isCode(error, 'invalid') && complaint.test(error.message) && 'hint' in error && String(error.hint).length > 0,
    );
  });
}

test('help is asked for, not farmed', () => {
  assert.equal(readSettings(['--help', '--port', '1'], root), undefined);
  for (const option of ['--repo', '--branch', '--depth', '--at-once', '--port', '--data-dir', '--database'])
    assert.ok(usage.includes(option));
});
