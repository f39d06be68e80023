import { test } from 'node:test';
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import type { BuildDetail } from '@croft/protocol/api';
import { endedBuild, foundBuilds, listBuilds, logOf, onlyBuild } from './testing-builds.ts';
import { makeRepo, type RepoFiles } from './testing-repo.ts';
import { startFarm } from './testing.ts';

/** The reason why a test of this language's repositories is skipped. */
function missing(program: string): string | false {
  const path = (process.env['PATH'] ?? '').split(delimiter);
  return path.some((dir) => existsSync(join(dir, program))) ? false : `no ${program} is installed`;
}

interface Foreign {
  readonly name: string;
  readonly files: RepoFiles;
  readonly commands: readonly (readonly string[])[];
  readonly reason: RegExp;
  readonly log: RegExp;
  readonly skip?: string | false;
}

const foreign: readonly Foreign[] = [
  {
    name: '.ci/run before anything else',
    files: {
      '.ci/run': '#!/bin/sh\necho "run by sh in CI=$CI"\n',
      'package.json': '{"scripts":{"test":"false"}}',
      Makefile: 'test:\n\tfalse\n',
    },
    commands: [['sh', '.ci/run']],
    reason: /\.ci\/run \(not executable/,
    log: /^run by sh in CI=true$/m,
  },
  {
    name: 'package.json without dependencies',
    files: { 'package.json': '{"name":"x","version":"1.0.0","scripts":{"test":"node -e \\"console.log(6 * 7)\\""}}' },
    commands: [
      ['npm', 'install', '--no-audit', '--no-fund'],
      ['npm', 'test'],
    ],
    reason: /package\.json without a lock file has the script "test"/,
    log: /^42$/m,
  },
  {
    name: 'Makefile',
    files: { Makefile: 'all:\n\tfalse\ncheck: made\n\t@echo checked\nmade:\n\t@echo made\n' },
    commands: [['make', 'check']],
    reason: /Makefile has the target "check"/,
    log: /^made\nchecked$/m,
    skip: missing('make'),
  },
  {
    // A package with neither imports nor tests: nothing of the standard library has to be compiled for it.
    name: 'go.mod',
    files: {
      'go.mod': 'module example.org/sum\n\ngo 1.19\n',
      'sum.go': 'package sum\n\nfunc Sum(a, b int) int { return a + b }\n',
    },
    commands: [
      ['go', 'build', './...'],
      ['go', 'test', './...'],
    ],
    reason: /the tree has go\.mod/,
    log: /example\.org\/sum\s+\[no test files\]/,
    skip: missing('go'),
  },
  {
    name: 'Cargo.toml',
    files: {
      'Cargo.toml': '[package]\nname = "sum"\nversion = "0.1.0"\nedition = "2021"\n',
      'src/lib.rs': 'pub fn sum(a: i32, b: i32) -> i32 { a + b }\n\n#[test]\nfn sums() { assert_eq!(sum(2, 2), 4); }\n',
    },
    commands: [
      ['cargo', 'build', '--all-targets'],
      ['cargo', 'test'],
    ],
    reason: /the tree has Cargo\.toml/,
    log: /^test sums \.\.\. ok$/m,
    skip: missing('cargo'),
  },
  {
    // Nothing has to be fetched.
    name: 'requirements.txt',
    files: {
      'requirements.txt': '',
      'test_sum.py': 'import unittest\n\nclass Sums(unittest.TestCase):\n    def test_sum(self):\n        self.assertEqual(2 + 2, 4)\n',
    },
    commands: [
      ['python3', '-m', 'venv', '.venv'],
      ['.venv/bin/python', '-m', 'pip', 'install', '--requirement', 'requirements.txt'],
      ['.venv/bin/python', '-m', 'unittest', 'discover', '--start-directory', '.', '--top-level-directory', '.'],
    ],
    reason: /requirements\.txt and unittest in test_sum\.py/,
    log: /^Ran 1 test /m,
    skip: missing('python3'),
  },
  {
    name: 'CMakeLists.txt',
    files: {
      'CMakeLists.txt':
        'cmake_minimum_required(VERSION 3.10)\nproject(sum C)\nenable_testing()\nadd_executable(sum sum.c)\nadd_test(sums sum)\n',
      'sum.c': 'int main(void) { return 2 + 2 == 4 ? 0 : 1; }\n',
    },
    commands: [
      ['cmake', '-S', '.', '-B', 'cmake-build'],
      ['cmake', '--build', 'cmake-build', '--parallel', '4'],
      ['ctest', '--output-on-failure'],
    ],
    reason: /CMakeLists\.txt enables tests by enable_testing/,
    log: /^100% tests passed/m,
    skip: missing('cmake') || missing('cc'),
  },
];

const commandsOf = ({ attemptList }: BuildDetail): string[][] => attemptList[0]?.steps.slice(1).map((step) => step.argv) ?? [];

for (const { name, files, commands, reason, log, skip = false } of foreign) {
  test(`--repo: the command is found in the tree, by ${name}`, { skip }, async () => {
    await using repo = await makeRepo(files);
    await using farm = await startFarm({ repo: repo.dir });
    await farm.waitFor('the warning', () => /The code of that repository runs as you[^]*no isolation/.test(farm.output()));
    const { id } = await onlyBuild(farm);
    const build = await endedBuild(farm, id, { deadlineMs: 120_000 });
    const output = (await logOf(farm, id)).toString();
    assert.deepEqual(build.end, { kind: 'passed' }, output);
    assert.deepEqual(commandsOf(build), commands);
    assert.match(build.attemptList[0]?.reason ?? '', reason);
    assert.match(output, log);
    await farm.waitFor(
      'the command and its reason printed',
      () => reason.test(farm.output()) && farm.output().includes(commands.at(-1)?.join(' ') ?? ''),
    );
    assert.match(await (await fetch(`${farm.url}/builds/${id}`)).text(), new RegExp(reason.source.replaceAll('"', '&quot;')));
  });
}

test('each commit is built as its own tree says, and one that says nothing or nonsense is skipped with the reason', async () => {
  await using repo = await makeRepo({ 'README.md': 'nothing\n' });
  const broken = await repo.commit({ 'package.json': '{"scripts": oops' }, 'not JSON');
  const plain = await repo.commit({ 'package.json': undefined, '.ci/run': 'echo by sh\n' }, 'a plain file');
  const failing = await repo.commit({ '.ci/run': { executable: '#!/bin/sh\necho by script\nexit 3\n' } }, 'script');
  await using farm = await startFarm({ repo: repo.dir });
  const builds = await foundBuilds(farm, 4);
  const of = async (revision: string | undefined): Promise<BuildDetail> => {
    const found = builds.find((build) =>
      revision === undefined ? ![broken, plain, failing].includes(build.revision) : build.revision === revision,
    );
    return endedBuild(farm, found?.id ?? '');
  };
  const nothing = (await of(undefined)).end;
  assert.ok(nothing?.kind === 'skipped');
  assert.match(nothing.why, /nothing to run was found at the root: none of \.ci\/run, package\.json.* add an executable/);
  const nonsense = (await of(broken)).end;
  assert.ok(nonsense?.kind === 'skipped');
  assert.match(nonsense.why, /package\.json is not JSON/);
  assert.deepEqual((await of(plain)).end, { kind: 'passed' });
  assert.deepEqual((await of(failing)).end, { kind: 'failed', step: 'ci', text: 'exit status 3' });
});

test('a force push, a branch that vanished and one that was asked for: what is there is built, what was built stays', async () => {
  await using repo = await makeRepo('#!/bin/sh\necho first\n');
  await repo.git('branch', 'release');
  const lost = await repo.commit({ a: '1\n' }, 'to be lost');
  await using farm = await startFarm({ repo: repo.dir, args: ['--branch', 'main', '--branch', 'release'] });
  const [one] = await foundBuilds(farm, 2);
  assert.ok(one);
  await repo.git('reset', '--quiet', '--hard', 'HEAD~1');
  const replaced = await repo.commit({ b: '1\n' }, 'instead');
  await repo.git('branch', '--delete', '--force', 'release');
  await farm.api('POST', `/api/v1/repos/${one.repo}/notify`);
  const builds = await listBuilds(farm);
  assert.equal(builds.length, 3);
  for (const { id } of builds) assert.deepEqual((await endedBuild(farm, id)).end, { kind: 'passed' });
  assert.ok(builds.some(({ revision }) => revision === replaced));
  assert.ok(builds.some(({ revision }) => revision === lost));
  const grid = await farm.api<{ branches: string[]; rows: { commit: { subject: string } }[] }>(
    'GET',
    `/api/v1/grid?repo=${one.repo}&branch=main`,
  );
  assert.deepEqual(grid.branches, ['main']);
  assert.deepEqual(
    grid.rows.map(({ commit }) => commit.subject),
    ['instead', 'commit 1'],
  );
});
