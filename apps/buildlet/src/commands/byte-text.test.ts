import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { bytesOfText, textOfBytes } from './byte-text.ts';

test('any bytes become text and the same bytes again', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
      assert.deepEqual([...bytesOfText(textOfBytes(Buffer.from(bytes)))], [...bytes]);
    }),
  );
});

test('UTF-8 is itself, also beside bytes that are not', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      fc.pre(text.isWellFormed());
      assert.equal(textOfBytes(Buffer.from(text)), text);
      assert.equal(textOfBytes(Buffer.concat([Buffer.of(0xff), Buffer.from(text), Buffer.of(0xc3)])), `\udcff${text}\udcc3`);
    }),
  );
});

test('surrogates, long forms and U+FFFD itself are told apart', () => {
  assert.equal(textOfBytes(Buffer.from('eda080', 'hex')), '\udced\udca0\udc80');
  assert.equal(textOfBytes(Buffer.from('c0af', 'hex')), '\udcc0\udcaf');
  assert.equal(textOfBytes(Buffer.from('efbfbd', 'hex')), '\ufffd');
  assert.equal(textOfBytes(Buffer.from('efbfbdff', 'hex')), '\ufffd\udcff');
});
