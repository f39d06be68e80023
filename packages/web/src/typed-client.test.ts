import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { systemClock, type Clock } from '@croft/runtime/clock';
import { CroftError, isCode } from '@croft/runtime/errors';
import { silentLog } from '@croft/runtime/log';
import { createBell } from '@croft/runtime/tasks';
import { seededRandom } from '@croft/runtime/testing';
import { bodyOf, eventStream } from './event-stream.ts';
import { serve, type Handler, type Listener } from './listener.ts';
import { createClient, type Client } from './typed-client.ts';

const place = { build: 'B0123456789abcdef', attempt: 1, from: 0 };
/** Real waits, made short. */
const clock: Clock = { ...systemClock, sleep: (ms, waits) => systemClock.sleep(ms >= 15_000 ? ms : 1, waits) };

interface Served extends AsyncDisposable {
  readonly client: Client;
  readonly listener: Listener;
  readonly retries: CroftError[];
}

async function serveWith(handler: Handler): Promise<Served> {
  const listener = await serve(handler, { host: '127.0.0.1', port: 0, log: silentLog, graceMs: 100 });
  const retries: CroftError[] = [];
  const client = createClient({
    server: listener.url,
    token: 'croft_x',
    clock,
    random: seededRandom(1),
    onRetry: (error) => void retries.push(error),
  });
  return { client, listener, retries, [Symbol.asyncDispose]: () => listener[Symbol.asyncDispose]() };
}

async function collect(bytes: AsyncIterable<Uint8Array>, onBytes: (total: number) => void = () => {}): Promise<string> {
  let text = '';
  for await (const part of bytes) {
    text += Buffer.from(part).toString();
    onBytes(text.length);
  }
  return text;
}

/** Lets a server wait until its reader has got so much. */
function createReceipt(): { onBytes(total: number): void; has(total: number): Promise<void> } {
  const bell = createBell();
  let received = 0;
  return {
    onBytes(total) {
      received = total;
      bell.ring();
    },
    async has(total) {
      while (received < total) await bell.wait({});
    },
  };
}

describe('a call', () => {
  test('fills in path, query, body and token, and checks the answer', async () => {
    const seen: string[] = [];
    await using served = await serveWith(async (request) => {
      seen.push(
        `${request.method} ${new URL(request.url).pathname}${new URL(request.url).search} ${request.headers.get('authorization')} ${await request.text()}`,
      );
      return Response.json({ builds: [] });
    });
    assert.deepEqual(await served.client.call('builds.list', { query: { repo: 'a&b', limit: 5, builder: undefined } }), { builds: [] });
    await served.client.call('build.cancel', { params: { build: '../x' }, body: { why: 'y' } }).catch(() => {});
    await served.client.call('session.end', { params: { session: 'S1' }, body: { why: 'é' } }).catch(() => {});
    assert.deepEqual(seen, [
      'GET /api/v1/builds?repo=a%26b&limit=5 Bearer croft_x ',
      'POST /api/v1/builds/..%2Fx/cancel Bearer croft_x {"why":"y"}',
      'DELETE /api/v1/sessions/S1 Bearer croft_x {"why":"é"}',
    ]);
  });

  test('fails as the server says', async () => {
    await using served = await serveWith(() =>
      Response.json({ code: 'conflict', message: 'it has ended', hint: 'retry it' }, { status: 409 }),
    );
    await assert.rejects(
      served.client.call('farm.get'),
      (error) => isCode(error, 'conflict') && error.message === 'it has ended' && error.hint === 'retry it',
    );
  });

  test('says when the other side is no farm, or one of another kind', async () => {
    await using other = await serveWith(() => new Response('<html>', { status: 502 }));
    await assert.rejects(other.client.call('farm.get'), (error) => isCode(error, 'unavailable') && /Croft farm/.test(error.hint ?? ''));
    await using strange = await serveWith(() => Response.json({ name: 'x' }));
    await assert.rejects(strange.client.call('me.get'), (error) => isCode(error, 'internal') && /same version/.test(error.hint ?? ''));
  });

  test('says when nobody is there', async () => {
    const served = await serveWith(() => new Response());
    await served[Symbol.asyncDispose]();
    await assert.rejects(
      served.client.call('farm.get'),
      (error) => isCode(error, 'unavailable') && /cannot be reached/.test(error.message),
    );
  });

  test('does not wait for ever', async () => {
    await using served = await serveWith(() => new Promise(() => {}));
    await assert.rejects(served.client.call('farm.get', { timeoutMs: 30 }), (error) => isCode(error, 'timeout'));
  });

  test('takes its token nowhere else', async () => {
    await using elsewhere = await serveWith(() => assert.fail('asked'));
    await using served = await serveWith(() => Response.redirect(`${elsewhere.listener.url}/api/v1/me`, 307));
    await assert.rejects(served.client.call('me.get'), (error) => isCode(error, 'unavailable'));
  });
});

