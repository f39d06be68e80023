import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { DAY } from '@croft/runtime/clock';
import { sha256Hex } from '@croft/runtime/digest';
import { isCode } from '@croft/runtime/errors';
import { silentLog } from '@croft/runtime/log';
import { systemRandom } from '@croft/runtime/random';
import { FakeClock } from '@croft/runtime/testing';
import { openDatabase } from '@croft/store/database';
import { fakeConnection } from '@croft/web/testing';
import { openAuth, type Auth, type AuthOptions } from './auth.ts';

interface Place extends AsyncDisposable {
  readonly dataDir: string;
  readonly clock: FakeClock;
  /** As after a restart. */
  open(over?: Partial<AuthOptions>): Promise<Auth>;
}

async function openPlace(): Promise<Place> {
  await using stack = new AsyncDisposableStack();
  const dataDir = await mkdtemp(join(tmpdir(), 'croft-auth-'));
  stack.defer(() => rm(dataDir, { recursive: true, force: true }));
  const database = stack.use(await openDatabase({ url: `sqlite:${join(dataDir, 'croft.db')}`, durability: 'kill', log: silentLog }));
  const clock = new FakeClock();
  const owned = stack.move();
  return {
    dataDir,
    clock,
    open: (over = {}) =>
      openAuth({ database, dataDir, trustLocalUser: false, anonymous: 'none', clock, random: systemRandom, log: silentLog, ...over }),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

const asking = (headers: Record<string, string>): Request => new Request('http://127.0.0.1:8080/', { headers });

describe('the admin’s token file', () => {
  test('lets its reader in as admin, is closed to others and kept over restarts', async () => {
    await using place = await openPlace();
    const auth = await place.open();
    const path = auth.tokenFile ?? '';
    const secret = (await readFile(path, 'utf8')).trim();
    assert.equal((await stat(path)).mode & 0o777, 0o600);
    assert.equal((await auth.identify(asking({ authorization: `Bearer ${secret}` }), fakeConnection())).role, 'admin');
    await place.open();
    assert.equal((await readFile(path, 'utf8')).trim(), secret);
  });

  test('is made anew when its token was revoked, ends soon or is no token', async () => {
    await using place = await openPlace();
    const spoil: ((auth: Auth, path: string, hash: string) => Promise<unknown>)[] = [
      async (auth, _, hash) => auth.tokens.revoke((await auth.tokens.byHash(hash))?.id ?? ''),
      () => place.clock.advance(300 * DAY),
      (_, path) => writeFile(path, 'nonsense'),
    ];
    for (const spoilIt of spoil) {
      const auth = await place.open();
      const path = auth.tokenFile ?? '';
      const before = (await readFile(path, 'utf8')).trim();
      await spoilIt(auth, path, sha256Hex(before));
      await place.open();
      const after = (await readFile(path, 'utf8')).trim();
      assert.notEqual(after, before);
      assert.equal((await auth.tokens.byHash(sha256Hex(after)))?.role, 'admin');
    }
  });

  test('is not needed where the local user is known', async () => {
    await using place = await openPlace();
    const auth = await place.open({ trustLocalUser: true, peerUid: async () => process.getuid?.() });
    assert.equal(auth.tokenFile, undefined);
    assert.equal((await auth.identify(asking({}), fakeConnection())).role, 'admin');
  });
});

test('behind a proxy the proxy’s own user is nobody', async () => {
  await using place = await openPlace();
  const auth = await place.open({ peerUid: async () => process.getuid?.() });
  assert.equal((await auth.identify(asking({}), fakeConnection())).role, undefined);
});

test('a session outlives a restart of the farm', async () => {
  await using place = await openPlace();
  const { tokens, signIn } = await place.open();
  const { secret } = await tokens.create({ name: 'someone', role: 'developer', repos: [], expiresInMs: DAY });
  const { cookie } = await signIn(secret, fakeConnection(), false);
  const later = await place.open();
  const who = await later.identify(asking({ cookie: cookie.split(';')[0] ?? '' }), fakeConnection());
  assert.deepEqual([who.name, who.role, who.via], ['someone', 'developer', 'session']);
});

test('a secret is nowhere in the data directory', async () => {
  await using place = await openPlace();
  const { tokens } = await place.open();
  const { secret } = await tokens.create({ name: 'ci', role: 'viewer', repos: [], expiresInMs: DAY });
  for (const file of ['croft.db', 'croft.db-wal']) {
    const bytes = await readFile(join(place.dataDir, file)).catch(() => Buffer.alloc(0));
    assert.equal(bytes.includes(secret), false, file);
  }
});

test('the audit trail is read in pages, newest first', async () => {
  await using place = await openPlace();
  const { audit } = await place.open();
  for (const target of ['a', 'b', 'c']) await audit.asked({ who: 'someone', what: 'build.retry', target, from: '127.0.0.1' });
  const first = await audit.list({ limit: 2 });
  const rest = await audit.list({ limit: 2, before: first.next });
  assert.deepEqual(
    [...first.entries, ...rest.entries].map(({ target }) => target),
    ['c', 'b', 'a'],
  );
  assert.equal(rest.next, undefined);
});

test('revoking what is no token says so', async () => {
  await using place = await openPlace();
  const { tokens } = await place.open();
  await assert.rejects(tokens.revoke('T0'), (error) => isCode(error, 'not-found'));
});
