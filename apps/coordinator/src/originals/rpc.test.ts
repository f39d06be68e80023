import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, constants, type IncomingHttpHeaders } from 'node:http2';
import { buffer } from 'node:stream/consumers';
import { describe, test } from 'node:test';
import { Code, ConnectError, type Transport } from '@connectrpc/connect';
import { createConnectTransport, createGrpcTransport } from '@connectrpc/connect-node';
import { authorizationHeader, clearResultsMethod } from '@croft/protocol/coordinator-service';
import { systemClock } from '@croft/runtime/clock';
import { silentLog } from '@croft/runtime/log';
import { seededRandom } from '@croft/runtime/testing';
import { createAttempts } from '@croft/web/attempts';
import { serve, type Listener } from '@croft/web/listener';
import { createAdmit } from './admit.ts';
import type { Dashboard } from './dashboard.ts';
import { createRpc } from './rpc.ts';
import { go, masterKey, openDashboardStage, revision, type DashboardStage } from './testing-stage.ts';

interface RpcStage extends AsyncDisposable {
  readonly stage: DashboardStage;
  readonly listener: Listener;
}

async function openRpc({ accepted = true, clear }: { accepted?: boolean; clear?: Dashboard['clear'] } = {}): Promise<RpcStage> {
  await using stack = new AsyncDisposableStack();
  const stage = stack.use(await openDashboardStage());
  const { audit } = stage.app.auth;
  const keys = accepted ? stage.keys : undefined;
  const admit = createAdmit({ keys, audit, attempts: createAttempts(systemClock) });
  const { dashboard } = stage.farm;
  const deps = { publicNames: [], admit, log: silentLog, random: seededRandom(1) };
  const raw = createRpc({ ...deps, dashboard: clear ? { ...dashboard, packages: dashboard.packages, clear } : dashboard });
  const options = { host: '127.0.0.1', port: 0, raw: [raw], log: silentLog, graceMs: 200 };
  const listener = stack.use(await serve(() => new Response('page'), options));
  const owned = stack.move();
  return { stage, listener, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

const transports: [string, (baseUrl: string) => Transport][] = [
  ['gRPC over h2c', (baseUrl) => createGrpcTransport({ baseUrl })],
  ['Connect over HTTP/1', (baseUrl) => createConnectTransport({ baseUrl, httpVersion: '1.1' })],
];

interface Call {
  readonly builder?: string;
  readonly hash?: string;
  readonly authorization?: string;
}

async function call(transport: Transport, { builder = 'plan9', hash = revision(2), authorization }: Call): Promise<Code | 'ok'> {
  const headers = new Headers(authorization === undefined ? {} : { [authorizationHeader]: authorization });
  try {
    await transport.unary(clearResultsMethod, undefined, 5_000, headers, { builder, hash });
    return 'ok';
  } catch (error) {
    return ConnectError.from(error).code;
  }
}

for (const [name, transportTo] of transports) {
  describe(`RET-6, ${name}`, () => {
    test('clears a result for whoever has the builder’s key', async () => {
      await using rpc = await openRpc();
      const { dashboard } = rpc.stage.farm;
      const result = { builder: 'plan9' as never, revisions: [{ repo: go, revision: revision(2) }], passed: false, log: 'x\n', runMs: 1 };
      await dashboard.report(result);
      const authorization = `builder ${rpc.stage.keys.keyOf('plan9')}`;
      assert.equal(await call(transportTo(rpc.listener.url), { authorization }), 'ok');
      assert.equal((await rpc.stage.results())[revision(2)]?.['plan9'] ?? '', '');
      assert.deepEqual(await rpc.stage.app.audited(), [`builder key of plan9: original.clear-results plan9 ${revision(2)}`]);
    });

    test('says with the code of gRPC what is wrong', async () => {
      await using rpc = await openRpc();
      const transport = transportTo(rpc.listener.url);
      const authorization = `builder ${masterKey.replaceAll(' ', '')}`;
      assert.equal(await call(transport, { builder: '' }), Code.InvalidArgument);
      assert.equal(await call(transport, { hash: '' }), Code.InvalidArgument);
      assert.equal(await call(transport, {}), Code.Unauthenticated);
      assert.equal(await call(transport, { authorization: 'bearer x' }), Code.Unauthenticated);
      assert.equal(await call(transport, { authorization }), Code.Unauthenticated);
      assert.equal(
        await call(transport, { authorization: `builder ${rpc.stage.keys.keyOf('plan9')}`, hash: 'short' }),
        Code.InvalidArgument,
      );
    });

    test('takes no key where none is accepted, nor the user behind the connection', async () => {
      await using rpc = await openRpc({ accepted: false });
      const authorization = `builder ${rpc.stage.keys.keyOf('plan9')}`;
      assert.equal(await call(transportTo(rpc.listener.url), { authorization }), Code.Unauthenticated);
    });
  });
}

test('the pages are there beside it', async () => {
  await using rpc = await openRpc();
  assert.equal(await (await fetch(rpc.listener.url)).text(), 'page');
});

/** Bytes as a client of gRPC sends them, without a library's help or mercy. */
const clearPath = '/protos.Coordinator/ClearResults';
const field = (number: number, text: string | Buffer): Buffer => {
  const bytes = Buffer.from(text);
  const length = bytes.length < 128 ? [bytes.length] : [(bytes.length & 127) | 128, bytes.length >> 7]; // up to 16 KiB
  return Buffer.concat([Buffer.from([(number << 3) | 2, ...length]), bytes]);
};
const framed = (message: Buffer, { compressed = false, length = message.length } = {}): Buffer => {
  const head = Buffer.alloc(5);
  head.writeUInt8(compressed ? 1 : 0);
  head.writeUInt32BE(length, 1);
  return Buffer.concat([head, message]);
};
const wish = Buffer.concat([field(1, 'plan9'), field(2, revision(2))]);

interface Sent {
  readonly path?: string;
  readonly body?: Buffer;
  readonly headers?: Record<string, string>;
}

async function statusOf({ stage, listener }: RpcStage, { path = clearPath, body = framed(wish), headers = {} }: Sent): Promise<number> {
  const session = connect(listener.url);
  const authorization = `builder ${stage.keys.keyOf('plan9')}`;
  const common = { ':method': 'POST', 'content-type': 'application/grpc', te: 'trailers', [authorizationHeader]: authorization };
  const stream = session.request({ ...common, ':path': path, ...headers });
  let trailers: IncomingHttpHeaders = {};
  stream.on('trailers', (given) => (trailers = given));
  const response = once(stream, 'response', { signal: systemClock.deadline(10_000) });
  stream.end(body);
  const [head, flags] = (await response) as [IncomingHttpHeaders & { ':status': number }, number];
  await buffer(stream);
  session.close();
  assert.equal(head[':status'], 200, 'what is wrong with a call is never told by HTTP');
  const ends = (flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0;
  assert.equal(head['grpc-status'] !== undefined, ends, 'a status in the head ends the stream, or Go’s client does not believe it');
  return Number(head['grpc-status'] ?? trailers['grpc-status']);
}

describe('RET-6, on the wire', () => {
  test('one frame with one message is carried out, also with fields that are not known here', async () => {
    await using rpc = await openRpc();
    assert.equal(await statusOf(rpc, {}), 0);
    assert.equal(await statusOf(rpc, { body: framed(Buffer.concat([wish, field(9, 'of a later version')])) }), 0);
    assert.equal((await rpc.stage.app.audited()).length, 2);
  });

  test('a method or a service that nobody implements is UNIMPLEMENTED', async () => {
    await using rpc = await openRpc();
    for (const path of ['/protos.Coordinator/Nothing', '/protos.Coordinator/', '/protos.GomoteService/Ping', '/'])
      assert.equal(await statusOf(rpc, { path }), Code.Unimplemented, path);
    const connectClient = await fetch(`${rpc.listener.url}/protos.Coordinator/Nothing`, { method: 'POST', body: '{}' });
    assert.equal(connectClient.status, 404);
  });

  test('frames that are cut, lie, repeat, or hold no message change nothing', async () => {
    await using rpc = await openRpc();
    const frames: [string, Buffer, Code][] = [
      ['nothing', Buffer.alloc(0), Code.Unimplemented],
      ['half a head', framed(wish).subarray(0, 3), Code.InvalidArgument],
      ['half a message', framed(wish).subarray(0, 9), Code.InvalidArgument],
      ['a length that is a lie', framed(wish, { length: 0x7fff_ffff }), Code.ResourceExhausted],
      [
        'too much',
        framed(Buffer.concat([wish, ...Array.from({ length: 10 }, () => field(3, 'x'.repeat(16_000)))])),
        Code.ResourceExhausted,
      ],
      ['two messages', Buffer.concat([framed(wish), framed(wish)]), Code.Unimplemented],
      ['no message', framed(Buffer.from([0xff, 0xff, 0xff])), Code.Internal],
      ['no text', framed(Buffer.concat([field(1, Buffer.from([0xff, 0xfe])), field(2, revision(2))])), Code.Internal],
      ['compressed, nobody says how', framed(wish, { compressed: true }), Code.Internal],
    ];
    for (const [what, body, code] of frames) assert.equal(await statusOf(rpc, { body }), code, what);
    assert.equal(await statusOf(rpc, { headers: { 'grpc-encoding': 'snappy' } }), Code.Unimplemented);
    assert.deepEqual(await rpc.stage.app.audited(), []);
  });

  test('a page on another origin and a rebound name are refused', async () => {
    await using rpc = await openRpc();
    assert.equal(await statusOf(rpc, { headers: { origin: 'https://evil.example' } }), Code.PermissionDenied);
    assert.equal(await statusOf(rpc, { headers: { ':authority': 'evil.example' } }), Code.PermissionDenied);
  });

  test('what the caller does not wait for any more is not begun, and says so', async () => {
    let seen: AbortSignal | undefined;
    const clear: Dashboard['clear'] = async (_, { signal } = {}) => {
      seen = signal;
      await once(signal ?? new EventTarget(), 'abort');
      throw signal?.reason;
    };
    await using rpc = await openRpc({ clear });
    assert.equal(await statusOf(rpc, { headers: { 'grpc-timeout': '50m' } }), Code.DeadlineExceeded);
    assert.equal(seen?.aborted, true);
    assert.equal(await statusOf(rpc, { headers: { 'grpc-timeout': 'soon' } }), Code.InvalidArgument);
  });

  test('a bug inside is INTERNAL, without its words', async () => {
    await using rpc = await openRpc({ clear: () => Promise.reject(new Error('secret')) });
    assert.equal(await statusOf(rpc, {}), Code.Internal);
  });
});
