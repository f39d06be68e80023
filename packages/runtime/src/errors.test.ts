import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { test } from 'node:test';
import { asCroftError, CroftError, errorText, isCode, systemCode } from './errors.ts';

test('an error knows its code, hint, cause and fields', () => {
  const cause = new Error('why');
  const error = new CroftError('exhausted', 'writing the log', { cause, hint: 'Free some disk.', fields: { path: '/logs' } });
  assert.ok(isCode(error, 'exhausted'));
  assert.equal(isCode(error, 'invalid'), false);
  assert.equal(isCode(cause, 'exhausted'), false);
  assert.deepEqual([error.cause, error.hint, error.fields], [cause, 'Free some disk.', { path: '/logs' }]);
  assert.equal('cause' in new CroftError('invalid', 'no cause'), false);
});

test('a text names every cause once', () => {
  const root = new Error('connect ECONNREFUSED');
  const middle = new CroftError('unavailable', 'asking the buildlet', { cause: root });
  assert.equal(errorText(new CroftError('internal', 'building', { cause: middle })), 'building: asking the buildlet: connect ECONNREFUSED');
  assert.equal(errorText(new CroftError('internal', 'building: connect ECONNREFUSED', { cause: root })), 'building: connect ECONNREFUSED');
});

test('what was thrown need not be an error', () => {
  assert.equal(errorText('a text'), 'a text');
  assert.equal(errorText(42), '42');
  assert.equal(errorText(undefined), '');
  assert.equal(errorText(Object.create(null)), '[object Object]');
});

test('an error that is its own cause is told once', () => {
  const loop = new Error('round and round');
  loop.cause = loop;
  assert.equal(errorText(loop), 'round and round');
  assert.equal(systemCode(loop), undefined);
});

test('an error without a message is told by what lies under it, else by its code or name', () => {
  const silent = new AggregateError([Object.assign(new Error('connect ECONNREFUSED 127.0.0.1:1'), { code: 'ECONNREFUSED' })], '');
  assert.equal(errorText(new TypeError('fetch failed', { cause: silent })), 'fetch failed: connect ECONNREFUSED 127.0.0.1:1');
  assert.equal(errorText(Object.assign(new Error(''), { code: 'ENOSPC' })), 'ENOSPC');
  assert.equal(errorText(new RangeError('')), 'RangeError');
});

test('a failure during clean-up does not hide the failure before it', () => {
  const text = errorText(new SuppressedError(new Error('closing failed'), new Error('the work failed')));
  assert.match(text, /closing failed/);
  assert.match(text, /the work failed/);
});

test('the system code is found below, and internal codes of Node are not taken for one', async () => {
  const missing: unknown = await readFile('/nonexistent/file').catch((error: unknown) => error);
  assert.equal(systemCode(new CroftError('internal', 'reading', { cause: missing })), 'ENOENT');
  assert.equal(systemCode(Object.assign(new Error('look-up'), { code: 'EAI_AGAIN' })), 'EAI_AGAIN');
  assert.equal(systemCode(Object.assign(new Error('bad'), { code: 'ERR_INVALID_ARG_TYPE' })), undefined);
  assert.equal(systemCode('text'), undefined);
});

test('the code of a refused connection is found whatever Node wraps it in', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  assert.ok(typeof address === 'object' && address);
  const [error] = (await once(connect(address.port, 'localhost'), 'error')) as [unknown];
  assert.equal(systemCode(error), 'ECONNREFUSED');
  assert.match(errorText(error), /ECONNREFUSED/);
});

test('a Croft error stays itself', () => {
  const error = new CroftError('stale', 'old epoch');
  assert.equal(asCroftError(error, 'internal', 'building'), error);
});

test('a timeout and an abort come under codes of their own', () => {
  const timeout = asCroftError(new DOMException('x', 'TimeoutError'), 'internal', 'asking');
  assert.deepEqual([timeout.code, timeout.message], ['timeout', 'asking: took too long']);
  assert.equal(asCroftError(new DOMException('x', 'AbortError'), 'internal', 'asking').code, 'cancelled');
});

test('the reason of an abort comes out of what Node wraps it in', async () => {
  const reason = new CroftError('stopped', 'stopping');
  const wrapped: unknown = await once(new EventTarget(), 'never', { signal: AbortSignal.abort(reason) }).catch((error: unknown) => error);
  assert.equal((wrapped as Error).name, 'AbortError');
  assert.equal(asCroftError(wrapped, 'internal', 'waiting'), reason);
});

test('anything else gets the code asked for, what was being done, and stays as the cause', () => {
  const cause = new Error('disk on fire');
  const error = asCroftError(cause, 'unavailable', 'storing the log');
  assert.deepEqual([error.code, error.message, error.cause], ['unavailable', 'storing the log: disk on fire', cause]);
});
