import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { DAY, MINUTE } from '@croft/runtime/clock';
import { sha256Hex } from '@croft/runtime/digest';
import { isCode } from '@croft/runtime/errors';
import { FakeClock } from '@croft/runtime/testing';
import { createAttempts } from './attempts.ts';
import { createIdentify, requireRole, type Identify, type IdentityOptions, type KnownToken } from './identity.ts';
import { newSessionCookie } from './sessions.ts';
import { fakeConnection } from './testing.ts';

const secret = 'croft_0123';
const sessionKey = 'k'.repeat(64);

function setUp(over: Partial<IdentityOptions> = {}): {
  identify: Identify;
  clock: FakeClock;
  token: { -readonly [Key in keyof KnownToken]: KnownToken[Key] };
  used: number[];
} {
  const clock = new FakeClock();
  const token = { id: 'T1', name: 'ci', role: 'developer' as const, repos: ['croft'], expiresAt: clock.now() + 30 * DAY };
  const used: number[] = [];
  const tokens = {
    byHash: async (hash: string) => (hash === sha256Hex(secret) ? { ...token } : undefined),
    used: async (_id: string, at: number) => void used.push(at),
  };
  const options = { tokens, ownUid: 1000, anonymous: 'none' as const, attempts: createAttempts(clock), sessionKey, clock, ...over };
  return { identify: createIdentify(options), clock, token, used };
}

function request(headers: Record<string, string> = {}): Request {
  return new Request('http://127.0.0.1:8080/', { headers });
}

const bearer = (text: string): Request => request({ authorization: `Bearer ${text}` });

describe('a bearer token', () => {
  test('gives its role and repositories', async () => {
    const { identify } = setUp();
    assert.deepEqual(await identify(bearer(secret), fakeConnection()), {
      name: 'ci',
      role: 'developer',
      repos: ['croft'],
      via: 'token',
      tokenId: 'T1',
    });
  });

  test('counts no more once it is revoked or has expired, and is never repeated', async () => {
    for (const change of [{ revokedAt: 1 }, { expiresAt: 1 }]) {
      const { identify, token } = setUp();
      Object.assign(token, change);
      await assert.rejects(
        identify(bearer(secret), fakeConnection()),
        (error) => isCode(error, 'unauthenticated') && !String(error).includes(secret),
      );
    }
  });

  test('that is wrong is not overlooked for a local user', async () => {
    const { identify } = setUp({ peerUid: async () => 1000 });
    await assert.rejects(identify(bearer('croft_wrong'), fakeConnection()), (error) => isCode(error, 'unauthenticated'));
  });

  test('notes its use at most once a minute', async () => {
    const { identify, token, used, clock } = setUp();
    await identify(bearer(secret), fakeConnection());
    token.lastUsedAt = clock.now();
    await identify(bearer(secret), fakeConnection());
    assert.equal(used.length, 1);
  });

  test('after too many wrong ones from one place more are not even looked at kindly, and right ones still pass', async () => {
    const { identify, clock } = setUp();
    const outcome = (): Promise<unknown> =>
      identify(bearer('croft_guess'), fakeConnection()).catch((error: unknown) => (error as { code: string }).code);
    const codes = [];
    for (let tries = 0; tries < 12; tries += 1) codes.push(await outcome());
    assert.deepEqual(codes.slice(9), ['unauthenticated', 'exhausted', 'exhausted']);
    assert.equal((await identify(bearer(secret), fakeConnection())).name, 'ci');
    await assert.rejects(identify(bearer('croft_guess'), fakeConnection({ remoteAddress: '192.0.2.1' })), (error) =>
      isCode(error, 'unauthenticated'),
    );
    await clock.advance(5 * MINUTE);
    assert.equal(await outcome(), 'unauthenticated');
  });
});

