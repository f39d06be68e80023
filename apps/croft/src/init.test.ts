import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, mkdirSync, readdirSync, readFileSync, rmSync, existsSync, realpathSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { loadConfigFile } from '@croft/config/read-config';
import { createRepo, type Repo } from '@croft/forge/testing';
import { MINUTE } from '@croft/runtime/clock';
import { programText, yamlText, type Proposal } from './config-text.ts';
import { runWith } from './testing.ts';

async function inRepo(files: Readonly<Record<string, string>>, work: (repo: Repo) => Promise<void>): Promise<void> {
  const dir = realpathSync(mkdtempSync(join(tmpdir(), 'croft-init-test-')));
  try {
    const repo = createRepo(join(dir, 'demo'));
    for (const [name, text] of Object.entries(files)) repo.write(name, text);
    await work(repo);
  } finally {
    rmSync(dir, { recursive: true });
  }
}

const env = { PATH: process.env['PATH'] ?? '' };
const node = { 'package.json': '{"scripts":{"test":"x"}}', 'package-lock.json': '{}' };

test('croft init writes what it found and why, at the root of the repository, and it loads again', () =>
  inRepo(node, async ({ dir, git }) => {
    git('remote', 'add', 'origin', 'https://me:secret@git.example.com/team/thing.git');
    mkdirSync(join(dir, 'deep'));
    const ran = await runWith(['init'], { cwd: join(dir, 'deep'), env });
    assert.equal(ran.status, 0, ran.stderr);
    assert.equal(
      ran.stdout,
      'package.json with package-lock.json has the script "test", so the builder "ci" runs:\n  install (setup): npm ci --prefer-offline\n  test (run-tests): npm test\n',
    );
    assert.equal(ran.stderr, '../croft.config.ts is written. Next: croft config check; croft run --local ci\n');
    const text = readFileSync(join(dir, 'croft.config.ts'), 'utf8');
    assert.match(text, /Found in the working tree: package\.json with package-lock\.json has the script "test"\./);
    assert.doesNotMatch(text, /secret/);
    const loaded = await loadConfigFile(join(dir, 'croft.config.ts'));
    assert.ok(loaded.kind === 'valid', JSON.stringify(loaded));
    assert.deepEqual(
      loaded.config.repos.map(({ name, url, branches }) => [name, url, branches]),
      [['thing', dir, ['main']]],
    );
    assert.deepEqual(
      loaded.config.builders.map(({ name, steps }) => [name, steps === 'detect' || steps.map((step) => [step.name, step.limitMs])]),
      [
        [
          'ci',
          [
            ['install', 20 * MINUTE],
            ['test', 60 * MINUTE],
          ],
        ],
      ],
    );
  }));

test('what else the tree has is named, and not run', () =>
  inRepo({ ...node, 'go.mod': '', Makefile: 'all:\n' }, async ({ dir }) => {
    const ran = await runWith(['init'], { cwd: dir, env });
    assert.match(
      ran.stdout,
      /npm test\nnot run, since that comes first: the tree has go\.mod\nnot run, since that comes first: Makefile has neither/,
    );
    assert.match(
      readFileSync(join(dir, 'croft.config.ts'), 'utf8'),
      /Found too, and not run: the tree has go\.mod\..*\n.*\/\/ {3}go build \.\/\.\.\./,
    );
  }));

test('as YAML it says the same', () =>
  inRepo({ ...node, Gemfile: '', 'spec/a_spec.rb': '' }, async ({ dir }) => {
    assert.equal((await runWith(['init'], { cwd: dir, env })).status, 0);
    const program = await loadConfigFile(join(dir, 'croft.config.ts'));
    rmSync(join(dir, 'croft.config.ts'));
    assert.equal((await runWith(['init', '--yaml'], { cwd: dir, env })).status, 0);
    const yaml = await loadConfigFile(join(dir, 'croft.config.yaml'));
    assert.ok(yaml.kind === 'valid' && program.kind === 'valid');
    assert.deepEqual(yaml.config, program.config);
  }));

