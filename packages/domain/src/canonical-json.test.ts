import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { canonicalJson } from './canonical-json.ts';

test('keys are sorted at every depth, lists keep their order', () => {
  assert.equal(canonicalJson({ b: [{ d: 1, c: null }, 2], a: 'x' }), '{"a":"x","b":[{"c":null,"d":1},2]}');
});

test('a key without a value counts as absent', () => {
  assert.equal(canonicalJson({ a: undefined, b: 1 }), canonicalJson({ b: 1 }));
});

test('it is JSON of the same value, and the same text for the same value', () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      const text = canonicalJson(value);
      assert.equal(canonicalJson(JSON.parse(text)), text);
      assert.equal(JSON.stringify(JSON.parse(text)).length, JSON.stringify(value).length);
    }),
  );
});
