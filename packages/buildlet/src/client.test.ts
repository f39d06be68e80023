/** What the client makes of machines that are gone, slow, wrong or hostile. The conversation itself is tested in apps/buildlet. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { parseRunId } from '@croft/domain/names';
import { systemClock } from '@croft/runtime/clock';
import { CroftError, errorText, isCode, type ErrorCode } from '@croft/runtime/errors';
import { FakeClock } from '@croft/runtime/testing';
import { createBuildlet, type Buildlet } from './client.ts';
import { startTestBuildlet } from './testing.ts';

const id = parseRunId('a.1.test');
const withCode = (code: ErrorCode) => (error: unknown) => isCode(error, code) || assert.fail(`not "${code}": ${errorText(error)}`);

/** A client of a server that answers as told. */
async function against(answer: RequestListener): Promise<AsyncDisposable & { readonly client: Buildlet }> {
  const server = createServer(answer).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const client = createBuildlet({ host: '127.0.0.1', port, password: 'sesame' }, { clock: systemClock });
  return {
    client,
    async [Symbol.asyncDispose]() {
      await client[Symbol.asyncDispose]();
      server.closeAllConnections();
      server.close();
    },
  };
}

test('a machine that is not there is unavailable, with the cause and without the password', async () => {
  for (const address of [{ socketPath: '/no/such/socket' }, { host: '127.0.0.1', port: 1 }]) {
    await using client = createBuildlet({ ...address, password: 'sesame' }, { clock: systemClock });
    await assert.rejects(client.status({}), (error) => {
      assert.ok(isCode(error, 'unavailable') && error.cause instanceof Error);
      assert.match(error.message, /ask for the status: the buildlet at (\/no\/such\/socket|127\.0\.0\.1:1) cannot be reached/);
      assert.ok(!errorText(error).includes('sesame'));
      return true;
    });
  }
});

test('an answer that never comes ends at the deadline or by the caller’s signal', async () => {
  const server = createServer(() => {}).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const clock = new FakeClock();
  await using client = createBuildlet({ host: '127.0.0.1', port: (server.address() as AddressInfo).port, password: '' }, { clock });
  const waiting = assert.rejects(client.status({}), withCode('timeout'));
  await once(server, 'request');
  await clock.advance(30_000);
  await waiting;
  const controller = new AbortController();
  const aborted = assert.rejects(client.status({ signal: controller.signal }), withCode('cancelled'));
  await once(server, 'request');
  controller.abort(new CroftError('cancelled', 'nobody wants to know'));
  await aborted;
  server.closeAllConnections();
  server.close();
});

test('errors keep their code, hint and epoch; answers of other programs become codes by their status', async () => {
  await using ours = await against((_, response) => {
    response.writeHead(412).end(JSON.stringify({ code: 'stale', message: 'a newer lease', hint: 'stop', epoch: 8 }));
  });
  await assert.rejects(
    ours.client.ack(id, 1, 7, {}),
    (error) => isCode(error, 'stale') && error.hint === 'stop' && error.fields['epoch'] === 8,
  );
  for (const [status, code] of [
    [403, 'forbidden'],
    [404, 'not-found'],
    [507, 'exhausted'],
    [502, 'unavailable'],
  ] as const) {
    await using other = await against((_, response) => response.writeHead(status).end('who are you?'));
    await assert.rejects(other.client.workDir({}), withCode(code));
  }
});

test('an answer that is too large, not JSON or of another shape does no harm', async () => {
  const answers: RequestListener[] = [
    (_, response) => {
      const more = (): void =>
        void (response.destroyed || (response.write('x'.repeat(65_536)) ? setImmediate(more) : response.once('drain', more)));
      more();
    },
    (_, response) => response.end('<html>'),
    (_, response) => response.end('{"id":"x","state":"sleeping"}'),
    (_, response) => response.end(`${'['.repeat(100_000)}`),
    (_, response) => void response.socket?.end('HTTP/1.1 200 OK\r\nX: nonsense'),
    (_, response) => void response.socket?.end('garbage\r\n\r\n'),
  ];
  for (const answer of answers) {
    await using wrong = await against(answer);
    await assert.rejects(wrong.client.run(id, {}), (error) => isCode(error, 'unavailable') || isCode(error, 'exhausted'));
  }
});

test('output that is cut is told from output that ended', async () => {
  await using cutting = await against((_, response) => {
    response.write('half');
    setImmediate(() => response.destroy());
  });
  const got: string[] = [];
  await assert.rejects(async () => {
    for await (const piece of cutting.client.output(id, 0, {})) got.push(piece.toString());
  }, withCode('unavailable'));
  assert.deepEqual(got, ['half']);
});

test('an upload whose source fails is aborted and throws what the source threw', async () => {
  let received = '';
  let wasCut: Promise<unknown> | undefined;
  await using server = await against((request, response) => {
    request.on('data', (chunk: Buffer) => (received += chunk.toString()));
    request.on('error', () => {});
    wasCut = once(request, 'close');
    request.on('end', () => response.end('OK'));
  });
  async function* broken(): AsyncGenerator<Uint8Array> {
    yield Buffer.from('first');
    throw new CroftError('not-found', 'the mirror has vanished');
  }
  await assert.rejects(server.client.putTarGz('.', broken(), 1, {}), withCode('not-found'));
  await wasCut;
  assert.ok(received === '' || received === 'first');
});

test('one client outlives the restart of its machine', async () => {
  await using machine = await startTestBuildlet();
  await using client = createBuildlet(machine.address, { clock: systemClock });
  const first = await client.status({});
  await machine.kill9();
  await assert.rejects(client.status({}), withCode('unavailable'));
  await machine.restart();
  const second = await client.status({});
  assert.notEqual(second.Croft?.boot, first.Croft?.boot);
  assert.deepEqual(await client.runs({}), []);
});
