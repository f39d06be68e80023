/** The farm's door as its settings open it. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { readConfig } from '@croft/config/read-config';
import type { ConfigInput } from '@croft/config/define-config';
import { createReverseDesk } from '@croft/fleet/reverse-desk';
import { systemClock } from '@croft/runtime/clock';
import { isCode } from '@croft/runtime/errors';
import { silentLog, type Log } from '@croft/runtime/log';
import { systemRandom } from '@croft/runtime/random';
import { openDatabase } from '@croft/store/database';
import { createDistribution } from './distribution/distribution.ts';
import { createMetrics } from './events.ts';
import { fakeFarm } from './pages/testing.ts';
import { serveFarm, type Served } from './serve.ts';

interface Door extends AsyncDisposable {
  readonly url: string;
  readonly dataDir: string;
  readonly warned: readonly string[];
}

async function openDoor(settings: Partial<ConfigInput>): Promise<Door> {
  await using stack = new AsyncDisposableStack();
  const dataDir = await mkdtemp(join(tmpdir(), 'croft-door-'));
  stack.defer(() => rm(dataDir, { recursive: true, force: true }));
  const db = stack.use(await openDatabase({ url: `sqlite:${join(dataDir, 'croft.db')}`, durability: 'kill', log: silentLog }));
  const warned: string[] = [];
  const log: Log = { ...silentLog, warn: (message) => void warned.push(message) };
  const deps = {
    db,
    clock: systemClock,
    random: systemRandom,
    log,
    version: 'test',
    metrics: createMetrics(),
    desk: createReverseDesk({ clock: systemClock, random: systemRandom, log: silentLog }),
    distribution: createDistribution(join(dataDir, 'programs')),
    hookSecret: () => undefined,
    githubLogins: () => ({}),
    sshUser: () => undefined,
  };
  const served: Served = stack.use(await serveFarm(readConfig({ dataDir, port: 0, ...settings }), { capabilities: fakeFarm() }, deps));
  const owned = stack.move();
  return { url: served.url, dataDir, warned, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

test('an open address lets nobody read without a token, unless the operator says so; then the log does, too', async () => {
  const open = { behindProxy: true, publicHosts: ['farm.example'] };
  await using closed = await openDoor(open);
  assert.equal((await fetch(`${closed.url}/api/v1/builds`)).status, 401);
  assert.ok(!closed.warned.includes('anybody may read'));
  await using readable = await openDoor({ ...open, anonymous: 'viewer' });
  assert.equal((await fetch(`${readable.url}/api/v1/builds`)).status, 200);
  assert.equal((await fetch(`${readable.url}/api/v1/repos/croft/notify`, { method: 'POST' })).status, 403);
  assert.ok(readable.warned.includes('anybody may read'));
});

test('an address that others reach is refused without TLS, whoever may read', async () => {
  for (const anonymous of ['none', 'viewer'] as const) {
    await assert.rejects(openDoor({ host: '0.0.0.0', anonymous }), (error) => isCode(error, 'invalid') && /TLS/.test(error.message));
  }
});
