import assert from 'node:assert/strict';
import { test } from 'node:test';
import { configPage } from './config-page.ts';
import { testConfiguration } from './testing-config.ts';
import { hostile, testNow } from './testing-views.ts';

const page = async (): Promise<string> => String(await configPage({ ...testConfiguration(), now: testNow }));

test('what was loaded is shown: settings, repositories, builders of a matrix, rules in their order, where secrets come from', async () => {
  const text = await page();
  for (const shown of [
    '/etc/croft/croft.config.ts',
    'unit-22',
    'unit-24',
    'release/*',
    'found in each commit',
    'policies.1',
    'denies',
    'only words have changed',
  ])
    assert.ok(text.includes(shown), shown);
  assert.match(text, /NPM_TOKEN \(npm\)/);
  assert.match(text, /file .*\/run\/secrets\/hooks/);
  assert.ok(text.indexOf('people get what they ask for') < text.indexOf('only words have changed'));
});

test('nothing that is or may be a secret is on the page or in its JSON', async () => {
  const all = (await page()) + JSON.stringify(testConfiguration());
  for (const secret of ['database-password', 'fetch-password', 'written-where-it-should-not', 'known-to-the-farm', 'in-the-open'])
    assert.equal(all.includes(secret), false, secret);
  for (const shown of ['SLOW', '@localhost/test', '"DB_PASS":"[secret]"']) assert.ok(all.includes(shown), shown);
});

test('an empty configuration says so, and hostile names are inert', async () => {
  const { state, settings } = testConfiguration();
  const nothing = { repos: [], builders: [], pools: [], hostTypes: [], policies: [], dependents: [], secrets: [] };
  const empty = String(await configPage({ state, settings: { ...settings, ...nothing }, now: testNow }));
  assert.match(empty, /Nothing is built\..*No machine is declared\./s);
  const hostTypes = [{ name: hostile, labels: [hostile], tools: [], env: { [hostile]: hostile }, owners: [hostile], notes: hostile }];
  const text = String(await configPage({ state, settings: { ...settings, hostTypes }, now: testNow }));
  assert.equal(/<script|<img/i.test(text), false);
});
