import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DAY } from '@croft/runtime/clock';
import { fakeSession } from '../sessions/testing.ts';
import { openTestApp, type TestApp } from './testing.ts';

const json = { 'content-type': 'application/json' };
const viewer = 'viewer';
const developer = 'developer';

async function call(
  app: TestApp,
  path: string,
  { as, method = 'GET', body }: { as: 'viewer' | 'developer' | 'operator'; method?: string; body?: unknown },
): Promise<{ status: number; answer: Record<string, unknown> }> {
  const init = { method, headers: { ...json, ...(await app.as(as)) }, ...(body === undefined ? {} : { body: JSON.stringify(body) }) };
  const response = await app.ask(path, init);
  return { status: response.status, answer: (await response.json()) as Record<string, unknown> };
}

test('a developer creates, shares, extends, pings and ends a session, and each change but the ping is audited', async () => {
  await using app = await openTestApp();
  const created = await call(app, '/api/v1/sessions', { as: developer, method: 'POST', body: { builder: 'linux', note: 'a flake' } });
  assert.deepEqual([created.status, created.answer['alias'], created.answer['state']], [201, 'developer-linux-0', 'active']);
  const path = `/api/v1/sessions/${String(created.answer['id'])}`;
  const post = (verb: string, body?: unknown): ReturnType<typeof call> =>
    call(app, `${path}/${verb}`, { as: developer, method: 'POST', body });
  assert.deepEqual((await post('share', { with: ['bob'] })).answer['sharedWith'], ['bob']);
  assert.equal((await post('note', { note: 'still' })).answer['note'], 'still');
  assert.equal((await post('extend', { forMs: DAY })).status, 200);
  assert.equal((await post('ping')).status, 200);
  assert.equal((await call(app, path, { as: developer, method: 'DELETE', body: { why: 'done' } })).answer['state'], 'ended');
  const audited = (await app.audited()).filter((line) => line.includes('session.'));
  assert.deepEqual(
    audited.map((line) => line.split(' ')[1]),
    ['session.create', 'session.share', 'session.note', 'session.extend', 'session.end'],
  );
});

test('a viewer sees who holds what, and can neither take nor end anything', async () => {
  await using app = await openTestApp();
  app.farm.sessions.put(fakeSession({ note: 'a flake' }));
  const { answer } = await call(app, '/api/v1/sessions', { as: viewer });
  const [seen] = answer['sessions'] as { alias: string; owner: string; note: string }[];
  assert.deepEqual([seen?.alias, seen?.owner, seen?.note], ['ann-linux-0', 'ann', 'a flake']);
  assert.equal((await call(app, '/api/v1/sessions', { as: viewer, method: 'POST', body: { builder: 'linux' } })).status, 403);
  assert.equal((await call(app, '/api/v1/sessions/ann-linux-0', { as: viewer, method: 'DELETE' })).status, 403);
});

test('another developer is refused what an operator may end', async () => {
  await using app = await openTestApp();
  app.farm.sessions.put(fakeSession());
  const foreign = { method: 'DELETE' } as const;
  assert.equal((await call(app, '/api/v1/sessions/ann-linux-0', { ...foreign, as: developer })).status, 403);
  assert.equal((await call(app, '/api/v1/sessions/user-ann-linux-0', { ...foreign, as: 'operator' })).status, 200);
  assert.equal((await call(app, '/api/v1/sessions/ann-linux-0', { as: viewer })).status, 404, 'its alias is free again');
});

test('a session is followed until it is active', async () => {
  await using app = await openTestApp();
  app.farm.sessions.put(fakeSession({ state: 'waiting' }));
  const response = await app.ask('/api/v1/sessions/ann-linux-0/events', { headers: await app.as(viewer) });
  app.farm.sessions.put(fakeSession());
  const states = [...(await response.text()).matchAll(/"state":"(\w+)"/g)].map(([, state]) => state);
  assert.equal(states.at(-1), 'active');
});

test('what cannot be a session’s name is not found', async () => {
  await using app = await openTestApp();
  for (const name of ['..%2F..', 'a%20b', '-x', 'x'.repeat(300)])
    assert.equal((await call(app, `/api/v1/sessions/${name}`, { as: viewer })).status, 404, name);
});
