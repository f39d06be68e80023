import assert from 'node:assert/strict';
import { resolve } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Builder } from '@croft/domain/job';
import { CroftError } from '@croft/runtime/errors';
import { defineConfig, type BuilderInput, type ConfigInput } from './define-config.ts';
import type { FarmConfig } from './farm-config.ts';
import { parseConfig } from './parse-config.ts';
import { readConfig } from './read-config.ts';

const repo = { name: 'app', url: '/srv/app' };
const step = { name: 'test', argv: ['make', 'test'] };
const base = { dataDir: 'd', repos: [repo] };

const withBuilder = (builder: object): FarmConfig =>
  readConfig({ ...base, builders: [{ name: 'unit', repo: 'app', ...builder }] } as ConfigInput);
const withStep = (more: object): FarmConfig => withBuilder({ steps: [{ ...step, ...more }] });
const builders = (...inputs: BuilderInput[]): readonly Builder[] => readConfig({ ...base, builders: inputs }).builders;

/** The mistakes that are told, without the first line and the file. */
function mistakesOf(read: () => unknown): string[] {
  try {
    read();
  } catch (error) {
    assert.ok(error instanceof CroftError && error.code === 'invalid', String(error));
    return error.message
      .split('\n')
      .slice(1)
      .map((line) => line.trim().replace(/^settings: /, ''));
  }
  return [];
}
const mistakes = (input: object): string[] => mistakesOf(() => readConfig({ ...base, ...input } as ConfigInput));

test('a data directory is enough, and every default runs on a laptop', () => {
  const config = readConfig({ dataDir: 'data' });
  assert.equal(config.dataDir, resolve('data'));
  assert.deepEqual([config.host, config.port, config.durability, config.anonymous], ['127.0.0.1', 8119, 'power', 'none']);
  assert.deepEqual(withBuilder({}).builders[0]?.steps, 'detect');
});

test('every mistake is told at once, those of schemas and those of names together, and none makes another', () => {
  const found = mistakes({
    port: 99_999,
    repos: [repo, repo],
    builders: [
      { name: 'no spaces', repo: 'app' },
      { name: 'lint', repo: 'ap' },
    ],
    pools: [{ kind: 'local', size: -1 }],
    policies: [{ allow: 'yes' }, { allow: true, builders: 'lnt' }],
    colour: 'red',
  });
  assert.deepEqual(found, [
    'port: is more than 65535',
    'colour: there is no such setting',
    'pools.0.size: is less than 0',
    'policies.0.allow: "yes" is not true or false',
    'builders.0.name: builder name "no spaces" is not 1 to 100 letters, digits, dots, dashes or underscores, beginning with a letter or digit',
    'builders.1.repo: there is no repository "ap"; there are: app, app',
    'policies.1.builders: "lnt" can never match: there is no such builder; did you mean "lint"?',
    'repos.1.name: "app" is there twice, first as repos.0',
  ]);
});

test('names are there once, and what is named is there', () => {
  assert.deepEqual(mistakes({ repos: [repo, repo] }), ['repos.1.name: "app" is there twice, first as repos.0']);
  assert.deepEqual(
    mistakesOf(() => withBuilder({ repo: 'apt' })),
    ['builders.0.repo: there is no repository "apt"; there are: app; did you mean "app"?'],
  );
  assert.deepEqual(
    mistakesOf(() => withBuilder({ repo: undefined })),
    ['builders.0.repo: is missing: which repository does it build?'],
  );
  assert.deepEqual(
    mistakesOf(() => withBuilder({ steps: [step, step] })),
    ['builders.0.steps: two steps have the same name'],
  );
  assert.deepEqual(
    mistakesOf(() => withBuilder({ secrets: ['TOKEN'] })),
    ['builders.0.secrets.TOKEN: there is no secret "TOKEN"; there is none'],
  );
  assert.deepEqual(mistakes({ databaseUrl: { secret: 'db' } }), ['databaseUrl.secret: there is no secret "db"']);
  assert.deepEqual(mistakes({ dependents: [{ toolchain: 'app', repos: ['app'] }] }), ['dependents.0.repos.0: is its own toolchain']);
  assert.deepEqual(mistakes({ secrets: [{ name: 'a', env: 'A', file: '/a' }] }), ['secrets.0: needs exactly one of env and file']);
});

test('a host type that no pool has machines of is told, once', () => {
  const input = { hostTypes: [{ name: 'arm' }], builders: ['a', 'b'].map((name) => ({ name, repo: 'app', hostType: 'arm' })) };
  assert.deepEqual(mistakes({ ...input, pools: [{ kind: 'local' }] }), [
    'builders.0.hostType: no pool has machines of the host type "arm"',
  ]);
  assert.deepEqual(mistakes({ ...input, pools: [{ kind: 'local', hostType: 'arm' }] }), []);
});

