import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkLayers } from './check-layers.ts';
import { withTree } from './testing.ts';

const layers = {
  levels: [
    { name: 'ground', rooms: ['packages/clock'] },
    { name: 'edge', rooms: ['packages/shop', 'packages/bank'] },
    { name: 'farm', rooms: ['farm'] },
  ],
  sideways: { 'packages/shop': ['packages/bank'] },
  pure: ['packages/clock'],
};
const room = (name: string, exports: Record<string, string> = {}): string => JSON.stringify({ name, exports });
const rooms = {
  'layers.json': JSON.stringify(layers),
  'package.json': JSON.stringify({ workspaces: ['packages/*', 'farm'] }),
  'packages/clock/package.json': room('@croft/clock', { './now': './src/now.ts', './testing': './src/testing.ts' }),
  'packages/shop/package.json': room('@croft/shop', { './sell': './src/sell.ts' }),
  'packages/bank/package.json': room('@croft/bank', { './pay': './src/pay.ts' }),
  'farm/package.json': room('@croft/farm'),
};
const check = (files: Record<string, string>): Promise<string[]> => withTree({ ...rooms, ...files }, async (root) => checkLayers(root));

test('allows imports down, listed sideways, of one’s own room and of other people’s packages', async () => {
  const findings = await check({
    'packages/shop/src/sell.ts':
      "import '@croft/clock/now'; import '@croft/bank/pay'; import './price.ts'; import 'zod'; import 'node:fs';",
    'packages/shop/src/sell.test.ts': "import '@croft/clock/testing'; import '@croft/shop/sell';",
    'farm/src/main.ts': "import '@croft/shop/sell'; import '@croft/clock/testing';",
  });
  assert.deepEqual(findings, []);
});

test('names an import that goes up, and one that goes sideways without being listed', async () => {
  const findings = await check({
    'packages/clock/src/now.ts': "\nimport '@croft/shop/sell';",
    'packages/bank/src/pay.ts': "import '@croft/shop/sell';",
  });
  assert.deepEqual(findings, [
    'packages/bank/src/pay.ts:1 imports @croft/shop/sell: sideways within edge, and not listed in layers.json',
    'packages/clock/src/now.ts:2 imports @croft/shop/sell: up from ground to edge',
  ]);
});

test('names a way around a door: an unlisted path, the bare name, a relative path into another room', async () => {
  const findings = await check({
    'packages/shop/src/a.ts': "import '@croft/clock/src/now.ts';",
    'packages/shop/src/b.ts': "import '@croft/clock';",
    'packages/shop/src/c.ts': "export * from '../../clock/src/now.ts';",
    'packages/shop/src/d.ts': "await import('@croft/nobody/home');",
  });
  assert.deepEqual(
    findings.map((finding) => finding.split(': ')[1]),
    [
      '@croft/clock has no door ./src/now.ts in its exports',
      '@croft/clock has no door . in its exports',
      "it leaves packages/shop; use the other room's door",
      'there is no such room',
    ],
  );
});

test('names a node: module in a pure room and a testing door outside tests', async () => {
  const findings = await check({
    'packages/clock/src/now.ts': "import 'node:fs';",
    'packages/clock/src/now.test.ts': "import 'node:test';",
    'packages/shop/src/sell.ts': "import '@croft/clock/testing';",
  });
  assert.deepEqual(findings, [
    'packages/clock/src/now.ts:1 imports node:fs: packages/clock is pure and takes no node: module',
    'packages/shop/src/sell.ts:1 imports @croft/clock/testing: testing doors are for tests and the farm',
  ]);
});

test('names a room without a level and a level without its room', async () => {
  const findings = await check({
    'packages/attic/package.json': room('@croft/attic'),
    'layers.json': JSON.stringify({ ...layers, levels: [{ name: 'ground', rooms: ['packages/cellar'] }] }),
  });
  assert.ok(findings.includes('layers.json: room packages/attic has no level'));
  assert.ok(findings.includes('layers.json: there is no room packages/cellar'));
});
