import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { roleNames, type MachineList } from '@croft/protocol/api';
import { operations, pathOf, type Operation, type OperationName } from '@croft/protocol/operations';
import { errorBodySchema } from '@croft/protocol/runs';
import { HOUR } from '@croft/runtime/clock';
import * as z from 'zod';
import { growingLog } from '../pages/testing.ts';
import { testDetail } from '../pages/testing-views.ts';
import { openTestApp, type TestApp } from './testing.ts';

const build = 'B0123456789abcdef';
const json = { 'content-type': 'application/json' };
const params = {
  session: 'S00000000000000a1',
  build,
  attempt: '1',
  repo: 'croft',
  token: 'T000000000000',
  key: 'K0',
  sshKey: 'H0',
  machine: 'rack-a',
  sha1: 'a'.repeat(40),
};

async function openWithBuild(): Promise<TestApp> {
  const app = await openTestApp();
  app.farm.state.builds.set(build, testDetail({ id: build }));
  const log = growingLog('hello\n');
  log.end();
  app.farm.state.logs.set(`${build}.1`, log).set(`${build}.0`, log);
  return app;
}

interface Document {
  readonly paths: Record<
    string,
    Record<string, { responses: Record<string, { content?: Record<string, { schema: object }> }>; 'x-role': string }>
  >;
  readonly components: { readonly schemas: Record<string, object> };
}

describe('the OpenAPI document', () => {
  test('names every operation, and each of them is really served as it says', async () => {
    await using app = await openWithBuild();
    const document = (await (await app.ask('/api/v1/openapi.json')).json()) as Document;
    const described = Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
    );
    const all = Object.values(operations as Record<string, Operation>);
    assert.deepEqual(described.toSorted(), all.map(({ method, path }) => `${method} ${path}`).toSorted());
    for (const [name, operation] of Object.entries(operations) as [OperationName, Operation][])
      await checkAnswer(app, document, name, operation);
  });

  test('is understood as JSON Schema, references and all', async () => {
    await using app = await openWithBuild();
    const document = (await (await app.ask('/api/v1/openapi.json')).json()) as Document;
    const detail = schemaIn(document, '/api/v1/builds/{build}', 'get', '200');
    assert.ok(detail.safeParse(await (await app.ask(`/api/v1/builds/${build}`)).json()).success);
    assert.equal(detail.safeParse({ id: build }).success, false);
  });
});

/** Asks once as the admin: what comes back must be one of the described answers. */
async function checkAnswer(app: TestApp, document: Document, name: OperationName, { method, path, body }: Operation): Promise<void> {
  const given = name === 'token.create' ? { name: 'x', role: 'viewer', expiresInMs: 1 } : { why: 'x' };
  const query = name === 'results.originals' ? '?mode=json' : '';
  const response = await app.ask(pathOf(name, params) + query, { method, ...(body ? { body: JSON.stringify(given), headers: json } : {}) });
  const described = document.paths[path]?.[method.toLowerCase()]?.responses[response.status];
  assert.ok(described, `${name} answered ${response.status}, which is not described`);
  const [type = ''] = Object.keys(described.content ?? {});
  assert.ok(response.headers.get('content-type')?.startsWith(type.split(';')[0] ?? ''), `${name}: ${response.headers.get('content-type')}`);
  if (type !== 'application/json') {
    await response.body?.cancel();
    return;
  }
  const outcome = schemaIn(document, path, method.toLowerCase(), String(response.status)).safeParse(await response.json());
  assert.ok(outcome.success, `${name}: ${outcome.error?.message}`);
}

function schemaIn({ paths, components }: Document, path: string, method: string, status: string): z.ZodType {
  const schema = paths[path]?.[method]?.responses[status]?.content?.['application/json']?.schema ?? {};
  const text = JSON.stringify({ ...schema, $defs: components.schemas }).replaceAll('#/components/schemas/', '#/$defs/');
  return z.fromJSONSchema(JSON.parse(text) as Parameters<typeof z.fromJSONSchema>[0]);
}

