import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CroftError } from '@croft/runtime/errors';
import { detectSteps, type Tree } from './detect-steps.ts';

function tree(files: Record<string, string>, modes: Record<string, string> = {}): Tree {
  return {
    mode: (path) => (path in files ? (modes[path] ?? '100644') : undefined),
    read: async (path) => files[path],
  };
}

async function commands(files: Record<string, string>, modes?: Record<string, string>): Promise<string[]> {
  const plan = await detectSteps(tree(files, modes));
  assert.notEqual(typeof plan, 'string');
  return typeof plan === 'string' ? [] : plan.steps.map((step) => step.argv.join(' '));
}

test('.ci/run wins over everything else and is run as it is', async () => {
  assert.deepEqual(await commands({ '.ci/run': '', 'package.json': '{"scripts":{"test":"x"}}' }, { '.ci/run': '100755' }), ['./.ci/run']);
  assert.deepEqual(await commands({ '.ci/run': '' }), ['sh .ci/run']);
});

test('a package with a lock is installed exactly and tested', async () => {
  const files = { 'package.json': '{"scripts":{"test":"x","build":"y"}}', 'package-lock.json': '{}' };
  assert.deepEqual(await commands(files), ['npm ci --prefer-offline', 'npm test']);
});

test('a package without tests is built', async () => {
  assert.deepEqual(await commands({ 'package.json': '{"scripts":{"build":"y"}}' }), ['npm install --no-audit --no-fund', 'npm run build']);
});

test('a package without scripts does not hide a Makefile', async () => {
  assert.deepEqual(await commands({ 'package.json': '{}', Makefile: 'all:\n\ttrue\ntest: all\n' }), ['make test']);
});

test('the test that npm init writes is none', async () => {
  const test = 'echo \\"Error: no test specified\\" && exit 1';
  const files = { 'package.json': `{"scripts":{"test":"${test}","build":"y"}}` };
  assert.deepEqual(await commands(files), ['npm install --no-audit --no-fund', 'npm run build']);
  assert.deepEqual(await commands({ 'package.json': `{"scripts":{"test":"${test}"}}`, 'go.mod': '' }), ['go build ./...', 'go test ./...']);
});

test('a target of a Makefile is one wherever it stands before the colon of a rule, and nothing else is', async () => {
  for (const rule of ['all test:', 'test all: lib', 'all \\\n  test:', 'test:: lib', 'test :', '  test:', 'test: ; true']) {
    assert.deepEqual(await commands({ Makefile: `CC = gcc\n${rule}\n\ttrue\n` }), ['make test'], rule);
  }
  const none = [
    '.PHONY: test',
    'test = a: b',
    'test := 1',
    'test ::= 1',
    'test :::= 1',
    '# test:',
    'all:\n\ttest: x',
    'all: test',
    'my-test:',
    'tests:',
  ];
  for (const text of none) assert.deepEqual(await commands({ Makefile: `${text}\n` }), ['make'], text);
});

test('Go, Rust and make are found by their files', async () => {
  assert.deepEqual(await commands({ 'go.mod': '' }), ['go build ./...', 'go test ./...']);
  assert.deepEqual(await commands({ 'Cargo.toml': '', 'Cargo.lock': '' }), ['cargo build --all-targets --locked', 'cargo test --locked']);
  assert.deepEqual(await commands({ Makefile: 'test := 1\nall:\n' }), ['make']);
});

test("an unreadable package.json is the commit's mistake and is named", async () => {
  await assert.rejects(
    detectSteps(tree({ 'package.json': '{' })),
    (error: unknown) => error instanceof CroftError && error.code === 'invalid',
  );
});

test('nothing to run is an answer, not a failure', async () => {
  assert.match(String(await detectSteps(tree({ 'README.md': '' }))), /nothing to run/);
});