test('a rule that can never decide is told with the one before it', () => {
  const policies = [
    { allow: false, repos: 'app', branches: 'wip/**' },
    { allow: true, branches: 'wip/**', triggers: ['asked'] },
    { allow: true, repos: ['app'], branches: 'wip/**' },
  ];
  assert.deepEqual(mistakes({ policies }), ['policies.2: can never decide: policies.0 matches everything that it does']);
});

test('a step stays inside of the tree', () => {
  for (const dir of ['.', 'a', 'a/b', '..a', 'a..', 'a/..b', './a'])
    assert.deepEqual(
      mistakesOf(() => withStep({ dir })),
      [],
      dir,
    );
  for (const dir of ['..', '../a', 'a/..', 'a/../../b', '/a', ''])
    assert.deepEqual(mistakesOf(() => withStep({ dir })).length, 1, JSON.stringify(dir));
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
    mistakesOf(() => withStep({ argv: ['sh', '-c', ''], env: { NODE_OPTIONS: '' }, limitMs: '10m' })),
    [],
  );
});

test('services that would be found by the same variables, and artifacts called as their logs are, are told', () => {
  const argv = ['serve'];
  const services = ['my-db', 'my_db', 'other'].map((name) => ({ name, argv }));
  const artifacts = ['service-other', 'service-none'].map((name) => ({ name, paths: 'out' }));
  assert.deepEqual(mistakes({ builders: [{ name: 'unit', repo: 'app', services, artifacts }] }), [
    'builders.0.services.1.name: "my_db" would be found by SERVICE_MY_DB_PORT, as "my-db" is',
    'builders.0.artifacts.0.name: "service-other" is what the log of the service "other" is called',
  ]);
});

test('a service that is an image is refused, since nothing runs it yet', () => {
  assert.match(
    mistakesOf(() => withBuilder({ services: [{ name: 'db', image: 'postgres:18' }] })).join('\n'),
    /services\.0\.image: no kind of pool runs containers beside the steps yet; give argv/,
  );
});

test('isolation that nobody can give is refused instead of being forgotten', () => {
  for (const builder of [{ isolation: 'vm' }, { trust: 'untrusted' }, { isolation: 'container', trust: 'untrusted' }]) {
    assert.match(mistakesOf(() => withBuilder(builder)).join('\n'), /no pool can isolate|no kind of pool has/);
  }
});

test('nothing can be changed afterwards, and secrets do not print', () => {
  const config = readConfig({ ...base, databaseUrl: 'postgres://croft:hunter2@db/croft' });
  assert.throws(() => Object.assign(config, { port: 1 }), TypeError);
  assert.throws(() => (config.repos as unknown[]).push(repo), TypeError);
  assert.doesNotMatch(JSON.stringify(config), /hunter2/);
  assert.equal(config.databaseUrl?.reveal(), 'postgres://croft:hunter2@db/croft');
});

test('an environment says what is different there, and which builders run', () => {
  const input = defineConfig({
    ...base,
    port: 1,
    environments: { staging: { dataDir: '/staging', port: 2, onlyBuilders: ['unit-*', '!*-race'] }, production: { host: '0.0.0.0' } },
    builders: ['unit-a', 'unit-race', 'lint'].map((name) => ({ name, repo: 'app' })),
  });
  const of = (environment: 'production' | 'staging' | 'local') => {
    const { dataDir, port, host, builders: all } = readConfig(input, { environment });
    return [dataDir, port, host, all.length];
  };
  assert.deepEqual(
    [of('local'), of('staging'), of('production')],
    [
      [resolve('d'), 1, '127.0.0.1', 3],
      ['/staging', 2, '127.0.0.1', 1],
      [resolve('d'), 1, '0.0.0.0', 3],
    ],
  );
  assert.deepEqual(mistakes({ environments: { staging: { port: 'x', prot: 1 }, prod: {} } }), [
    'environments.staging.port: "x" is not a number',
    'environments.staging.prot: there is no such setting; did you mean "port"?',
    'environments.prod: there is no such setting',
  ]);
});

test('a repository is looked at every 15 s, as often as it says, or never', () => {
  const pollMs = (given?: string | number) => readConfig({ dataDir: 'd', repos: [{ ...repo, pollMs: given }] }).repos[0]?.pollMs;
  assert.deepEqual([pollMs(), pollMs('1.5h'), pollMs(20), pollMs('never')], [15_000, 5_400_000, 20, undefined]);
});

test('what a host type says comes before what a builder says', () => {
  const config = readConfig({
    ...base,
    hostTypes: [{ name: 'arm', labels: ['slow'], env: { A: '1', B: '1' } }],
    builders: [{ name: 'unit', repo: 'app', hostType: 'arm', env: { B: '2' }, needs: { labels: ['slow'] } }],
    pools: [{ kind: 'local', hostType: 'arm', labels: ['desk'] }],
  });
  assert.deepEqual(config.builders[0]?.env, { A: '1', B: '2' });
  assert.deepEqual(config.builders[0]?.needs.labels, ['arm', 'slow']);
  assert.deepEqual(config.pools[0]?.labels, ['desk', 'slow', 'arm']);
});

