import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { isCode } from '@croft/runtime/errors';
import { parseTarget } from './target.ts';

test('a user name says where somebody wants to go', () => {
  const session = (name: string): object => ({ kind: 'session', name });
  assert.deepEqual(parseTarget('ann-linux-0'), { place: session('ann-linux-0'), attach: { kind: 'again' } });
  assert.deepEqual(parseTarget('ann-linux-0+new'), { place: session('ann-linux-0'), attach: { kind: 'new' } });
  assert.deepEqual(parseTarget('S0123456789abcdef+r-12'), { place: session('S0123456789abcdef'), attach: { kind: 'run', name: 'r-12' } });
  assert.deepEqual(parseTarget('mutable-user-ann-linux-0').place, session('mutable-user-ann-linux-0'));
  assert.deepEqual(parseTarget('build-B0123456789abcdef').place, { kind: 'build', build: 'B0123456789abcdef' });
});

test('what nothing can be called is refused, whatever it is', () => {
  for (const user of ['', '+', 'a+', '+new', 'a b', '../x', 'a/b', '-a', 'a+b+c', 'ä', 'a\0', 'x'.repeat(300), 'a+-b'])
    assert.throws(
      () => parseTarget(user),
      (error) => isCode(error, 'invalid'),
      user,
    );
  fc.assert(
    fc.property(fc.string(), (user) => {
      try {
        parseTarget(user);
      } catch (error) {
        assert.ok(isCode(error, 'invalid'));
      }
    }),
  );
});
