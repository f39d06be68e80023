import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { CroftError } from '@croft/runtime/errors';
import { parseStepName } from '../names.ts';
import { detectors, detectSteps } from './detect-steps.ts';
import { testTree, type TestFiles } from './testing.ts';

async function commands(files: TestFiles, modes?: Readonly<Record<string, string>>): Promise<string[]> {
  const plan = await detectSteps(testTree(files, modes));
  return typeof plan === 'string' ? [plan] : plan.steps.map((step) => step.argv.join(' '));
}

describe('precedence', () => {
  test('.ci/run wins over everything else', async () => {
    assert.deepEqual(await commands({ '.ci/run*': '', 'package.json': '{"scripts":{"test":"x"}}' }), ['./.ci/run']);
  });

  test('of several files the first that tests wins, and without tests the first that builds', async () => {
    const builds = { 'package.json': '{"scripts":{"build":"x"}}', 'CMakeLists.txt': '' };
    assert.deepEqual(await commands({ ...builds, Makefile: 'test:\n\ttrue\n' }), ['make test']);
    assert.deepEqual(await commands({ ...builds, Makefile: 'all:\n\ttrue\n' }), ['npm install --no-audit --no-fund', 'npm run build']);
  });

  test('a file that gives nothing hides no other, and is named where nothing is found', async () => {
    assert.deepEqual(await commands({ 'package.json': '{}', 'deno.json': '{}' }), ['deno test --allow-all --permit-no-files']);
    assert.deepEqual(await commands({ 'package.json': '{}', Gemfile: '', 'pyproject.toml': '[tool.black]\n' }), [
      'nothing to run was found at the root: package.json has no script "test" or "build"; pyproject.toml has no sign of tests and nothing to build; ' +
        'Gemfile has no RSpec, Rails or Rakefile with tests beside it; add an executable .ci/run, or give the builder steps',
    ]);
    assert.match(
      (await commands({ 'README.md': '' })).join(),
      /^nothing to run .*none of \.ci\/run, package\.json, .*Makefile; add an executable \.ci\/run/,
    );
  });

  test('links and submodules are passed over', async () => {
    assert.deepEqual(await commands({ '.ci/run': '../x', 'go.mod': '' }, { '.ci/run': '120000' }), ['go build ./...', 'go test ./...']);
    assert.match((await commands({ 'go.mod': '' }, { 'go.mod': '160000' })).join(), /^nothing/);
  });
});

describe('package.json', () => {
  const test1 = '"scripts":{"test":"x"}';

  test('the test that npm init writes is none, and an empty script neither', async () => {
    for (const script of ['echo \\"Error: no test specified\\" && exit 1', '', ' ']) {
      const files = { 'package.json': `{"scripts":{"test":"${script}","build":"y"}}` };
      assert.deepEqual(await commands(files), ['npm install --no-audit --no-fund', 'npm run build']);
      assert.deepEqual(await commands({ 'package.json': `{"scripts":{"test":"${script}"}}`, 'go.mod': '' }), [
        'go build ./...',
        'go test ./...',
      ]);
    }
  });

  test('packageManager decides over locks, a lock of another over that of npm, and npm is the last', async () => {
    const corepack = 'sh -c command -v corepack >/dev/null && exec corepack "$@"; exec "$@" sh';
    const locks = { 'package-lock.json': '', 'yarn.lock': '', 'bun.lockb': '' };
    const installs = async (fields: string, files: TestFiles): Promise<string | undefined> =>
      (await commands({ 'package.json': `{${fields}${test1}}`, ...files }))[0];
    assert.match((await installs('', locks)) ?? '', /^sh -c command -v "\$1" .* sh yarn install --frozen-lockfile --prefer-offline$/);
    assert.equal(await installs('"packageManager":"npm@11.0.0",', locks), 'npm ci --prefer-offline');
    assert.equal(await installs('"packageManager":"yarn@4.1.0+sha512.abc",', locks), `${corepack} yarn install --immutable`);
    assert.equal(await installs('"packageManager":"yarn@4.1.0",', {}), `${corepack} yarn install --no-immutable`);
    assert.equal(await installs('"packageManager":"toolchain@1",', { 'npm-shrinkwrap.json': '' }), 'npm ci --prefer-offline');
    assert.equal(await installs('"packageManager":{"toString":1},', {}), 'npm install --no-audit --no-fund');
  });

  test('odd scripts are none', async () => {
    for (const text of ['null', '[]', '"x"', '{"scripts":null}', '{"scripts":["test"]}', '{"scripts":{"test":{"toString":1}}}']) {
      assert.deepEqual(await commands({ 'package.json': text, 'go.mod': '' }), ['go build ./...', 'go test ./...'], text);
    }
  });

  test("one that is not JSON is the commit's mistake and is named, and no other file is tried", async () => {
    assert.match((await commands({ 'package.json': '{', 'go.mod': '' })).join(), /^package\.json is not JSON: /);
  });

  test('a mark before the first byte is no mistake', async () => {
    assert.equal((await commands({ 'package.json': `\uFEFF{${test1}}` })).at(-1), 'npm test');
  });
});