test('one that is there is written over with --force alone', () =>
  inRepo({ ...node, 'croft.config.yaml': 'mine\n' }, async ({ dir }) => {
    const refused = await runWith(['init', '--yaml'], { cwd: dir, env });
    assert.deepEqual([refused.status, readFileSync(join(dir, 'croft.config.yaml'), 'utf8')], [2, 'mine\n']);
    assert.match(refused.stderr, /there is a configuration already: .*croft\.config\.yaml\n.*--force/);
    assert.equal((await runWith(['init'], { cwd: dir, env })).status, 2);
    assert.equal(existsSync(join(dir, 'croft.config.ts')), false);
    assert.equal((await runWith(['init', '--yaml', '--force'], { cwd: dir, env })).status, 0);
    assert.equal((await loadConfigFile(join(dir, 'croft.config.yaml'))).kind, 'valid');
    assert.match((await runWith(['init', '--force'], { cwd: dir, env })).stderr, /beside it there is still: croft\.config\.yaml/);
  }));

test('where nothing to run is found it says so, in the file too, and steps are found in each commit', () =>
  inRepo({ 'README.md': '' }, async ({ dir }) => {
    const ran = await runWith(['init', '--json'], { cwd: dir, env });
    const { nothing, file } = JSON.parse(ran.stdout);
    assert.match(nothing, /^nothing to run was found at the root: .*add an executable \.ci\/run/);
    assert.match(readFileSync(file, 'utf8'), /nothing to run was found at the root/);
    const loaded = await loadConfigFile(file);
    assert.ok(loaded.kind === 'valid' && loaded.config.builders[0]?.steps === 'detect');
  }));

test('where there is no repository it is wrong use', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'croft-init-test-'));
  try {
    const ran = await runWith(['init'], { cwd: dir, env });
    assert.equal(ran.status, 2);
    assert.match(ran.stderr, /is in no working tree of git.*\nGo into a clone/s);
  } finally {
    rmSync(dir, { recursive: true });
  }
});

test('whatever the names and reasons hold, both texts are read as what was meant', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'croft-init-test-'));
  const odd = fc.oneof(fc.string({ unit: 'binary' }), fc.constantFrom('*/', "'", '\\', '#', ': ', '\u2028', '${x}', '`', '"', '\n'));
  const text = odd.map((one) => one.replaceAll('\0', '').replaceAll(/[\uD800-\uDFFF]/g, '') || 'x');
  const step = fc.record({ argv: fc.array(text, { minLength: 1, maxLength: 3 }), value: text, dir: fc.constantFrom('.', "it's") });
  const proposals = fc.record({
    branch: fc.option(fc.constantFrom('main', "o'b"), { nil: undefined }),
    origin: fc.option(text, { nil: undefined }),
    reason: text,
    step,
  });
  try {
    await fc.assert(
      fc.asyncProperty(proposals, async ({ branch, origin, reason, step: { argv, value, dir: stepDir } }) => {
        const steps = [{ name: 'a', role: 'build' as const, argv, env: { A: value }, dir: stepDir, limitMs: 60 * MINUTE }];
        const proposal: Proposal = { repo: 'r', branch, origin, found: { steps, reason }, others: [{ steps, reason }] };
        for (const [name, written] of Object.entries({ 'a.ts': programText(proposal), 'a.yaml': yamlText(proposal) })) {
          writeFileSync(join(dir, name), written);
          const loaded = await loadConfigFile(join(dir, name));
          assert.ok(loaded.kind === 'valid', `${written}\n${JSON.stringify(loaded)}`);
          assert.deepEqual(
            loaded.config.builders[0]?.steps,
            steps.map((one) => ({ ...one, secrets: {} })),
          );
        }
      }),
      { numRuns: 15 },
    );
  } finally {
    rmSync(dir, { recursive: true });
  }
});

test('an interrupted croft init leaves nothing behind', () =>
  inRepo(node, async ({ dir }) => {
    const stage = mkdtempSync(join(tmpdir(), 'croft-init-test-'));
    try {
      const temp = join(stage, 'temp');
      mkdirSync(temp);
      execFileSync('mkfifo', [join(stage, 'hangs')]);
      writeFileSync(join(stage, 'git'), `#!/bin/sh\necho > ${stage}/hangs; exec sleep 60\n`, { mode: 0o755 });
      const main = join(import.meta.dirname, 'main.ts');
      const child = spawn(process.execPath, [main, 'init'], { cwd: dir, env: { PATH: `${stage}:${env.PATH}`, TMPDIR: temp } });
      await readFile(join(stage, 'hangs'));
      assert.notDeepEqual(readdirSync(temp), []);
      child.kill('SIGINT');
      await once(child, 'exit');
      assert.deepEqual([child.exitCode, readdirSync(temp)], [130, []]);
      assert.equal(existsSync(join(dir, 'croft.config.ts')), false);
    } finally {
      rmSync(stage, { recursive: true });
    }
  }));
