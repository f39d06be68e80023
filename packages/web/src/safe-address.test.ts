import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isCode } from '@croft/runtime/errors';
import { assertSafeAddress } from './safe-address.ts';

const bare = { tls: false, behindProxy: false };

test('loopback needs nothing', () => {
  for (const host of ['127.0.0.1', '127.8.8.8', '::1', 'localhost']) assertSafeAddress({ ...bare, host });
});

test('any other address needs TLS, its own or a proxy’s', () => {
  for (const host of ['0.0.0.0', '::', '192.0.2.1', 'farm.example', '127.0.0.1.example']) {
    assert.throws(
      () => assertSafeAddress({ ...bare, host }),
      (error) => isCode(error, 'invalid') && /TLS is not/.test(error.message) && error.hint !== undefined,
    );
    assertSafeAddress({ ...bare, host, tls: true });
    assertSafeAddress({ ...bare, host, behindProxy: true });
  }
});