describe('other ecosystems', () => {
  test('deno.json may hold comments and commas at ends, and texts that look like them', async () => {
    const text = '{ // a\n "x": "http://a /* b", /* c */ "tasks": { "test": "x,}", },\n}';
    assert.deepEqual(await commands({ 'deno.jsonc': text }), ['deno task test']);
    assert.match((await commands({ 'deno.json': '{ /* never ended' })).join(), /^deno\.json is not JSON/);
  });

  test('comments and other names are no tests of CMake', async () => {
    const configure = ['cmake -S . -B cmake-build', 'cmake --build cmake-build --parallel 4'];
    assert.deepEqual(await commands({ 'CMakeLists.txt': '# enable_testing()\nmy_enable_testing()\n' }), configure);
    for (const text of ['Enable_Testing ( )', 'include( CTest )'])
      assert.equal((await commands({ 'CMakeLists.txt': text })).length, 3, text);
  });

  test('pytest of a comment or of a linter’s rules is no sign of tests', async () => {
    const text = '[project]\n# pytest\n[tool.ruff.lint.flake8-pytest-style]\n';
    assert.equal((await commands({ 'pyproject.toml': text })).at(-1), '.venv/bin/python -m pip wheel --no-deps --wheel-dir dist .');
  });

  test('extras and groups count only in their own tables', async () => {
    const install = async (text: string): Promise<string | undefined> =>
      (await commands({ 'pyproject.toml': text, 'conftest.py': '' })).at(-2)?.replace('.venv/bin/python -m pip install ', '');
    assert.equal(await install('[project]\ndev = 1\n[tool.x]\ntest = 1\n'), 'pytest --editable .');
    assert.equal(await install('[project]\r\n[project.optional-dependencies]\r\n"dev" = [\r\n"a",\r\n]\r\n'), 'pytest --editable .[dev]');
    assert.equal(await install('[ dependency-groups ]\ntest = []\n[build-system]\n'), 'pytest --group test --editable .');
  });

  test('tests of Python run by what they are written for', async () => {
    const last = async (files: TestFiles): Promise<string | undefined> =>
      (await commands({ 'pyproject.toml': '[project]', ...files })).at(-1);
    const unittest = '.venv/bin/python -m unittest discover --start-directory';
    assert.equal(await last({ 'tests/a_test.py': 'from unittest import TestCase' }), `${unittest} tests --pattern *_test.py`);
    assert.equal(
      await last({ 'tests/__init__.py': '', 'tests/test_a.py': 'import unittest' }),
      `${unittest} tests --top-level-directory .`,
    );
    assert.equal(await last({ 'test_a.py': 'import unittest, sys' }), `${unittest} . --top-level-directory .`);
    assert.equal(await last({ 'test_a.py': 'import unittest\nimport pytest' }), '.venv/bin/python -m pytest');
    assert.match(String(await last({ 'docs/test_a.py': '', 'testing.py': '' })), /pip wheel/);
  });

  test('the environment of a Python manager has only what is declared', async () => {
    const found = 'sh -c PATH="$PATH:$PWD/.croft-python/bin"; exec "$@" sh ';
    const afterFetching = async (files: TestFiles): Promise<string[]> => {
      const [fetch, ...others] = await commands(files);
      assert.match(fetch ?? '', /pip install "\$1"; } sh uv$/);
      return others.map((command) => command.replace(found, ''));
    };
    const uv = { 'pyproject.toml': '[project]', 'uv.lock': '' };
    assert.deepEqual(await afterFetching({ ...uv, 'tests/conftest.py': '' }), ['uv sync --locked', 'uv build']);
    assert.equal(
      (await afterFetching({ ...uv, 'test_a.py': 'import unittest' })).at(-1),
      'uv run --no-sync python -m unittest discover --start-directory . --top-level-directory .',
    );
    const declared = { 'pyproject.toml': '[project.optional-dependencies]\ndev = ["pytest"]', 'uv.lock': '', 'tox.ini': '' };
    assert.deepEqual(await afterFetching(declared), ['uv sync --locked --extra dev', 'uv run --no-sync python -m pytest']);
  });

  test('tox knows what its tests need, unless the project says it', async () => {
    const files = { 'pyproject.toml': '[project]\n[tool.pytest.ini_options]', 'tox.ini': '' };
    assert.equal((await commands(files)).at(-1), '.venv/bin/python -m tox run -e py');
    const told = { ...files, 'pyproject.toml': '[project]\n[dependency-groups]\ntest = ["pytest"]' };
    assert.equal((await commands(told)).at(-1), '.venv/bin/python -m pytest');
  });

  test('a Rakefile counts for the tasks that it has, not for its comments', async () => {
    assert.equal((await commands({ Gemfile: '', Rakefile: 'task :test' })).at(-1), 'bundle exec rake test');
    assert.match((await commands({ Gemfile: '', Rakefile: '  # task :test\ntask :lint' })).join(), /^nothing/);
  });

  test('a target of a Makefile is one wherever it stands before the colon of a rule, and nothing else is', async () => {
    for (const rule of ['all test:', 'test all: lib', 'all \\\n  test:', 'test:: lib', 'test :', '  test:', 'test: ; true']) {
      assert.deepEqual(await commands({ Makefile: `CC = gcc\n${rule}\n\ttrue\n` }), ['make test'], rule);
    }
    const assignments = ['.PHONY: test', 'test = a: b', 'test := 1', 'test ::= 1', 'test :::= 1'];
    for (const text of [...assignments, '# test:', 'all:\n\ttest: x', 'all: test', 'my-test:', 'tests:']) {
      assert.deepEqual(await commands({ Makefile: `${text}\n` }), ['make'], text);
    }
  });
});

