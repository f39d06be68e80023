import assert from 'node:assert/strict';
import { duplexPair, type Duplex } from 'node:stream';
import { test } from 'node:test';
import fc from 'fast-check';
import { isCode } from '@croft/runtime/errors';
import { requestSwitch } from './revdial-switch.ts';

const request = { path: '/revdial?revdial.dialer=00&conn=1', headers: { 'User-Agent': 'Go-http-client/1.1' } };

/** Asks, and answers each request with the next of the texts. */
async function exchange(
  ...answers: string[]
): Promise<{ near: Duplex; far: Duplex; asked: string[]; headers: ReadonlyMap<string, string> }> {
  const [near, far] = duplexPair();
  const asked: string[] = [];
  far.on('data', (bytes: Buffer) => {
    asked.push(bytes.toString());
    const answer = answers.shift();
    if (answer === undefined) far.end();
    else far.write(answer);
  });
  return { near, far, asked, headers: await requestSwitch(near, request, {}) };
}

test("the request is Go's to the byte, and its answer of version 0.0 is taken (2.2, 2.4)", async () => {
  const { asked } = await exchange('HTTP/0.0 101 Switching Protocols\r\n\r\n');
  assert.deepEqual(asked, ['GET /revdial?revdial.dialer=00&conn=1 HTTP/1.1\r\nHost: \r\nUser-Agent: Go-http-client/1.1\r\n\r\n']);
});

test('headers beside the 101 are told, and bytes behind it are kept', async () => {
  const { near, headers } = await exchange('HTTP/1.1 101 Switching Protocols\r\nCroft-Revdial: 1\r\n\r\nGET /status');
  assert.equal(headers.get('croft-revdial'), '1');
  const [bytes] = await new Promise<[Buffer]>((resolve) => near.once('data', (...args: [Buffer]) => resolve(args)));
  assert.equal(bytes.toString(), 'GET /status');
});

const redirect = (location: string): string =>
  `HTTP/1.1 307 Temporary Redirect\r\nLocation: ${location}\r\nContent-Length: 4\r\n\r\nthere`.slice(0, -1);

test('one redirect is followed on the same connection; a second one and one elsewhere are not', async () => {
  const { asked } = await exchange(redirect('/site/revdial?x'), 'HTTP/1.1 101 Switching Protocols\r\n\r\n');
  assert.match(asked[1] ?? '', /^GET \/site\/revdial\?x HTTP/);
  await assert.rejects(exchange(redirect('/a'), redirect('/b')), /too many redirects/);
  await assert.rejects(exchange(redirect('http://other/')), /redirected to/);
  await assert.rejects(exchange(redirect('//other/')), /redirected to/);
});

test('a refusal is told with its body, whatever its length is said by', async () => {
  const refusals = [
    'HTTP/1.1 412 Precondition Failed\r\nContent-Length: 18\r\n\r\ninvalid build key\n',
    'HTTP/1.1 412 Precondition Failed\r\nTransfer-Encoding: chunked\r\n\r\n8\r\ninvalid \r\na\r\nbuild key\n\r\n0\r\n\r\n',
  ];
  for (const refusal of refusals) {
    await assert.rejects(exchange(refusal), (error) => {
      assert.ok(isCode(error, 'unavailable') && error.fields['status'] === 412);
      assert.equal(error.message, 'switch failed: want HTTP status 101 or 307; got 412 Precondition Failed:\n\tinvalid build key\n');
      return true;
    });
  }
});

test('a connection that ends, an endless head and an abort end the wait, and the connection', async () => {
  await assert.rejects(exchange(), /ended before an answer/);
  await assert.rejects(exchange(`HTTP/1.1 101 x\r\n${'a: b\r\n'.repeat(4_000)}`), /a head without end/);
  const [near] = duplexPair();
  const leave = new AbortController();
  const asking = requestSwitch(near, request, { signal: leave.signal });
  leave.abort(new Error('enough'));
  await assert.rejects(asking, /enough/);
  assert.ok(near.destroyed);
});

test('a head cannot be forged through a path or a header', async () => {
  for (const bad of [{ path: '/a b' }, { path: '/a\r\nX: y' }, { path: '/', headers: { A: 'b\r\nC: d' } }]) {
    await assert.rejects(requestSwitch(duplexPair()[0], bad, {}), (error) => isCode(error, 'invalid'));
  }
});

test('any answer ends in a connection or a failure with a code', async () => {
  const piece = fc.constantFrom(
    'HTTP/1.1 ',
    '101 ',
    '307 x',
    '\r\n',
    '\r\n\r\n',
    'Location: /a',
    'Content-Length: 9',
    'Transfer-Encoding: chunked',
    '0',
    'ff',
  );
  await fc.assert(
    fc.asyncProperty(fc.array(fc.oneof(piece, fc.string({ maxLength: 5 })), { maxLength: 12 }), async (pieces) => {
      const [near, far] = duplexPair();
      far.end(pieces.join(''));
      far.resume();
      await requestSwitch(near, request, {}).catch((error: unknown) => assert.ok(isCode(error, 'unavailable'), String(error)));
    }),
  );
});