const matrix: BuilderInput = {
  name: 'unit',
  repo: 'app',
  env: { CI: 'yes' },
  matrix: {
    axes: {
      os: { linux: {}, mac: { env: { CC: 'clang' }, knownIssues: ['https://example.org/1'] } },
      node: [20, 22],
      variant: ['plain', 'race'],
    },
    except: [{ os: 'mac', variant: 'race' }],
  },
  steps: [{ name: 'test', argv: ['make', 'NODE={matrix.node}', 'test'], env: { V: '{matrix.variant}' } }],
};

test('a matrix makes one builder of each combination that is not left out', () => {
  const made = builders(matrix);
  assert.deepEqual(
    made.map(({ name }) => name),
    ['unit-linux-20-plain', 'unit-linux-20-race', 'unit-linux-22-plain', 'unit-linux-22-race', 'unit-mac-20-plain', 'unit-mac-22-plain'],
  );
  const last = made.at(-1);
  assert.deepEqual(
    [last?.env, last?.variant, last?.knownIssues.length],
    [{ CI: 'yes', CC: 'clang' }, { os: 'mac', node: '22', variant: 'plain' }, 1],
  );
  assert.ok(last?.steps !== 'detect' && last?.steps[0]?.argv[1] === 'NODE=22' && last.steps[0].env['V'] === 'plain');
});

test('a new value changes no name that there was', () => {
  const value = fc.stringMatching(/^[a-z0-9]{1,5}$/);
  const axes = fc.record({
    os: fc.uniqueArray(value, { minLength: 1, maxLength: 3 }),
    node: fc.uniqueArray(value, { minLength: 1, maxLength: 3 }),
  });
  fc.assert(
    fc.property(axes, value, (one, added) => {
      const names = (of: typeof one): string[] => builders({ name: 'u', repo: 'app', matrix: { axes: of } }).map(({ name }) => name);
      const before = names(one);
      const after = new Set(names({ ...one, node: [...one.node, ...(one.node.includes(added) ? [] : [added])] }));
      assert.ok(before.every((name) => after.has(name)));
    }),
    { numRuns: 50 },
  );
});

test('mistakes in a matrix are told where it stands', () => {
  const of = (more: object): string[] => mistakes({ builders: [{ ...matrix, ...more }] });
  assert.deepEqual(
    of({ name: 'u-{matrix.so}' }),
    ['builders.0.name: there is no axis "so" for {matrix.so}'].concat(of({ name: 'u-{matrix.so}' }).slice(1)),
  );
  assert.deepEqual(of({ matrix: { axes: { os: ['linux'] }, except: [{ so: 'linux' }, { os: 'linus' }] } }).slice(0, 2), [
    'builders.0.matrix.except.0.so: there is no axis "so"',
    'builders.0.matrix.except.1.os: "linus" is not on the axis os; did you mean "linux"?',
  ]);
  assert.deepEqual(of({ matrix: { axes: { os: ['linux'] }, except: [{ os: 'linux' }] }, steps: 'detect' }), [
    'builders.0.matrix: makes no builder: every combination is left out',
  ]);
  assert.match(of({ matrix: { axes: { n: Array.from({ length: 2_000 }, (_, n) => n) } } })[0] ?? '', /makes 2000 builders, at most 1000/);
  assert.match(
    of({ name: 'u-{matrix.os}', matrix: { axes: { os: ['a'], node: [1, 2] } }, steps: 'detect' })[0] ?? '',
    /"u-a" is there twice/,
  );
});

test('whatever is written gives a configuration or mistakes, and never a failure', () => {
  const keys = fc.constantFrom(
    'dataDir',
    'repos',
    'builders',
    'pools',
    'policies',
    'matrix',
    'axes',
    'name',
    'steps',
    'environments',
    'local',
    'secrets',
    'x',
    '__proto__',
  );
  const anything = fc.letrec((tie) => ({
    value: fc.oneof(
      { maxDepth: 5 },
      fc.constantFrom('app', '', 'detect', '{matrix.os}', 3, -1, true, null),
      fc.array(tie('value'), { maxLength: 3 }),
      fc.dictionary(keys, tie('value'), { maxKeys: 4 }),
    ),
  })).value;
  fc.assert(
    fc.property(anything, (input) => {
      const parsed = parseConfig(input, { environment: 'local', dir: '/' });
      if ('issues' in parsed)
        assert.ok(parsed.issues.length > 0 && parsed.issues.every(({ message }) => message !== '' && message !== 'Invalid input'));
    }),
    { numRuns: 1_000 },
  );
});
