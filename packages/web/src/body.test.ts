import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cancelRequestSchema } from '@croft/protocol/api';
import { isCode, type ErrorCode } from '@croft/runtime/errors';
import { bodyLimitBytes, readForm, readJson } from './body.ts';

const post = (body: BodyInit | null, type = 'application/json'): Request =>
  new Request('http://127.0.0.1/', {
    method: 'POST',
    body,
    headers: { 'content-type': type },
    ...(body instanceof ReadableStream ? { duplex: 'half' } : {}),
  });
const read = (request: Request): Promise<unknown> => readJson(request, cancelRequestSchema);
const fails = (request: Request, code: ErrorCode, pattern: RegExp): Promise<void> =>
  assert.rejects(read(request), (error) => isCode(error, code) && pattern.test(error.message));

test('JSON is read and its defaults filled in', async () => {
  assert.deepEqual(await read(post('{"why":" slow "}', 'application/json; charset=utf-8')), { why: 'slow' });
  assert.deepEqual(await read(post(null)), { why: 'no reason given' });
});

test('what a cross-site form can send is not JSON', async () => {
  for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x', 'application/jsonx']) {
    await fails(post('{"why":"x"}', type), 'invalid', /must be JSON/);
  }
});

test('what is wrong is named', async () => {
  await fails(post('{"why":'), 'invalid', /not JSON/);
  await fails(post('{"why":7,"whom":1}'), 'invalid', /why: .*; it: .*whom/);
  await fails(post(new Uint8Array([0x7b, 0xff, 0x7d])), 'invalid', /not UTF-8/);
});

test('a body is not held beyond its limit, announced or not', async () => {
  await fails(post(`{"why":"${'x'.repeat(bodyLimitBytes)}"}`), 'too-large', /^the body is larger than 65536 bytes$/);
  let pulled = 0;
  const endless = new ReadableStream({
    pull(controller) {
      pulled += 1;
      controller.enqueue(new Uint8Array(16_384));
    },
  });
  await fails(post(endless), 'too-large', /larger than 65536/);
  assert.ok(pulled < 10, `${pulled} pieces were read`);
});

test('a form is URL-encoded', async () => {
  assert.equal((await readForm(post('why=a+b', 'application/x-www-form-urlencoded'))).get('why'), 'a b');
  await assert.rejects(readForm(post('x', 'text/plain')), (error) => isCode(error, 'invalid'));
});
