import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isCode } from '@croft/runtime/errors';
import { assertSafeAddress } from './safe-address.ts';

const bare = { tls: false, signIn: false, behindProxy: false };

test('loopback needs nothing', () => {
  for (const host of ['127.0.0.1', '127.8.8.8', '::1', 'localhost']) assertSafeAddress({ ...bare, host });
});

test('any other address needs both TLS and sign-in, and says which is missing', () => {
  for (const host of ['0.0.0.0', '::', '192.0.2.1', 'farm.example', '127.0.0.1.example']) {
    assert.throws(
      () => assertSafeAddress({ ...bare, host }),
      (error) => isCode(error, 'invalid') && /TLS and sign-in are not/.test(error.message),
    );
    assert.throws(() => assertSafeAddress({ ...bare, host, tls: true }), /sign-in is not/);
    assert.throws(() => assertSafeAddress({ ...bare, host, signIn: true }), /TLS is not/);
    assertSafeAddress({ ...bare, host, tls: true, signIn: true });
    assertSafeAddress({ ...bare, host, behindProxy: true, signIn: true });
  }
});

test('loopback behind a proxy is open too', () => {
  assert.throws(() => assertSafeAddress({ ...bare, host: '127.0.0.1', behindProxy: true }), /sign-in is not/);
});
