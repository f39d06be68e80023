import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { createMasker } from './mask.ts';
import { secretForms } from './secret-forms.ts';

function masked(secrets: readonly string[], chunks: readonly (string | Buffer)[]): Buffer {
  const stream = createMasker(secrets)();
  return Buffer.concat([...chunks.map((chunk) => Buffer.from(stream.push(Buffer.from(chunk)))), stream.end()]);
}
const text = (secrets: readonly string[], ...chunks: string[]): string => masked(secrets, chunks).toString('latin1');

test('a secret becomes as many stars as it has bytes, wherever it is split', () => {
  const secret = 'hunter2-hünter';
  const stars = '*'.repeat(Buffer.byteLength(secret));
  const line = Buffer.from(`TOKEN=${secret}, again ${secret}\n`);
  for (let cut = 0; cut <= line.length; cut += 1) {
    assert.equal(masked([secret], [line.subarray(0, cut), line.subarray(cut)]).toString(), `TOKEN=${stars}, again ${stars}\n`);
  }
  const single = [...line].map((byte) => Buffer.from([byte]));
  assert.equal(masked([secret], single).toString(), `TOKEN=${stars}, again ${stars}\n`);
});

test('it is found as JSON, URL, base64 and base64url write it, also in the middle of more', () => {
  const secret = 's3cr/t "+&?>\u00ff key~~';
  const json = JSON.stringify({ a: secret });
  const shown = [
    json,
    json.replaceAll('/', '\\/'),
    `https://x:${encodeURIComponent(secret)}@host/?q=${new URLSearchParams({ q: secret }).toString()}`,
    Buffer.from(secret).toString('base64'),
    Buffer.from(secret).toString('base64url'),
    ...['u:', 'user:', 'someone:'].map((user) => `Authorization: Basic ${Buffer.from(`${user}${secret}!`).toString('base64')}`),
  ];
  for (const one of shown) {
    const result = text([secret], one);
    assert.equal(result.length, Buffer.byteLength(one));
    assert.match(result, /\*{12,}/, result);
    for (const piece of ['s3cr', 'key', Buffer.from(secret).toString('base64').slice(4, 12)]) assert.ok(!result.includes(piece), result);
  }
});

test('a secret of several lines is found line by line, and wrapped as base64(1) does', () => {
  const secret = `-----BEGIN KEY-----\n${'abcdefgh'.repeat(8)}\n${'ijklmnop'.repeat(8)}\n-----END KEY-----`;
  const indented = secret.replaceAll('\n', '\r\n    ');
  assert.doesNotMatch(text([secret], indented), /[a-p]{6}/);
  const wrapped = Buffer.from(secret)
    .toString('base64')
    .replaceAll(/(.{76})/g, '$1\n');
  assert.doesNotMatch(text([secret], wrapped), /[A-Za-z0-9]{6}/);
});

test('what is not a secret goes through as it is, without a copy, and nothing is held back for longer than it may be one', () => {
  const chunk = Buffer.from('nothing in here.');
  assert.equal(createMasker([])().push(chunk), chunk);
  const stream = createMasker(['secret-token'])();
  assert.equal(stream.push(Buffer.from('a line\n')).toString(), 'a line\n');
  assert.equal(stream.push(Buffer.from('user: secret-to')).toString(), 'user: ');
  assert.equal(stream.push(Buffer.from('mato')).toString(), 'secret-tomato');
  assert.equal(stream.push(Buffer.from('secret')).toString(), '');
  assert.equal(stream.end().toString(), 'secret');
  assert.equal(stream.push(Buffer.from('-token')).toString(), '-token');
});

test('a chunk that is given is never written to', () => {
  const chunk = Buffer.from('a secret-token');
  masked(['secret-token'], [chunk]);
  assert.equal(chunk.toString(), 'a secret-token');
});

/** Every place of every form blanked, as slowly as can be. */
function reference(secrets: readonly string[], bytes: Buffer): Buffer {
  const result = Buffer.from(bytes);
  for (const form of secrets.flatMap(secretForms)) {
    for (let at = bytes.indexOf(form); at >= 0; at = bytes.indexOf(form, at + 1)) result.fill('*', at, at + form.length);
  }
  return result;
}

test('however it is cut, the result is every form of every secret blanked and nothing else', () => {
  const secret = fc
    .array(fc.constantFrom('a', 'b', 'ab', 'ba', '/', ' ', '"', '\n', 'ÿ'), { minLength: 5, maxLength: 9 })
    .map((parts) => parts.join(''));
  const input = fc.array(secret, { minLength: 1, maxLength: 3 }).chain((secrets) =>
    fc.record({
      secrets: fc.constant(secrets),
      parts: fc.array(
        fc.oneof(
          fc.constantFrom('a', 'b', 'ab', 'abba', '"', '*'),
          fc.constantFrom(...secrets.flatMap(secretForms)),
          fc.constantFrom(...secrets.flatMap(secretForms)).chain((form) => fc.nat(form.length).map((cut) => form.subarray(0, cut))),
          fc.uint8Array({ maxLength: 3 }),
        ),
        { maxLength: 12 },
      ),
      cuts: fc.array(fc.nat(60), { maxLength: 8 }),
    }),
  );
  fc.assert(
    fc.property(input, ({ secrets, parts, cuts }) => {
      const bytes = Buffer.concat(parts.map((part) => Buffer.from(part as string)));
      const places = [0, ...cuts.filter((cut) => cut < bytes.length).toSorted((a, b) => a - b), bytes.length];
      const chunks = places.slice(1).map((to, index) => bytes.subarray(places[index], to));
      assert.deepEqual(masked(secrets, chunks), reference(secrets, bytes));
    }),
    { numRuns: 3_000 },
  );
});