describe('each operation', () => {
  test('refuses whoever has less than its role, and does nothing then', async () => {
    await using app = await openTestApp({ peerUid: async () => 54_321 });
    for (const [name, { method, path, role }] of Object.entries(operations) as [OperationName, Operation][]) {
      if (role === 'anyone') continue;
      const unknown = await app.ask(pathOf(name, params), { method, headers: { accept: 'application/json' } });
      assert.equal(unknown.status, 401, `${name} for nobody`);
      const lesser = roleNames[roleNames.indexOf(role) - 1];
      if (!lesser) continue;
      const refused = await app.ask(pathOf(name, params), { method, headers: await app.as(lesser) });
      assert.equal(refused.status, 403, `${name} for a ${lesser} at ${path}`);
      assert.match(errorBodySchema.parse(await refused.json()).message, new RegExp(`needs the role ${role}`));
    }
    assert.deepEqual(app.farm.asked, []);
  });

  test('answers HEAD as GET, without a body', async () => {
    await using app = await openWithBuild();
    for (const [name, { method }] of Object.entries(operations) as [OperationName, Operation][]) {
      if (method !== 'GET') continue;
      const [head, get] = await Promise.all([app.ask(pathOf(name, params), { method: 'HEAD' }), app.ask(pathOf(name, params))]);
      assert.equal(head.status, get.status, name);
      assert.equal(await head.text(), '', name);
      await get.body?.cancel();
    }
  });
});

describe('what is wrong with a request', () => {
  const wrong: [string, RequestInit, number, RegExp][] = [
    ['/api/v1/builds?limit=0', {}, 400, /limit/],
    ['/api/v1/builds?state=sleeping', {}, 400, /state/],
    ['/api/v1/grid?page=-1', {}, 400, /page/],
    ['/api/v1/builds/nonsense', {}, 404, /id of a build/],
    ['/api/v1/builds/B000000000000000f', {}, 404, /no build/],
    ['/api/v1/nothing', {}, 404, /nothing at GET \/api\/v1\/nothing/],
    [`/api/v1/builds/${build}/cancel`, { method: 'POST', body: '{"why":""}', headers: json }, 400, /why/],
    [`/api/v1/builds/${build}/cancel`, { method: 'POST', body: '{', headers: json }, 400, /not JSON/],
    [`/api/v1/builds/${build}/cancel`, { method: 'POST', body: 'why=x', headers: { 'content-type': 'text/xml' } }, 400, /must be JSON/],
    [`/api/v1/builds/${build}/cancel`, { method: 'POST', body: '{"why":"too late"}', headers: json }, 409, /ended/],
    [
      `/api/v1/builds/${build}/cancel`,
      { method: 'POST', body: JSON.stringify({ why: 'x'.repeat(70_000) }), headers: json },
      413,
      /65536 bytes/,
    ],
    ['/api/v1/builds', { method: 'PUT' }, 404, /nothing at PUT/],
  ];
  for (const [path, init, status, message] of wrong) {
    test(`${init.method ?? 'GET'} ${path} ${typeof init.body === 'string' ? init.body : ''} is answered ${status} and says so`, async () => {
      await using app = await openWithBuild();
      const response = await app.ask(path, init);
      const body = errorBodySchema.parse(await response.json());
      assert.equal(response.status, status, body.message);
      assert.match(body.message, message);
    });
  }

  test('a bug shows an id and no more', async () => {
    const errors: unknown[] = [];
    const log = { debug() {}, info() {}, warn() {}, error: (_: string, fields?: object) => void errors.push(fields), with: () => log };
    await using app = await openTestApp({ log });
    app.farm.farm = async () => {
      throw new TypeError('secret path /root');
    };
    const response = await app.ask('/api/v1/farm');
    const { message, code } = errorBodySchema.parse(await response.json());
    assert.deepEqual([response.status, code], [500, 'internal']);
    assert.doesNotMatch(message, /secret/);
    assert.match(JSON.stringify(errors), new RegExp(`${/\((\w+)\)/.exec(message)?.[1]}.*secret path`));
  });
});

