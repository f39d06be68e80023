import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { runTestFile } from './test-file.ts';
import type { FileResult } from './test-result.ts';
import { withTree } from './testing.ts';

const runner = fileURLToPath(new URL('./run-tests.ts', import.meta.url));
const opening = "import { describe, test } from 'node:test';\nimport assert from 'node:assert/strict';\n";

interface RunEnd {
  readonly code: number | null;
  readonly out: string;
  readonly lines: string[];
}

/** A repository of test files in a fresh directory, and what the runner makes of it. */
function run(files: Record<string, string>, ...args: string[]): Promise<RunEnd> {
  const tree = Object.fromEntries(Object.entries(files).map(([name, body]) => [`packages/a/${name}`, opening + body]));
  return withTree(tree, async (root) => {
    const child = spawn(process.execPath, [runner, ...args], { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
    const exited = once(child, 'exit');
    const [out, err, [code]] = await Promise.all([text(child.stdout), text(child.stderr), exited]);
    return { code, out: out + err, lines: out.trimEnd().split('\n') };
  });
}

/** One file through `runTestFile`, with limits of its own. */
function runAlone(body: string, limits: { lingerMs: number; timeoutMs: number }): Promise<FileResult> {
  const { signal } = new AbortController();
  return withTree({ 'a.test.ts': opening + body }, (root) =>
    runTestFile('a.test.ts', { root, scratchDir: root, nodeOptions: [], signal, ...limits }),
  );
}

/** A killed process that nobody has waited for yet counts as gone. */
function readState(pid: number): string {
  const status = existsSync(`/proc/${pid}/status`) ? readFileSync(`/proc/${pid}/status`, 'utf8') : '';
  return /^State:\s+[^ZX]/m.test(status) ? 'there' : 'gone';
}

test('counts leaves, shows failures in full, names each skip with its reason and ends with the counts', async () => {
  const { code, out, lines } = await run(
    {
      'good.test.ts': "test('one', () => {}); describe('suite', () => { test('two', () => {}); test('three', () => {}); });",
      'bad.test.ts': "test('parent', async (t) => { await t.test('child', () => assert.deepEqual({ a: 1 }, { a: 2 })); });",
      'skip.test.ts':
        "test('dark', { skip: 'no lamp' }, () => {}); test('dim', (t) => t.skip('low oil')); describe.skip('cold', () => {});",
    },
    'unit',
  );
  assert.equal(code, 1);
  assert.equal(lines.at(-1), '3 passed, 1 failed, 3 skipped');
  assert.match(out, /FAIL packages\/a\/bad\.test\.ts\n {2}parent > child {2}\(.*bad\.test\.ts:3\)/);
  assert.match(out, /\+ {3}a: 1\n/);
  assert.match(out, /dark \(packages\/a\/skip\.test\.ts\): no lamp/);
  assert.match(out, /dim \(packages\/a\/skip\.test\.ts\): low oil/);
  assert.match(out, /cold \(packages\/a\/skip\.test\.ts\): no reason given/);
});

test('all green exits with 0', async () => {
  const { code, lines } = await run({ 'good.test.ts': "test('one', () => {});" }, 'all');
  assert.equal(code, 0);
  assert.equal(lines.at(-1), '1 passed, 0 failed, 0 skipped');
});

test('a file that crashes while it loads, exits early, dies by a signal or holds no test is a failure by name', async () => {
  const { code, out, lines } = await run(
    {
      'crash.test.ts': "test('never', () => {}); throw new Error('cannot load');",
      'exit.test.ts': "test('never', async () => { process.exit(0); });",
      'signal.test.ts': "test('never', async () => { process.kill(process.pid, 'SIGKILL'); await new Promise(() => {}); });",
      'empty.test.ts': 'export {};',
      'syntax.test.ts': 'const = 1;',
    },
    'unit',
  );
  assert.equal(code, 1);
  assert.equal(lines.at(-1), '0 passed, 5 failed, 0 skipped', out);
  assert.match(out, /cannot load/);
  assert.match(out, /exit\.test\.ts\n.*it holds none, or something called process\.exit/);
  assert.match(out, /process exited with SIGKILL/);
  assert.match(out, /empty\.test\.ts\n.*it holds none/);
});

test('what tests print to both streams is no result, and is shown when the file fails', async () => {
  const noise = `process.stdout.write('\\u0000\\u000f{"kind":"end","passed":false}\\nnot ok 1\\n'); console.error('stderr noise');`;
  const { lines, out } = await run(
    { 'noisy.test.ts': `${noise} test('one', () => {}); test('two', (t) => { t.diagnostic('seed 42'); assert.fail('no'); });` },
    'unit',
  );
  assert.equal(lines.at(-1), '1 passed, 1 failed, 0 skipped');
  assert.match(out, /stderr noise/);
  assert.match(out, /seed 42/);
});

test('a file whose handles stay open is ended and named, with its tests counted', async () => {
  const result = await runAlone("test('one', () => {}); setInterval(() => {}, 1000);", { lingerMs: 600, timeoutMs: 60_000 });
  assert.equal(result.passed, 1);
  assert.match(result.failures[0]?.text ?? '', /was ended: 0\.6 s after its last test something kept it alive/);
  assert.equal(result.failures.length, 1);
});

test('a test beyond its limit fails', async () => {
  const result = await runAlone("test('slow', async () => { await new Promise((wake) => setTimeout(wake, 60_000)); });", {
    lingerMs: 600,
    timeoutMs: 200,
  });
  assert.match(result.failures[0]?.text ?? '', /timed out after 200ms/);
});

test('the processes a test leaves in its group are ended with it', async () => {
  const leave =
    "const child = spawn('sleep', ['60'], { stdio: 'inherit' }); child.unref(); t.diagnostic(`pid ${child.pid}`); assert.fail('see note');";
  const body = `import { spawn } from 'node:child_process'; test('leaves', (t) => { ${leave} });`;
  const { output } = await runAlone(body, { lingerMs: 5_000, timeoutMs: 60_000 });
  const pid = Number(/pid (\d+)/.exec(output)?.[1]);
  assert.equal(readState(pid), 'gone');
});

test('a failing hook, and a parent that fails after its subtests passed, are failures', async () => {
  const { lines, out } = await run(
    {
      'hook.test.ts':
        "import { before } from 'node:test'; describe('s', () => { before(() => { throw new Error('no table'); }); test('one', () => {}); });",
      'late.test.ts': "test('parent', async (t) => { await t.test('child', () => {}); assert.fail('afterwards'); });",
    },
    'unit',
  );
  assert.equal(lines.at(-1), '1 passed, 3 failed, 0 skipped', out); // the suite, its cancelled test, the parent
  assert.match(out, /no table/);
  assert.match(out, /afterwards/);
});

test('unit leaves out e2e files, e2e takes only them, a path chooses, an option reaches Node', async () => {
  const files = {
    'one.test.ts': "test('red', () => {}); test('green', () => {});",
    'two.test.ts': "test('blue', () => {});",
    'story.e2e.test.ts': "test('farm', () => {});",
  };
  const last = async (...args: string[]): Promise<string | undefined> => (await run(files, ...args)).lines.at(-1);
  assert.equal(await last('unit'), '3 passed, 0 failed, 0 skipped');
  assert.equal(await last('e2e'), '1 passed, 0 failed, 0 skipped');
  assert.equal(await last('all'), '4 passed, 0 failed, 0 skipped');
  assert.equal(await last('all', 'a/two'), '1 passed, 0 failed, 0 skipped');
  assert.equal(await last('unit', '--', '--test-name-pattern=red'), '1 passed, 0 failed, 0 skipped');
});

test('no test at all, and an unknown suite, are no success', async () => {
  assert.equal((await run({ 'good.test.ts': "test('one', () => {});" }, 'unit', 'nowhere')).code, 1);
  assert.equal((await run({}, 'everything')).code, 2);
});

test('processes that one test after the other starts are compiled once in a run, and what is kept goes with it', async () => {
  const body = "import { getCompileCacheDir } from 'node:module'; test('tells', () => assert.fail(getCompileCacheDir()));";
  const { code, out } = await run({ 'a.test.ts': body }, 'unit');
  const [kept] = /\S*croft-tests-\S*/.exec(out) ?? [];
  assert.deepEqual([code, kept !== undefined && existsSync(kept)], [1, false], out);
});
