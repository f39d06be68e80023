import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { after, before, test } from 'node:test';
import { systemRandom } from '@croft/runtime/random';
import type { Call } from '../http/router.ts';
import { portRoutes } from './ports.ts';
import { startMachine, withCode, type TestMachine } from '../testing.ts';

let machine: TestMachine;
before(async () => void (machine = await startMachine()));
after(() => machine[Symbol.asyncDispose]());

test('a name has one port, which nothing listens on yet; another name has another', async () => {
  const [one, again, other] = await Promise.all(['B1.1.a', 'B1.1.a', 'B1.1.b'].map((name) => machine.client.portFor(name, {})));
  assert.equal(one, again);
  assert.notEqual(one, other);
  assert.equal(await machine.client.isOpen(one ?? 0, {}), false);
  await assert.rejects(machine.client.portFor('no name/', {}), withCode('invalid'));
});

test('chance gives no port twice', async () => {
  let drawn = 0;
  const random = { ...systemRandom, fraction: () => Math.floor((drawn += 1) / 2) / 1_000 };
  const { handle } = portRoutes(random)['/ports'] as { handle(call: Partial<Call>): Promise<{ body?: unknown }> };
  const portOf = async (name: string): Promise<string> =>
    JSON.stringify(await handle({ method: 'POST', query: new URLSearchParams({ name }) }));
  const given = [await portOf('a'), await portOf('b'), await portOf('c')];
  assert.equal(new Set(given).size, 3, given.join());
  assert.equal(await portOf('a'), given[0]);
});

test('whoever listens is found, and not cut off', async () => {
  const ends: string[] = [];
  const server = createServer((socket) => {
    socket.on('error', (error) => ends.push(String(error))).on('end', () => ends.push('end'));
    socket.write('greeting');
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  try {
    const { port } = server.address() as AddressInfo;
    const connected = once(server, 'connection');
    assert.equal(await machine.client.isOpen(port, {}), true);
    const [socket] = (await connected) as [NodeJS.EventEmitter & { readableEnded: boolean }];
    if (!socket.readableEnded)
      await once(
        socket.on('data', () => {}),
        'end',
      );
    assert.deepEqual(ends, ['end']);
  } finally {
    server.close();
  }
  for (const port of [0, 70_000]) await assert.rejects(machine.client.isOpen(port, {}), withCode('invalid'));
});