describe('changes', () => {
  test('are recorded with who, what and where before they are made', async () => {
    await using app = await openWithBuild();
    await app.ask(`/api/v1/builds/${build}/retry`, { method: 'POST', headers: await app.as('developer') });
    await app.ask(`/api/v1/builds/${build}/cancel`, { method: 'POST', body: '{"why":"x"}', headers: json });
    await app.ask(`/api/v1/builds/${build}/cancel`, { method: 'POST', headers: await app.as('viewer') });
    assert.deepEqual(app.farm.asked, [`retry ${build} developer`, `cancel ${build} local: x`]);
    assert.deepEqual(await app.audited(), [
      `developer: build.retry ${build}`,
      `local: build.cancel ${build}`,
      `viewer: build.cancel refused ${build}`,
    ]);
  });

  test('by the pages’ forms need the same role and are recorded the same', async () => {
    await using app = await openWithBuild();
    const form = { 'content-type': 'application/x-www-form-urlencoded', origin: 'http://127.0.0.1:8080', accept: 'text/html' };
    const refused = await app.ask(`/builds/${build}/retry`, { method: 'POST', headers: { ...form, ...(await app.as('viewer')) } });
    assert.equal(refused.status, 403);
    const done = await app.ask(`/builds/${build}/retry`, { method: 'POST', headers: form });
    assert.deepEqual([done.status, done.headers.get('location')], [303, `/builds/${build}`]);
    assert.deepEqual(await app.audited(), [`viewer: build.retry refused ${build}`, `local: build.retry ${build}`]);
  });

  test('refused over and over do not fill the audit trail', async () => {
    await using app = await openTestApp({ peerUid: undefined });
    for (let times = 0; times < 80; times += 1) await app.ask(`/api/v1/builds/${build}/retry`, { method: 'POST' });
    assert.equal((await app.audited()).length, 60);
  });
});

test('a token is made, listed without its secret, used, and revoked', async () => {
  await using app = await openTestApp({ peerUid: async () => 54_321 });
  const admin = await app.as('admin');
  const body = JSON.stringify({ name: 'ci', role: 'viewer', expiresInMs: HOUR });
  const made = await app.ask('/api/v1/tokens', { method: 'POST', body, headers: { ...json, ...admin } });
  assert.equal(made.status, 201);
  const { id, secret } = (await made.json()) as { id: string; secret: string };
  const headers = { authorization: `Bearer ${secret}` };
  assert.deepEqual(await (await app.ask('/api/v1/me', { headers })).json(), { name: 'ci', role: 'viewer' });
  assert.ok(!(await (await app.ask('/api/v1/tokens', { headers: admin })).text()).includes(secret));
  for (let times = 0; times < 2; times += 1)
    assert.equal((await app.ask(`/api/v1/tokens/${id}`, { method: 'DELETE', headers: admin })).status, 200);
  assert.equal((await app.ask('/api/v1/me', { headers })).status, 401);
  assert.equal((await app.ask('/api/v1/tokens/T00', { method: 'DELETE', headers: admin })).status, 404);
});

test('a token limited to repositories sees and does nothing elsewhere', async () => {
  await using app = await openWithBuild();
  app.farm.state.builds.set('Bffffffffffffffff', testDetail({ id: 'Bffffffffffffffff', repo: 'other' }));
  const headers = await app.as('admin', ['other']);
  const status = async (path: string, init: RequestInit = {}): Promise<number> => (await app.ask(path, { ...init, headers })).status;
  assert.equal(await status(`/api/v1/builds/${build}`), 404);
  assert.equal(await status('/api/v1/builds/Bffffffffffffffff'), 200);
  assert.equal(await status(`/builds/${build}/log`), 404);
  assert.equal(await status(`/api/v1/builds/${build}/retry`, { method: 'POST' }), 404);
  assert.equal(await status('/api/v1/repos/croft/notify', { method: 'POST' }), 404);
  assert.equal(await status('/api/v1/grid?repo=croft'), 404);
  assert.equal(await status('/api/v1/tokens'), 403);
  const { builds } = (await (await app.ask('/api/v1/builds', { headers })).json()) as { builds: { repo: string }[] };
  assert.deepEqual(
    builds.map(({ repo }) => repo),
    ['other'],
  );
  assert.deepEqual(app.farm.asked, []);
});

test('a probe needs no token and learns no reasons; metrics are for a token that may do no more than read them', async () => {
  await using app = await openTestApp({ peerUid: async () => 54_321 });
  assert.deepEqual(await (await app.ask('/readyz')).json(), { ready: true, reasons: [] });
  Object.assign(app.farm, { ready: async () => ({ ready: false, reasons: ['the disk is full'] }) });
  const stranger = await app.ask('/readyz');
  assert.deepEqual([stranger.status, await stranger.json()], [503, { code: 'unavailable', message: 'not ready' }]);
  const headers = await app.as('monitor');
  assert.match(await (await app.ask('/readyz', { headers })).text(), /the disk is full/);
  assert.equal((await app.ask('/readyz', { headers: { authorization: 'Bearer guessed' } })).status, 401);
  assert.equal((await app.ask('/metrics')).status, 401);
  assert.match(await (await app.ask('/metrics', { headers })).text(), /^croft_/m);
  for (const path of ['/', '/farm', '/api/v1/builds', '/api/v1/events']) assert.equal((await app.ask(path, { headers })).status, 403, path);
});

