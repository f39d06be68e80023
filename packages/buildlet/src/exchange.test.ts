import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { SECOND, systemClock } from '@croft/runtime/clock';
import { createExchange } from './exchange.ts';

test('an upload that goes on for long keeps nothing of what it has sent', async () => {
  await using server = createServer(async (request, response) => {
    await once(request.resume(), 'end');
    response.end('taken');
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  using exchange = createExchange({ host: '127.0.0.1', port, password: '' }, systemClock);
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const heapUsed = (): number => {
    collect();
    return process.memoryUsage().heapUsed;
  };
  let kept = NaN;
  const content = async function* (): AsyncGenerator<Uint8Array> {
    const pieces = async function* (): AsyncGenerator<Uint8Array> {
      for (let count = 0; count < 8_000; count += 1) yield Buffer.from('key');
    };
    yield* pieces(); // what is made once is made before
    const before = heapUsed();
    yield* pieces();
    kept = heapUsed() - before;
  };
  const question = { doing: 'type', method: 'PUT', path: '/', body: { type: 'text/plain', content: content() } };
  const { text } = await exchange.ask(question, 10, { signal: systemClock.deadline(20 * SECOND) });
  assert.equal(text, 'taken');
  assert.ok(kept < 2_500_000, `${kept} bytes are kept of 8,000 pieces while the answer is waited for`);
});
