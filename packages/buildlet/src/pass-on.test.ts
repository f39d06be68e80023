import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { test, type TestContext } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { systemClock, type Clock } from '@croft/runtime/clock';
import { isCode } from '@croft/runtime/errors';
import { FakeClock } from '@croft/runtime/testing';
import { passOn } from './pass-on.ts';

async function portOf(context: TestContext, answer: RequestListener): Promise<number> {
  const server = createServer(answer).listen(0, '127.0.0.1');
  await once(server, 'listening');
  context.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

test('a machine that does not begin to answer once it has everything is given up, however long the body took', async (context) => {
  const arrived = Promise.withResolvers<void>();
  const port = await portOf(context, (request) => void request.on('end', arrived.resolve).resume());
  const clock = new FakeClock();
  async function* slow(): AsyncGenerator<Buffer> {
    yield Buffer.from('first');
    await clock.advance(10_000);
    yield Buffer.from('last');
  }
  const asked = { method: 'PUT', path: '/write', headers: {}, body: slow() };
  const passing = { clock, signal: new AbortController().signal, headMs: 1_000 };
  const given = assert.rejects(passOn({ host: '127.0.0.1', port, password: '' }, asked, passing), (error) => isCode(error, 'timeout'));
  await arrived.promise;
  await clock.advance(1_000);
  await given;
});

test('an answer that comes before the end of the body was noticed leaves no alarm behind', async (context) => {
  const port = await portOf(context, (_, response) => response.end('early'));
  let sleeping = 0;
  const clock: Clock = {
    ...systemClock,
    async sleep(ms, waits) {
      sleeping += 1;
      await systemClock.sleep(ms, waits).finally(() => (sleeping -= 1));
    },
  };
  const ended = Promise.withResolvers<void>();
  async function* lasting(): AsyncGenerator<Buffer> {
    yield Buffer.from('all of it');
    await ended.promise;
  }
  const body = lasting();
  const asked = { method: 'PUT', path: '/write', headers: { 'content-length': '9' }, body };
  const passing = { clock, signal: new AbortController().signal, headMs: 60_000 };
  const answer = await passOn({ host: '127.0.0.1', port, password: '' }, asked, passing);
  ended.resolve();
  await body.next();
  await nextTurn();
  assert.equal(sleeping, 0);
  assert.equal(await text(answer), 'early');
});
