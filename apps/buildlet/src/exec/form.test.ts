import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { bytesOfText, textOfBytes } from '../commands/byte-text.ts';
import { parseForm } from './form.ts';

const form = (body: string, query = ''): ReturnType<typeof parseForm> => parseForm(Buffer.from(body, 'latin1'), query);

test('values of the body come before those of the query, and some are taken of the body alone', () => {
  const both = form('cmd=a&env=A%3D1&env=B=2', 'cmd=b&dir=d&env=C=3');
  assert.deepEqual([both.value('cmd'), both.value('dir'), both.value('none')], ['a', 'd', '']);
  assert.deepEqual(both.all('env'), ['A=1', 'B=2']);
  assert.deepEqual(form('', 'env=C=3').all('env'), []);
});

test("booleans are Go's", () => {
  for (const value of ['1', 't', 'T', 'TRUE', 'true', 'True']) assert.ok(form(`debug=${value}`).flag('debug'));
  for (const value of ['', '0', 'f', 'F', 'FALSE', 'false', 'False', 'yes', 'tRUE', ' 1']) {
    assert.ok(!form(`debug=${encodeURIComponent(value)}`).flag('debug'), value);
  }
});

test('pairs with a semicolon or a wrong escape are dropped, the others count', () => {
  const odd = form('a=1;2&b=%zz&%=x&c=%4&=empty&d&e==&f=a+b%20c&&g=%E2%82%AC');
  assert.deepEqual(
    ['a', 'b', 'c', '', 'd', 'e', 'f', 'g'].map((name) => odd.value(name)),
    ['', '', '', 'empty', '', '=', 'a b c', '€'],
  );
});

test('what was escaped is what is read, whatever its bytes', () => {
  const text = fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes));
  const escaped = (bytes: Buffer): string => [...bytes].map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join('');
  fc.assert(
    fc.property(fc.array(fc.tuple(text, text), { maxLength: 8 }), (pairs) => {
      const read = form(pairs.map(([name, value]) => `${escaped(name)}=${escaped(value)}`).join('&'));
      for (const [name] of pairs) {
        const values = pairs.filter(([other]) => other.equals(name)).map(([, value]) => value);
        assert.deepEqual(read.all(textOfBytes(name)).map(bytesOfText), values);
      }
    }),
  );
});

test('no bytes make it throw', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.string(), (bytes, query) => {
      parseForm(Buffer.from(bytes), query).value('cmd');
    }),
  );
});

test('a form of many values is read in time that grows with it', { timeout: 10_000 }, () => {
  const many = form(Array.from({ length: 500_000 }, (_, index) => `cmdArg=${index}`).join('&'));
  assert.equal(many.all('cmdArg').length, 500_000);
});
