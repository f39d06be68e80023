import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { withTree } from './testing.ts';

const root = join(import.meta.dirname, '..');
const settings = Object.fromEntries(['.oxlintrc.json', 'tsconfig.json'].map((name) => [name, readFileSync(join(root, name), 'utf8')]));

/** The rules that object to these files, as `path rule`, in order. */
function lint(files: Readonly<Record<string, string>>): Promise<string[]> {
  return withTree({ ...settings, 'package.json': '{"type":"module"}', ...files }, async (tree) => {
    symlinkSync(join(root, 'node_modules'), join(tree, 'node_modules'));
    const linter = join(root, 'node_modules/.bin/oxlint');
    const { stdout } = spawnSync(process.execPath, [linter, '--format=unix'], { cwd: tree, encoding: 'utf8' });
    const found = [...stdout.matchAll(/^(\S+?):\d+:\d+: .*\[Error\/[\w-]+\(([\w-]+)\)\]$/gm)];
    return [...new Set(found.map(([, path, rule]) => `${path} ${rule}`))].toSorted();
  });
}

test('each house rule that a linter knows is on', async () => {
  const broken: Record<string, string> = {
    'await-thenable': 'await 1;',
    'max-lines': '\n'.repeat(301),
    'max-lines-per-function': `export function long(): void {${'\n'.repeat(60)}}`,
    'max-params': 'export const f = (a: 1, b: 1, c: 1, d: 1, e: 1): number => a + b + c + d + e;',
    'no-default-export': 'export default 1;',
    'no-explicit-any': 'export const a: any = 1;',
    'no-floating-promises': 'Promise.resolve(1);',
    'no-process-env': 'export const home = process.env.HOME;',
    'no-process-exit': 'process.exit(1);',
    'no-restricted-globals': 'setTimeout(() => {}, 1);',
    'no-restricted-imports': "import { randomUUID } from 'node:crypto';\nexport const id = randomUUID();",
    'no-restricted-properties': 'export const now = Date.now();',
    'no-throw-literal': "throw 'words';",
    'no-unused-vars': 'const left = 1;',
    'switch-exhaustiveness-check': "export function f(kind: 'a' | 'b'): void { switch (kind) { case 'a': break; } }",
  };
  const more = {
    'math.ts': ['export const dice = Math.random();', 'no-restricted-properties'],
    'sleep.ts': ["import { setTimeout as sleep } from 'node:timers/promises';\nawait sleep(1);", 'no-restricted-imports'],
  };
  const files = Object.fromEntries(Object.entries(broken).map(([rule, text]) => [`packages/a/src/${rule}.ts`, `${text}\nexport {};\n`]));
  const extra = Object.fromEntries(Object.entries(more).map(([name, [text]]) => [`packages/a/src/${name}`, `${text}\n`]));
  const found = await lint({ ...files, ...extra });
  const expected = [
    ...Object.keys(broken).map((rule) => `packages/a/src/${rule}.ts ${rule}`),
    ...Object.entries(more).map(([name, [, rule]]) => `packages/a/src/${name} ${rule}`),
  ];
  assert.deepEqual(
    expected.filter((finding) => !found.includes(finding)),
    [],
  );
});

test('time, chance and the environment are open where they belong', async () => {
  const clock = "import { setTimeout as sleep } from 'node:timers/promises';\nawait sleep(Date.now() * Math.random());\n";
  const files = {
    'packages/runtime/src/clock.ts': clock,
    'benchmarks/src/a.ts': clock,
    'tools/a.ts': clock,
    'apps/a/src/config.ts': 'export const home = process.env.HOME;\n',
  };
  assert.deepEqual(await lint(files), []);
});

test('a test needs no await before node:test, and may be long', async () => {
  const text = `import { test } from 'node:test';\ntest('a', () => {${'\n'.repeat(300)}});\n`;
  assert.deepEqual(await lint({ 'packages/a/src/a.test.ts': text }), []);
});
