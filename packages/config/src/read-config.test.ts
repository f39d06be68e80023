import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { isCode } from '@croft/runtime/errors';
import { mistakeText } from './mistakes.ts';
import { loadConfigFile, readConfigFile } from './read-config.ts';

interface Place extends Disposable {
  readonly dir: string;
  write(name: string, text: string): string;
}

function place(): Place {
  const dir = mkdtempSync(join(tmpdir(), 'croft-config-'));
  return {
    dir,
    write(name, text) {
      writeFileSync(join(dir, name), text);
      return join(dir, name);
    },
    [Symbol.dispose]: () => rmSync(dir, { recursive: true }),
  };
}

/** Each mistake as it is printed, without the directory. */
async function mistakes(path: string): Promise<string[]> {
  const loaded = await loadConfigFile(path);
  return loaded.kind === 'valid'
    ? []
    : loaded.mistakes.map((mistake) => mistakeText({ ...mistake, file: mistake.file.replace(/.*\//, '') }));
}

const yaml = `
dataDir: data
repos:
  - name: app
    url: ./app
    branches: [main, release/*]
    pollMs: 1m
hostTypes:
  - name: linux-x64
    labels: [linux]
builders:
  - name: unit
    repo: app
    hostType: linux-x64
    steps:
      - { name: test, role: run-tests, argv: [make, test], limitMs: 10m }
pools:
  - { kind: local, size: 2, hostType: linux-x64 }
`;

const json = `{
  // where everything lies
  "dataDir": "data",
  "repos": [{ "name": "app", "url": "./app", "branches": ["main", "release/*"], "pollMs": "1m" }],
  "hostTypes": [{ "name": "linux-x64", "labels": ["linux"] }],
  /* one builder */
  "builders": [
    { "name": "unit", "repo": "app", "hostType": "linux-x64",
      "steps": [{ "name": "test", "role": "run-tests", "argv": ["make", "test"], "limitMs": 600000 }] },
  ],
  "pools": [{ "kind": "local", "size": 2, "hostType": "linux-x64" }],
}`;

const program = `
import { defineConfig, type BuilderInput } from '@croft/config/define-config';
import { hostTypes } from './hosts.ts';
const repo: string = 'app';
const builders: BuilderInput[] = ['unit'].map((name) => ({
  name, repo, hostType: 'linux-x64',
  steps: [{ name: 'test', role: 'run-tests', argv: ['make', 'test'], limitMs: 10 * 60_000 }],
}));
export default defineConfig({
  dataDir: 'data',
  repos: [{ name: repo, url: './app', branches: ['main', 'release/*'], pollMs: '1m' }],
  hostTypes,
  builders,
  pools: [{ kind: 'local', size: 2, hostType: 'linux-x64' }],
});
`;

test('the same configuration comes from YAML, JSON and a program, with paths relative to the file', async () => {
  using at = place();
  at.write('hosts.ts', `export const hostTypes = [{ name: 'linux-x64', labels: ['linux'] }];`);
  const read = await Promise.all(
    [at.write('a.yaml', yaml), at.write('a.json', json), at.write('croft.config.ts', program)].map((path) => readConfigFile(path)),
  );
  const [first] = read;
  for (const other of read) assert.deepEqual(other, first);
  assert.equal(first?.dataDir, join(at.dir, 'data'));
  assert.equal(first?.repos[0]?.url, join(at.dir, 'app'));
  assert.equal(first?.repos[0]?.pollMs, 60_000);
  assert.deepEqual(first?.builders[0]?.needs, { labels: ['linux-x64'] });
  assert.ok(first?.pools[0]?.labels.includes('linux') && first.pools[0].labels.includes('linux-x64'));
  assert.throws(() => (first.repos as unknown[]).push(1), TypeError);
});

test('every mistake is told at once, with its line and the name that was probably meant: YAML', async () => {
  using at = place();
  const bad = yaml
    .replace('dataDir: data', 'dataDir: data\nlogLevl: info')
    .replace('pollMs: 1m', 'pollMs: soon')
    .replace('hostType: linux-x64\n    steps', 'hostType: linux-x46\n    steps')
    .replace('role: run-tests', 'role: run-test')
    .replace('kind: local, size: 2', 'kind: local, size: many');
  assert.deepEqual(await mistakes(at.write('a.yaml', bad)), [
    'a.yaml:3: logLevl: there is no such setting; did you mean "logLevel"?',
    'a.yaml:8: repos.0.pollMs: "soon" is not a number of ms, or a text like 500ms, 15s, 10m, 2h or 90d',
    'a.yaml:17: builders.0.steps.0.role: "run-test" is not one of setup, build, list-tests, run-tests, step; did you mean "run-tests"?',
    'a.yaml:19: pools.0.size: "many" is not a number',
  ]);
  assert.deepEqual(await mistakes(at.write('a.yaml', bad.replace('run-test,', 'run-tests,'))), [
    'a.yaml:3: logLevl: there is no such setting; did you mean "logLevel"?',
    'a.yaml:8: repos.0.pollMs: "soon" is not a number of ms, or a text like 500ms, 15s, 10m, 2h or 90d',
    `a.yaml:15: builders.0.hostType: there is no host type "linux-x46"; there are: linux-x64, host-${process.platform}-${process.arch}, host-container-${process.arch}; did you mean "linux-x64"?`,
    'a.yaml:19: pools.0.size: "many" is not a number',
  ]);
});

test('the same of JSON and of a program, also where lists are made by code', async () => {
  using at = place();
  const inJson = json.replace('"repo": "app"', '"repo": "ap"').replace('"size": 2', '"size": -2');
  assert.deepEqual(await mistakes(at.write('a.json', inJson)), [
    'a.json:8: builders.0.repo: there is no repository "ap"; there are: app',
    'a.json:11: pools.0.size: is less than 0',
  ]);
  at.write('hosts.ts', `export const hostTypes = [{ name: 'linux-x64', labels: ['linux'] }];`);
  const inProgram = program.replace(`hostType: 'linux-x64',\n  steps`, `hostType: 'linux-x46',\n  steps`).replace('size: 2', 'sise: 2');
  const found = await mistakes(at.write('croft.config.ts', inProgram));
  assert.equal(found.length, 2);
  assert.match(
    found[0] ?? '',
    /^croft\.config\.ts:6: builders\.0\.hostType: there is no host type "linux-x46".*did you mean "linux-x64"\?$/,
  );
  assert.equal(found[1], 'croft.config.ts:14: pools.0.sise: there is no such setting; did you mean "size"?');
});

test('what is not JSON, not YAML or not a program is told with its line', async () => {
  using at = place();
  assert.match((await mistakes(at.write('a.json', '{\n  "a": 1,\n  "b" 2\n}')))[0] ?? '', /^a\.json:3: is not JSON: /);
  assert.match((await mistakes(at.write('a.yaml', 'a: 1\nb: [1, 2\nc: 3\n')))[0] ?? '', /^a\.yaml:\d: is not YAML: /);
  assert.match(
    (await mistakes(at.write('twice.yaml', 'a: 1\nb: 2\na: 3\n')))[0] ?? '',
    /^twice\.yaml:3: is not YAML: Map keys must be unique/,
  );
  assert.match(
    (await mistakes(at.write('a.ts', '\n\nthrow new Error("no disk");\nexport default {};')))[0] ?? '',
    /^a\.ts:3: could not be evaluated: no disk$/,
  );
  assert.match((await mistakes(at.write('b.ts', 'export default {\n  a: 1 1\n};')))[0] ?? '', /^b\.ts:2: could not be evaluated: /);
  at.write('inner.ts', 'export const a = 1;\nexport const b = = 2;\n');
  assert.match(
    (await mistakes(at.write('outer.ts', `import './inner.ts';\nexport default {};`)))[0] ?? '',
    /^inner\.ts:2: could not be evaluated: /,
  );
  assert.match((await mistakes(at.write('c.ts', 'export const a = 1;')))[0] ?? '', /has no default export/);
  assert.deepEqual(await mistakes(at.write('list.json', '[]')), ['list.json:1: a list is not a group of settings']);
});

test('only plain data comes out of a program', async () => {
  using at = place();
  const text = `const around = {}; around.self = around;
export default {
  dataDir: 'd',
  a: () => 1,
  b: new Date(0),
  c: [1n],
  d: around,
  e: Number.NaN,
};`;
  assert.deepEqual(await mistakes(at.write('a.mjs', text)), [
    'a.mjs:4: a: is a function; a configuration holds plain data only',
    'a.mjs:5: b: is a Date; a configuration holds plain data only',
    'a.mjs:6: c.0: is a bigint; a configuration holds plain data only',
    'a.mjs:7: d.self: is inside of itself; a configuration holds plain data only',
    'a.mjs:8: e: is NaN; a configuration holds plain data only',
  ]);
});

test('a program sees no environment, no file elsewhere, no process and no network, and ends by itself', async () => {
  using at = place();
  using other = place();
  const secret = other.write('secret', 'hunter2');
  const tries = [
    `import { readFileSync } from 'node:fs'; readFileSync(${JSON.stringify(secret)});`,
    `import { spawnSync } from 'node:child_process'; spawnSync('true');`,
    `import { writeFileSync } from 'node:fs'; writeFileSync(new URL('x', import.meta.url), '');`,
    `import { Worker } from 'node:worker_threads'; new Worker('1', { eval: true });`,
    `import { connect } from 'node:net'; await new Promise((_, no) => connect(9, '127.0.0.1').on('error', no));`,
  ];
  for (const [index, text] of tries.entries()) {
    const found = await mistakes(at.write(`${index}.mjs`, `${text}\nexport default {};`));
    assert.match(found[0] ?? '', /could not be evaluated: .*(restricted|denied|ERR_ACCESS_DENIED)/i, text);
  }
  const environment = await loadConfigFile(
    at.write('env.mjs', `export default { dataDir: 'd', logFile: 'x' + Object.keys(process.env).join() };`),
  );
  assert.ok(environment.kind === 'valid' && environment.config.logFile === join(at.dir, 'x'));
  const memory = await mistakes(at.write('memory.mjs', 'const all = []; for (;;) all.push(new Array(4e6).fill(0.5));\nexport default {};'));
  assert.match(memory[0] ?? '', /it needed more than 256 MB/);
  const left = await mistakes(at.write('left.mjs', `setInterval(() => {}, 1000); console.log('hello');\nexport default { dataDir: 'd' };`));
  assert.deepEqual(left, []);
});

test('a program that does not end is ended after 5 s', async () => {
  using at = place();
  assert.deepEqual(await mistakes(at.write('a.mjs', 'for (;;);')), ['a.mjs: took longer than 5 s to evaluate']);
});

test('a file that is not there or of another kind is refused with what to do', async () => {
  using at = place();
  await assert.rejects(
    readConfigFile(join(at.dir, 'a.json')),
    (error) => isCode(error, 'invalid') && error.message.includes('a.json') && error.hint !== undefined,
  );
  await assert.rejects(readConfigFile(at.write('a.toml', '')), (error) => isCode(error, 'invalid') && /\.yaml/.test(error.hint ?? ''));
});
