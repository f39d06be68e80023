import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { logChunkSchema } from '@croft/protocol/operations';
import { readEvents, type ReadEvent } from '@croft/web/event-reader';
import { growingLog, syntheticLog, type GrowingLog } from '../pages/testing.ts';
import { openTestApp, type TestApp } from './testing.ts';

const build = 'B0123456789abcdef';
const path = `/builds/${build}/attempts/1/log`;

async function openWithLog(text: string): Promise<TestApp & { log: GrowingLog }> {
  const app = await openTestApp();
  const log = growingLog(text);
  app.farm.state.logs.set(`${build}.1`, log).set(`${build}.0`, log);
  return { ...app, log };
}

describe('a complete log', () => {
  const open = async (text = '<script>alert(1)</script>\u001b[31mred\n'): Promise<Awaited<ReturnType<typeof openWithLog>>> => {
    const app = await openWithLog(text);
    app.log.end();
    return app;
  };

  test('is its bytes, as text that nothing can run', async () => {
    await using app = await open();
    for (const address of [path, `/builds/${build}/log`]) {
      const { headers, ...answer } = await app
        .ask(address)
        .then(async (response) => ({ headers: response.headers, status: response.status, text: await response.text() }));
      assert.deepEqual(answer, { status: 200, text: '<script>alert(1)</script>\u001b[31mred\n' });
      assert.equal(headers.get('content-type'), 'text/plain; charset=utf-8');
      assert.equal(headers.get('x-content-type-options'), 'nosniff');
      assert.match(headers.get('content-security-policy') ?? '', /^sandbox;/);
      assert.equal(headers.get('content-length'), '34');
      assert.equal(headers.get('croft-log'), 'complete');
    }
  });

  test('is given in ranges', async () => {
    await using app = await open('0123456789');
    const ask = async (range: string, more = {}): Promise<unknown[]> => {
      const response = await app.ask(path, { headers: { range, ...more } });
      return [response.status, response.headers.get('content-range'), await response.text()];
    };
    assert.deepEqual(await ask('bytes=2-4'), [206, 'bytes 2-4/10', '234']);
    assert.deepEqual(await ask('bytes=-2'), [206, 'bytes 8-9/10', '89']);
    assert.deepEqual((await ask('bytes=10-')).slice(0, 2), [416, 'bytes */10']);
    const etag = (await app.ask(path, { method: 'HEAD' })).headers.get('etag') ?? '';
    assert.equal((await ask('bytes=0-0', { 'if-range': etag }))[0], 206);
    assert.equal((await ask('bytes=0-0', { 'if-range': '"another"' }))[0], 200);
  });

  test('need not be sent again to who has it', async () => {
    await using app = await open();
    const etag = (await app.ask(path)).headers.get('etag') ?? '';
    assert.equal((await app.ask(path, { headers: { 'if-none-match': `"x", W/${etag}` } })).status, 304);
    assert.equal((await app.ask(path, { headers: { 'if-none-match': '"x"' } })).status, 200);
  });

  test('is not read for HEAD', async () => {
    await using app = await open();
    app.log.read = () => assert.fail('read');
    const response = await app.ask(path, { method: 'HEAD' });
    assert.equal(response.headers.get('content-length'), '34');
  });

  test('of a gigabyte is read no faster than it is taken', async () => {
    await using app = await openTestApp();
    const log = syntheticLog(2 ** 24);
    let read = 0;
    app.farm.state.logs.set(`${build}.1`, {
      ...log,
      read: async function* counted(range) {
        for await (const chunk of log.read(range)) {
          read += chunk.length;
          yield chunk;
        }
      },
    });
    const response = await app.ask(path);
    assert.equal(response.headers.get('content-length'), String(2 ** 30));
    const reader = response.body?.getReader();
    await reader?.read();
    await reader?.cancel();
    assert.ok(read < 2 ** 20, `${read} bytes were read`);
  });

  test('of nothing is empty', async () => {
    await using app = await open('');
    const response = await app.ask(path);
    assert.deepEqual([response.status, response.headers.get('content-length'), await response.text()], [200, '0', '']);
  });

  test('is found by its hash in lower case only', async () => {
    await using app = await open('found');
    app.farm.logByHash = async (sha1) => (sha1 === 'ab'.repeat(20) ? app.log : undefined);
    assert.equal(await (await app.ask(`/log/${'ab'.repeat(20)}`)).text(), 'found');
    for (const hash of ['AB'.repeat(20), 'cd'.repeat(20), 'ab', '..%2fetc'])
      assert.equal((await app.ask(`/log/${hash}`)).status, 404, hash);
  });
});

describe('a live log', () => {
  test('is what is there now, without a tag', async () => {
    await using app = await openWithLog('so far');
    const response = await app.ask(path);
    assert.deepEqual([await response.text(), response.headers.get('etag'), response.headers.get('croft-log')], ['so far', null, 'live']);
    assert.equal((await app.ask(path, { headers: { range: 'bytes=3-' } })).headers.get('content-range'), 'bytes 3-5/*');
  });

  test('goes on to its end where that is asked for', async () => {
    await using app = await openWithLog('one ');
    const text = app.ask(`${path}?follow=1`).then((response) => response.text());
    app.log.write('two ');
    app.log.write('three');
    app.log.end();
    assert.equal(await text, 'one two three');
  });

  test('is told as events from any offset, and a reader who comes back misses and repeats nothing', async () => {
    await using app = await openWithLog('0123');
    const first = (await app.ask(`${path}/events?from=1`)).body;
    assert.ok(first);
    const events = readEvents(first);
    const [chunk] = await take(events, 1);
    assert.deepEqual([chunk?.id, bytesOf(chunk)], ['4', '123']);
    await events.return(undefined);
    app.log.write('4567');
    app.log.end();
    const second = (await app.ask(`${path}/events?from=1`, { headers: { 'last-event-id': chunk?.id ?? '' } })).body;
    assert.ok(second);
    const [rest, end] = await take(readEvents(second), 2);
    assert.deepEqual([rest?.id, bytesOf(rest), end?.event, end?.data], ['8', '4567', 'end', '{"bytes":8}']);
  });

  test('comes in chunks of at most 64 KiB', async () => {
    await using app = await openWithLog('x'.repeat(200_000));
    app.log.end();
    const body = (await app.ask(`${path}/events`)).body;
    assert.ok(body);
    const chunks = (await take(readEvents(body), 5)).filter(({ event }) => event === 'chunk');
    assert.deepEqual(
      chunks.map(({ id }) => id),
      ['65536', '131072', '196608', '200000'],
    );
  });

  test('has nothing behind its end', async () => {
    await using app = await openWithLog('abc');
    assert.equal((await app.ask(`${path}/events?from=4`)).status, 400);
    assert.equal((await app.ask(`${path}/events?from=-1`)).status, 400);
  });
});

test('a log that is not there is not found', async () => {
  await using app = await openTestApp();
  for (const address of [path, `${path}/events`, `/builds/${build}/attempts/0/log`, '/builds/x/log'])
    assert.equal((await app.ask(address)).status, 404, address);
});

/** The next events that have data. */
async function take(events: AsyncGenerator<ReadEvent>, count: number): Promise<ReadEvent[]> {
  const taken: ReadEvent[] = [];
  while (taken.length < count) {
    const { done, value } = await events.next();
    if (done) break;
    if (value.event !== '') taken.push(value);
  }
  return taken;
}

function bytesOf(event: ReadEvent | undefined): string {
  return Buffer.from(logChunkSchema.parse(JSON.parse(event?.data ?? '{}')).b64, 'base64').toString();
}