describe('a session', () => {
  const cookieFor = (clock: FakeClock, uid?: number, secure = false): string =>
    newSessionCookie(secret, { sessionKey, clock, uid, secure }).split(';')[0] ?? '';

  test('is its token, for a week', async () => {
    const { identify, clock } = setUp();
    const cookie = cookieFor(clock);
    assert.equal((await identify(request({ cookie: `a=b; ${cookie}` }), fakeConnection())).via, 'session');
    await clock.advance(7 * DAY);
    assert.equal((await identify(request({ cookie }), fakeConnection())).role, undefined);
  });

  test('ends with its token', async () => {
    const { identify, clock, token } = setUp();
    token.revokedAt = clock.now();
    assert.equal((await identify(request({ cookie: cookieFor(clock) }), fakeConnection())).role, undefined);
  });

  test('cannot be made up or prolonged', async () => {
    const { identify, clock } = setUp();
    const cookie = cookieFor(clock);
    const longer = cookie.replace(/\.(\d{13})\./, (_, at: string) => `.${Number(at) + DAY}.`);
    const forged = newSessionCookie(secret, { sessionKey: 'x'.repeat(64), clock, uid: undefined, secure: false }).split(';')[0] ?? '';
    for (const bad of [longer, forged, `${cookie}0`, 'croft_session=', 'croft_session=...']) {
      assert.equal((await identify(request({ cookie: bad }), fakeConnection())).role, undefined, bad);
    }
  });

  test('of one local user is nothing in the hands of another', async () => {
    const peer = { uid: 1001 };
    const { identify, clock } = setUp({ peerUid: async () => peer.uid });
    const cookie = cookieFor(clock, 1001);
    assert.equal((await identify(request({ cookie }), fakeConnection())).via, 'session');
    peer.uid = 1002;
    assert.equal((await identify(request({ cookie }), fakeConnection())).role, undefined);
  });

  test('cookie is out of reach of scripts and other sites, and bound to the host under TLS', () => {
    const { clock } = setUp();
    const plain = newSessionCookie(secret, { sessionKey, clock, uid: undefined, secure: false });
    assert.match(plain, /^croft_session=.*; Path=\/; HttpOnly; SameSite=Strict; Max-Age=604800$/);
    assert.match(newSessionCookie(secret, { sessionKey, clock, uid: undefined, secure: true }), /^__Host-croft_session=.*; Secure$/);
    assert.ok(!plain.includes(secret));
  });
});

describe('without a token', () => {
  test('the user who runs the farm, and root, are its admin', async () => {
    for (const uid of [1000, 0]) {
      const { identify } = setUp({ peerUid: async () => uid });
      assert.deepEqual(await identify(request(), fakeConnection()), { name: 'local', role: 'admin', repos: [], via: 'local' });
    }
  });

  test('any other local user, or one that cannot be told, may do nothing', async () => {
    for (const uid of [1001, undefined]) {
      const { identify } = setUp({ peerUid: async () => uid });
      assert.equal((await identify(request(), fakeConnection())).role, undefined);
    }
  });

  test('a remote end is never looked up as a local user', async () => {
    const { identify } = setUp({ peerUid: async () => 1000 });
    assert.equal((await identify(request(), fakeConnection({ remoteAddress: '192.0.2.1' }))).role, undefined);
    assert.equal((await identify(request(), fakeConnection({ localAddress: '192.0.2.2' }))).role, undefined);
  });

  test('everybody may read where the farm says so', async () => {
    const { identify } = setUp({ anonymous: 'viewer' });
    assert.equal((await identify(request(), fakeConnection())).role, 'viewer');
  });
});

test('a role includes the lesser ones, and nobody has none', () => {
  const who = (role: 'operator' | undefined) => ({ name: 'x', role, repos: [], via: 'token' as const });
  requireRole(who('operator'), 'viewer');
  requireRole(who('operator'), 'operator');
  requireRole(who(undefined), 'anyone');
  assert.throws(
    () => requireRole(who('operator'), 'admin'),
    (error) => isCode(error, 'forbidden'),
  );
  assert.throws(
    () => requireRole(who(undefined), 'viewer'),
    (error) => isCode(error, 'unauthenticated'),
  );
});
