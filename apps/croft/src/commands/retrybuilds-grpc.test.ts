import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Http2Server, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { test } from 'node:test';
import { systemClock } from '@croft/runtime/clock';
import { isCode } from '@croft/runtime/errors';
import { clearByGrpc } from './retrybuilds-grpc.ts';

interface GrpcServer extends AsyncDisposable {
  readonly host: string;
  readonly asked: { readonly authorization: unknown; readonly bytes: Buffer }[];
}

/** Answers each call with the next status, in the head alone or after a message. `undefined`: never. */
async function openGrpc(statuses: readonly (number | undefined)[], inHead: boolean): Promise<GrpcServer> {
  const asked: GrpcServer['asked'] = [];
  const server: Http2Server = createServer();
  const answer = async (stream: ServerHttp2Stream, headers: IncomingHttpHeaders): Promise<void> => {
    asked.push({ authorization: headers['coordinator-authorization'], bytes: await buffer(stream) });
    const status = statuses[asked.length - 1];
    if (status === undefined) return;
    const said = { 'grpc-status': String(status), 'grpc-message': 'because%20of%20this' };
    const head = { ':status': 200, 'content-type': 'application/grpc' };
    if (inHead) return stream.respond({ ...head, ...said }, { endStream: true });
    stream.on('wantTrailers', () => stream.sendTrailers(said));
    stream.respond(head, { waitForTrailers: true });
    stream.end(Buffer.alloc(5));
  };
  server.on('stream', (stream, headers) => {
    answer(stream as ServerHttp2Stream, headers).catch(() => undefined); // the client has gone
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const host = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { host, asked, [Symbol.asyncDispose]: () => close(server) };
}

async function close(server: Http2Server): Promise<void> {
  const closed = once(server, 'close');
  server.close();
  await closed;
}

const what = { builder: 'plan9', hash: 'abc', key: 'secret', doing: 'clearing' };
const inTime = (): { signal: AbortSignal } => ({ signal: systemClock.deadline(20_000) });

for (const inHead of [true, false]) {
  test(`a status ${inHead ? 'in the head' : 'after the message'} is understood`, async () => {
    await using server = await openGrpc([0, 10, 4, 16, 3], inHead);
    const clear = () => clearByGrpc({ ...what, host: server.host }, inTime());
    assert.deepEqual([await clear(), await clear(), await clear()], ['done', 'busy', 'late']);
    await assert.rejects(
      clear(),
      (error) => isCode(error, 'unauthenticated') && /^clearing: because of this$/.test((error as Error).message),
    );
    await assert.rejects(clear(), (error) => isCode(error, 'invalid'));
    const [first] = server.asked;
    assert.equal(first?.authorization, 'builder secret');
    assert.equal(first?.bytes.toString('latin1'), '\0\0\0\0\x0c\x0a\x05plan9\x12\x03abc');
  });
}

test('an answer that does not come in time is late; where nobody answers is said', async () => {
  await using server = await openGrpc([], true);
  assert.equal(await clearByGrpc({ ...what, host: server.host }, { signal: systemClock.deadline(20) }), 'late');
  assert.equal(await clearByGrpc({ ...what, host: server.host }, { signal: AbortSignal.abort() }), 'late', 'before it is connected');
  await assert.rejects(
    clearByGrpc({ ...what, host: 'http://127.0.0.1:1' }, inTime()),
    (error) => isCode(error, 'unavailable') && !(error as Error).message.includes('secret'),
  );
  await assert.rejects(clearByGrpc({ ...what, host: 'http://farm.example:1' }, inTime()), /no key is sent there/);
});
