import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { runWith, type Ran } from './testing.ts';

const valid = `
dataDir: data
environments: { staging: { onlyBuilders: lint } }
repos:
  - { name: app, url: ./app, branches: [main, release/*], depth: 5, pollMs: never }
  - { name: lib, url: ./lib }
builders:
  - { name: unit, repos: [app, lib] }
  - { name: lint, repo: app }
  - { name: old, repo: lib, branches: [next] }
  - { name: bench, repo: app, branches: [main] }
pools: [{ kind: local, size: 3 }]
policies:
  - { allow: true, triggers: [asked] }
  - { allow: false, builders: lint, branches: release/*, why: releases were linted before }
`;

async function inDirectory(
  files: Readonly<Record<string, string>>,
  work: (check: (...args: string[]) => Promise<Ran>) => Promise<void>,
): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'croft-check-'));
  try {
    for (const [name, text] of Object.entries(files)) writeFileSync(join(dir, name), text);
    await work((...args) => runWith(['config', 'check', ...args], { cwd: dir }));
  } finally {
    rmSync(dir, { recursive: true });
  }
}

test('croft config check says what would be built and why', () =>
  inDirectory({ 'croft.config.yaml': valid }, async (check) => {
    const ran = await check();
    assert.equal(
      ran.stdout,
      `app: the newest 5 commits of each branch, looked at when told to
  main
    unit, lint, bench
      built when it is on the branch, since no rule matches
      built when it is proposed, since no rule matches
      built when it is asked for, by policies.0
  release/*
    unit
      built when it is on the branch, since no rule matches
      built when it is proposed, since no rule matches
      built when it is asked for, by policies.0
    lint
      not built when it is on the branch, by policies.1: releases were linted before
      not built when it is proposed, by policies.1: releases were linted before
      built when it is asked for, by policies.0
lib: the newest 30 commits of each branch, looked at every 15 s
  the branch that its HEAD is on
    unit, old
      built when it is on the branch, since no rule matches
      built when it is proposed, since no rule matches
      built when it is asked for, by policies.0
4 builders, 2 repositories, 3 builds at once
`,
    );
    assert.match(ran.stderr, /^croft\.config\.yaml: valid for local, hash [0-9a-f]{16}\n$/);
    assert.equal(ran.status, 0);
  }));

test('one branch, one environment, and JSON for programs', () =>
  inDirectory({ 'farm.yaml': valid }, async (check) => {
    const ran = await check('farm.yaml', '--env', 'staging', '--branch', 'release/7', '--json');
    const { valid: isValid, environment, repos, idle } = JSON.parse(ran.stdout);
    assert.deepEqual([isValid, environment, idle, ran.status, ran.stderr], [true, 'staging', [], 0, '']);
    assert.deepEqual(repos[0].branches[0].groups[0].verdicts[0], {
      trigger: 'branch',
      allowed: false,
      rule: 'policies.1',
      why: 'releases were linted before',
    });
    assert.match((await check('farm.yaml', '--branch', 'next')).stdout, /lib: .*\n {2}next\n {4}unit, old\n/);
    assert.match((await check('farm.yaml', '--branch', 'next')).stdout, /never build anything: lint, bench\n/);
  }));

test('what is built with a toolchain is told for each of its branches, by the rules about that', () => {
  const text = `
dataDir: data
repos: [{ name: app, url: ./app, branches: main }, { name: compiler, url: ./compiler }]
builders: [{ name: unit, repos: [app, compiler] }]
dependents: [{ toolchain: compiler, repos: [app], branches: [main, next] }]
pools: [{ kind: local }]
policies: [{ allow: false, toolchainBranches: next, why: not yet }]
`;
  return inDirectory({ 'croft.config.yaml': text }, async (check) => {
    const { stdout } = await check();
    assert.match(stdout, /^ {2}main, with compiler, main\n {4}unit\n {6}built when it is on the branch/m);
    assert.match(stdout, /^ {2}main, with compiler, next\n {4}unit\n {6}not built when it is on the branch, by policies\.0: not yet/m);
    assert.match(stdout, /^compiler: .*\n {2}the branch that its HEAD is on\n {4}unit\n {6}built when/m);
  });
});

test('mistakes are told on stdout, one a line, with status 1; a file that is not there is wrong use', () =>
  inDirectory({ 'a.yaml': `${valid}\nprot: 1\n`, 'b.json': '{ "dataDir": "\\u001b[2J", "x\\u001b": 1 }' }, async (check) => {
    const ran = await check('a.yaml');
    assert.deepEqual(
      [ran.stdout, ran.stderr, ran.status],
      ['a.yaml:17: prot: there is no such setting; did you mean "port"?\n', 'a.yaml: 1 mistake\n', 1],
    );
    const { mistakes } = JSON.parse((await check('a.yaml', '--json')).stdout);
    assert.deepEqual(mistakes, [{ file: 'a.yaml', line: 17, setting: 'prot', message: 'there is no such setting', nearest: 'port' }]);
    assert.doesNotMatch((await check('b.json')).stdout, /\u001b/);
    const none = await check();
    assert.deepEqual([none.status, none.stdout], [2, '']);
    assert.match(none.stderr, /there is no configuration in .*croft\.config\.ts/s);
    assert.equal((await check('nowhere.yaml')).status, 2);
    assert.equal((await check('a.yaml', '--env', 'prod')).status, 2);
  }));
