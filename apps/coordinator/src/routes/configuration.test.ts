import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Farm } from '@croft/protocol/api';
import { testFarm, testNow } from '../pages/testing-views.ts';
import { openTestApp } from './testing.ts';

test('operators of the whole farm see the configuration, nobody else does', async () => {
  await using app = await openTestApp();
  const statuses = async (headers: { authorization: string }): Promise<number[]> => {
    const answers = [await app.ask('/api/v1/config', { headers }), await app.ask('/config', { headers })];
    return answers.map(({ status }) => status);
  };
  assert.deepEqual(await statuses(await app.as('operator')), [200, 200]);
  assert.deepEqual(await statuses(await app.as('developer')), [403, 403]);
  assert.deepEqual(await statuses(await app.as('operator', ['croft'])), [403, 403]);
});

test('everybody who may read sees that an edit was refused, operators see why', async () => {
  await using app = await openTestApp();
  const mistakes = [{ file: '/etc/croft.yaml', line: 3, message: '"hunter22" is not a number' }];
  const { config } = testFarm();
  app.farm.state.farm = testFarm({ config: { ...config, problem: { at: testNow, count: 1, mistakes } } });
  const configOf = async (role: 'viewer' | 'operator'): Promise<Farm['config']> => {
    const answer = await app.ask('/api/v1/farm', { headers: await app.as(role) });
    return ((await answer.json()) as Farm).config;
  };
  assert.deepEqual((await configOf('operator')).problem?.mistakes, mistakes);
  const { file, problem } = await configOf('viewer');
  assert.deepEqual([file, problem], [undefined, { at: testNow, count: 1, mistakes: [] }]);
  const page = await (await app.ask('/farm', { headers: await app.as('viewer') })).text();
  assert.match(page, /has 1 mistake\./);
  assert.equal(page.includes('hunter22') || page.includes('href="/config"'), false);
});