describe('whatever a commit holds', () => {
  const beside = [
    'yarn.lock',
    'Cargo.lock',
    'uv.lock',
    'Rakefile',
    'conftest.py',
    'mvnw',
    'gradlew',
    '.yarnrc.yml',
    'noxfile.py',
    'test_a.py',
  ];
  const known = [...detectors.flatMap(({ files }) => files), ...beside];
  const odd = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.json(),
    fc.json().map((json) => json.slice(1)),
    fc.constantFrom('\uFFFD\uFFFD', '[project', '[project]\n[[', '{"scripts":{"test":"x"}', '{"tasks":{"test":', 'task :test do', 'test:'),
  );

  test('there is an answer: steps that a job can take, or one line of reason', async () => {
    const trees = fc.dictionary(fc.constantFrom(...known), odd, { maxKeys: 5 });
    const modes = fc.dictionary(fc.constantFrom(...known), fc.constantFrom('100755', '120000', '100644', '160000'));
    await fc.assert(
      fc.asyncProperty(trees, modes, async (files, fileModes) => {
        const plan = await detectSteps(testTree(files, fileModes));
        if (typeof plan === 'string') return assert.notEqual(plan, '');
        assert.ok(plan.reason !== '' && !plan.reason.includes('\n') && plan.steps.length > 0);
        for (const { name, argv } of plan.steps)
          assert.ok(parseStepName(name) && argv.every((part) => part !== '' && !part.includes('\0')));
        assert.equal(new Set(plan.steps.map(({ name }) => name)).size, plan.steps.length);
      }),
    );
  });

  test('a megabyte made to be slow to read is not', { timeout: 20_000 }, async () => {
    const parts = [
      '/*',
      '//',
      '"',
      '"\\',
      ',',
      ', ',
      '\n',
      ' ',
      '[',
      '[ ',
      '[]',
      'task ',
      'task((',
      '\t',
      '\\\n',
      ':',
      '{',
      'enable_testing ',
      '#',
    ];
    for (const part of parts) {
      const text = part.repeat(Math.floor(1_000_000 / part.length));
      for (const file of ['package.json', 'deno.json', 'CMakeLists.txt', 'Makefile']) await detectSteps(testTree({ [file]: text }));
      for (const head of ['', '[project.optional-dependencies]\n', '[project]\n'])
        await detectSteps(testTree({ 'pyproject.toml': head + text }));
      await detectSteps(testTree({ Gemfile: '', Rakefile: text }));
    }
  });

  test('a file that is too large to be read is a reason, and a failure of the machine stays a failure', async () => {
    const failing = (error: Error) => ({ ...testTree({ 'package.json': '' }), read: () => Promise.reject(error) });
    assert.equal(await detectSteps(failing(new CroftError('invalid', 'package.json is too large'))), 'package.json is too large');
    await assert.rejects(detectSteps(failing(new CroftError('unavailable', 'no disk'))), /no disk/);
  });
});
