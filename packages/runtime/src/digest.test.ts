import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sameSecret, sha256Hex } from './digest.ts';

test('a digest is that of the bytes', () => {
  const abc = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad';
  assert.equal(sha256Hex('abc'), abc);
  assert.equal(sha256Hex(Buffer.from('abc')), abc);
  assert.equal(sha256Hex('ü'), sha256Hex(Buffer.from('ü', 'utf8')));
});

test('only the same secret is the same', () => {
  assert.equal(sameSecret('hunter2', 'hunter2'), true);
  for (const other of ['', 'hunter', 'hunter22', 'Hunter2', 'hunter2\0', 'hunter2 '])
    assert.equal(sameSecret(other, 'hunter2'), false, other);
  assert.equal(sameSecret('', ''), true);
});
