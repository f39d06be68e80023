/** The table in docs/using/detection.md is what the detectors give for these trees: row by row, and nothing else. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { detectors, detectSteps } from './detect-steps.ts';
import { testTree, type TestFiles } from './testing.ts';

const rows: readonly TestFiles[] = [
  { '.ci/run*': '' },
  { '.ci/run': '' },
  { 'package.json': '{"scripts":{"test":"…"}}', 'package-lock.json': '' },
  { 'package.json': '{"scripts":{"build":"…","test":"…"}}', 'pnpm-lock.yaml': '' },
  { 'package.json': '{"scripts":{"test":"…"}}', 'yarn.lock': '' },
  { 'package.json': '{"scripts":{"test":"…"}}', 'yarn.lock': '', '.yarnrc.yml': '' },
  { 'package.json': '{"scripts":{"test":"…"}}', 'bun.lock': '' },
  { 'package.json': '{"packageManager":"pnpm@10.1.0","scripts":{"test":"…"}}' },
  { 'package.json': '{"scripts":{"test":"…"}}' },
  { 'package.json': '{"scripts":{"build":"…"}}' },
  { 'deno.json': '{"tasks":{"build":"…","test":"…"}}', 'deno.lock': '' },
  { 'deno.jsonc': '{}' },
  { 'go.mod': '' },
  { 'Cargo.toml': '', 'Cargo.lock': '' },
  { 'Cargo.toml': '' },
  { 'pyproject.toml': '[tool.pytest.ini_options]', 'uv.lock': '' },
  { 'pyproject.toml': '[tool.poetry.group.dev.dependencies]\npytest = "*"' },
  { 'pyproject.toml': '[project.optional-dependencies]\ntest = ["pytest"]', 'pdm.lock': '' },
  { 'pyproject.toml': '[project.optional-dependencies]\ntest = ["pytest"]\n[project]' },
  { 'pyproject.toml': '[dependency-groups]\ndev = ["pytest"]\n[project]' },
  { 'pyproject.toml': '[build-system]', 'tox.ini': '' },
  { 'pyproject.toml': '[project]', 'noxfile.py': 'def tests(session):' },
  { 'pyproject.toml': '[tool.hatch.envs.default.scripts]\ntest = "…"' },
  { 'pyproject.toml': '[project]', 'tests/conftest.py': '', 'requirements-dev.txt': '' },
  { 'pyproject.toml': '[project]', 'tests/test_a.py': 'import unittest' },
  { 'pyproject.toml': '[build-system]' },
  { 'setup.py': '', 'tests/test_a.py': 'def test_a(): …' },
  { 'requirements.txt': '', 'test_app.py': 'import unittest' },
  { Gemfile: '', 'Gemfile.lock': '', '.rspec': '' },
  { Gemfile: '', 'spec/a_spec.rb': '' },
  { Gemfile: '', 'bin/rails*': '' },
  { Gemfile: '', Rakefile: 'Rake::TestTask.new' },
  { Gemfile: '', Rakefile: 'task default: :spec' },
  { 'mix.exs': '', 'mix.lock': '' },
  { 'pom.xml': '', 'mvnw*': '' },
  { 'pom.xml': '' },
  { 'build.gradle.kts': '', 'gradlew*': '' },
  { 'build.gradle': '', gradlew: '' },
  { 'settings.gradle': '' },
  { 'CMakeLists.txt': 'enable_testing()' },
  { 'CMakeLists.txt': 'project(demo)' },
  { Makefile: 'test: all' },
  { Makefile: 'check: all' },
  { Makefile: 'all: demo' },
];

test('the page says for each of these trees what is run and why', async () => {
  const page = await readFile(new URL('../../../../docs/using/detection.md', import.meta.url), 'utf8');
  const table = /^\| when the tree has [^]*?(?=\n\n)/m.exec(page)?.[0].split('\n').slice(2);
  assert.deepEqual(table, await Promise.all(rows.map(rowOf)));
});

test('each detector has a row, and the rows stand in the order of the detectors', () => {
  const order = rows.map((files) => detectors.findIndex((detector) => detector.files.some((file) => file in testTree(files).texts)));
  assert.deepEqual(
    [...new Set(order)],
    detectors.map((_, index) => index),
  );
  assert.deepEqual(
    order,
    order.toSorted((a, b) => a - b),
  );
});

async function rowOf(files: TestFiles): Promise<string> {
  const plan = await detectSteps(testTree(files));
  if (typeof plan === 'string') return plan;
  const has = Object.entries(files).map(([path, text]) => {
    const shown = path.endsWith('*') ? `\`${path.slice(0, -1)}\`, executable` : `\`${path}\``;
    return text === '' ? shown : `${shown} with ${text.split('\n').map(code).join(' ')}`;
  });
  const steps = plan.steps.map(({ name, role, argv, env, dir }) => {
    const set = Object.entries(env).map(([variable, value]) => `${variable}=${value} `);
    const isWrapped = argv[0] === 'sh' && argv[1] === '-c';
    const isCorepack = isWrapped && argv[2]?.includes('corepack') === true;
    const words = `\`${set.join('')}${argv.slice(isWrapped ? 4 : 0).join(' ')}\``;
    const command = words.replace('`npm run build', '`npm` `run build'); // no script of this repository
    if (isWrapped && argv[2]?.includes('pip install') === true) return `${name} (${role}): fetched by pip where it is missing`;
    return `${name} (${role}): ${command}${isCorepack ? corepackText(argv[2]) : ''}${dir === '.' ? '' : ` in \`${dir}\``}`;
  });
  return `| ${has.join('; ')} | ${steps.join('<br>')} | ${plan.reason} |`;
}

function corepackText(script: string | undefined): string {
  return script?.startsWith('command -v corepack') === true ? ' through corepack' : ' or through corepack';
}

function code(text: string): string {
  return `\`${text}\``;
}
