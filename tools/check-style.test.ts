import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkStyle } from './check-style.ts';
import { withTree } from './testing.ts';

const opened = '/** Says what it is for. */\n';
const check = (files: Record<string, string>): Promise<string[]> => withTree(files, async (root) => checkStyle(root));

test('has nothing to say about a file that keeps the rules', async () => {
  const good = [
    '#!/usr/bin/env node',
    `${opened}// TODO(#12): more`,
    'export class LostError extends Error {}',
    "const text = 'TODO new Date() class A extends B';",
    'const when = new Date(at); type D = Date;',
    "export { a } from './a.ts';",
  ].join('\n');
  assert.deepEqual(await check({ 'packages/a/src/a.ts': good, 'packages/a/src/a.test.ts': "test('only', () => {});" }), []);
});

const bad: [string, string, RegExp][] = [
  ['packages/a/src/utils.ts', opened, /utils\.ts says nothing/],
  ['packages/helpers/src/a.ts', opened, /helpers says nothing/],
  ['packages/a/src/a.ts', 'export const a = 1;', /a\.ts:1: opens without/],
  ['packages/a/src/a.ts', `/**\n${' * word\n'.repeat(6)} */\n`, /6 lines, at most 5/],
  ['apps/a/src/main.ts', opened + '\n'.repeat(40) + 'go();', /42 lines, a main has at most 40/],
  ['packages/a/src/a.ts', `${opened}const now = new Date();`, /a\.ts:2: time is an argument/],
  ['packages/a/src/a.ts', `${opened}const now = Date();`, /time is an argument/],
  ['packages/a/src/a.ts', `${opened}class A extends Base {}`, /only Error/],
  ['packages/a/src/a.ts', `${opened}export * from './b.ts';\nexport { c } from './c.ts';`, /a barrel; point packages\/a/],
  ['packages/a/src/a.test.ts', "test.only('x', () => {});", /narrowed/],
  ['packages/a/src/a.ts', `${opened}// TODO: some day`, /issue number/],
  ['packages/a/package.json', '{"exports":{"./a":"./src/gone.ts"}}', /door \.\/a points at \.\/src\/gone\.ts, which does not exist/],
  ['packages/a/package.json', '{"exports":{"./*":"./src/*.ts"}}', /listed one by one/],
];

for (const [path, text, expected] of bad) {
  test(`names what is wrong in ${path}: ${String(expected)}`, async () => {
    const findings = await check({ [path]: text });
    assert.equal(findings.length, 1, findings.join('\n'));
    assert.match(findings[0] ?? '', expected);
  });
}