test('a token is not sent in the clear past this machine', () => {
  const options = { token: 'croft_x', clock, random: seededRandom(1) };
  assert.throws(
    () => createClient({ ...options, server: 'http://farm.example' }),
    (error) => isCode(error, 'invalid') && !error.message.includes('croft_x'),
  );
  assert.throws(
    () => createClient({ ...options, server: 'farm.example' }),
    (error) => isCode(error, 'invalid'),
  );
  createClient({ ...options, server: 'https://farm.example' });
  createClient({ ...options, server: 'http://[::1]:80' });
});

describe('a log', () => {
  const log = 'the quick brown fox jumps over the lazy dog';

  test('that is cut over and over still arrives once and whole', async () => {
    const receipt = createReceipt();
    await using served = await serveWith((request, connection) => {
      const from = Number(/bytes=(\d+)-/.exec(request.headers.get('range') ?? '')?.[1] ?? 0);
      const rest = Buffer.from(log.slice(from));
      const body = bodyOf(
        async function* halves() {
          yield rest.subarray(0, 10);
          await receipt.has(from + Math.min(10, rest.length));
          if (rest.length > 10) throw new Error('cut');
        },
        { request, connection, clock, log: silentLog },
      );
      return new Response(body, { status: from > 0 ? 206 : 200, headers: { 'content-length': String(rest.length) } });
    });
    assert.equal(await collect(served.client.readLog(place), receipt.onBytes), log);
    assert.equal(served.retries.length, 4);
  });

  test('is followed over cuts, clean ends and refusals until it says that it is complete', async () => {
    let times = 0;
    const receipt = createReceipt();
    await using served = await serveWith((request, connection) => {
      times += 1;
      if (times === 2) return Response.json({ code: 'unavailable', message: 'starting' }, { status: 503 });
      const from = Number(new URL(request.url).searchParams.get('from'));
      return eventStream(
        async function* events() {
          yield { event: 'chunk', data: { from, b64: Buffer.from(log.slice(from, from + 15)).toString('base64') } };
          await receipt.has(Math.min(from + 15, log.length));
          if (times === 1) connection.cut();
          if (from + 15 >= log.length) yield { event: 'end', data: { bytes: log.length } };
        },
        { request, connection, clock, log: silentLog },
      );
    });
    assert.equal(await collect(served.client.followLog(place), receipt.onBytes), log);
    assert.equal(times, 4);
  });

  test('from an offset begins there; behind its end there is nothing', async () => {
    await using served = await serveWith((request) => {
      if (request.headers.get('range') === 'bytes=40-') return new Response('dog', { status: 206 });
      return Response.json({ code: 'invalid', message: 'behind the end' }, { status: 416 });
    });
    assert.equal(await collect(served.client.readLog({ ...place, from: 40 })), 'dog');
    assert.equal(await collect(served.client.readLog({ ...place, from: 99 })), '');
  });

  test('that does not exist is not asked for again', async () => {
    let times = 0;
    await using served = await serveWith(() => {
      times += 1;
      return Response.json({ code: 'not-found', message: 'expired' }, { status: 404 });
    });
    await assert.rejects(collect(served.client.followLog(place)), (error) => isCode(error, 'not-found'));
    assert.equal(times, 1);
  });

  test('is left when its reader wants no more', async () => {
    const abort = new AbortController();
    await using served = await serveWith((request, connection) =>
      eventStream(
        async function* events({ signal }) {
          yield { event: 'chunk', data: { from: 0, b64: 'YQ==' } };
          await new Promise((_, reject) => signal?.addEventListener('abort', () => reject(signal.reason as Error)));
        },
        { request, connection, clock, log: silentLog },
      ),
    );
    const reading = collectUntil(served.client.followLog(place, { signal: abort.signal }), () =>
      abort.abort(new CroftError('cancelled', 'enough')),
    );
    await assert.rejects(reading, (error) => isCode(error, 'cancelled'));
  });
});

async function collectUntil(bytes: AsyncIterable<Uint8Array>, then: () => void): Promise<void> {
  for await (const _ of bytes) then();
}