test('readiness has its reasons, and metrics their names', async () => {
  await using app = await openTestApp();
  assert.equal((await app.ask('/readyz')).status, 200);
  Object.assign(app.farm, { ready: async () => ({ ready: false, reasons: ['the disk is full', 'the database is away'] }) });
  const response = await app.ask('/readyz');
  assert.equal(response.status, 503);
  assert.match(await response.text(), /the disk is full; the database is away/);
  await app.ask('/api/v1/builds/nonsense');
  const metrics = await (await app.ask('/metrics')).text();
  assert.match(metrics, /croft_http_request_seconds_count\{method="GET",route="\/readyz",status="2xx"\} 1/);
  assert.doesNotMatch(metrics, /nonsense/);
});

test('machines come in pages, by what is asked for', async () => {
  await using app = await openTestApp();
  const ask = async (query: string): Promise<{ machines: { id: string }[]; found: number }> =>
    (await (await app.ask(`/api/v1/machines?${query}`)).json()) as { machines: { id: string }[]; found: number };
  assert.deepEqual((await ask('limit=1&state=away')).machines.length, 1);
  assert.equal((await ask('find=mac-mini-7')).found, 1);
  for (const wrong of ['limit=0', 'limit=501', 'state=lost']) assert.equal((await app.ask(`/api/v1/machines?${wrong}`)).status, 400, wrong);
});

test('a token limited to repositories is not told of other builds, by changes or by machines', async () => {
  await using app = await openWithBuild();
  app.farm.state.builds.set('Bffffffffffffffff', testDetail({ id: 'Bffffffffffffffff', repo: 'other' }));
  const farm = await app.farm.farm();
  const lease = { id: 'L0123456789abcdef', holder: `${build}.1`, build, epoch: 3, acquiredAt: 1 };
  const [machine] = farm.machines;
  assert.ok(machine);
  const troubles = [
    { what: `build ${build}`, text: 'attempt 1 cannot go on', since: 1, build },
    { what: 'retention', text: 'the disk is slow', since: 1 },
  ];
  const held = { ...machine, lease: { ...lease, builder: 'unit', repo: 'app', revision: 'a'.repeat(40) } };
  const machineList = async (): Promise<MachineList> => ({ machines: [held], found: 1, counts: { ready: 0, busy: 1, away: 0 } });
  Object.assign(app.farm, { farm: async () => ({ ...farm, troubles, machines: [held] }), machineList });
  const headers = await app.as('viewer', ['other']);
  const listed = await (await app.ask('/api/v1/machines', { headers })).text();
  assert.ok(listed.includes(lease.id) && !listed.includes(build) && !listed.includes('aaaa'), listed);
  const seen = await (await app.ask('/api/v1/farm', { headers })).text();
  assert.ok(seen.includes(lease.id) && seen.includes('the disk is slow') && !seen.includes(build), seen);
  const reader = (await app.ask('/api/v1/events', { headers })).body?.getReader();
  await reader?.read();
  const next = reader?.read();
  for (const id of [build, 'Beeeeeeeeeeeeeeee', 'Bffffffffffffffff']) app.farm.tell({ kind: 'build', id });
  assert.match(Buffer.from((await next)?.value ?? []).toString(), /^event: change\ndata: \{"kind":"build","id":"Bffffffffffffffff"\}\n\n$/);
  await reader?.cancel();
});

test('changes of the farm are told as events', async () => {
  await using app = await openTestApp();
  const abort = new AbortController();
  const response = await app.ask('/api/v1/events', { signal: abort.signal });
  const reader = response.body?.getReader();
  await reader?.read();
  const next = reader?.read();
  app.farm.tell({ kind: 'build', id: build });
  assert.equal(Buffer.from((await next)?.value ?? []).toString(), `event: change\ndata: {"kind":"build","id":"${build}"}\n\n`);
  await reader?.cancel();
});
