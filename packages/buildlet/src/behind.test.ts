/** A machine behind somebody else's address: each way of asking puts the base path first and shows the token. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { parseRunId } from '@croft/domain/names';
import { systemClock } from '@croft/runtime/clock';
import { createBuildlet } from './client.ts';
import { createGoClient } from './go-client.ts';

test('questions, long answers and raw connections go below the base path with the token instead of a password', async () => {
  const seen: string[] = [];
  const server = createServer(({ url, headers }, response) => {
    seen.push(`${url} ${headers.authorization}`);
    response.end('/work');
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address() as AddressInfo;
  const address = { host: '127.0.0.1', port, basePath: '/api/v1/sessions/S01/machine', token: 'croft_0a', user: 'me', password: 'sesame' };
  await using buildlet = createBuildlet(address, { clock: systemClock });
  await using client = createGoClient(address, { clock: systemClock });
  assert.equal(await buildlet.workDir({}), '/work');
  await Array.fromAsync(buildlet.output(parseRunId('S01.r'), 0, {}));
  assert.equal(await client.workDir({}), '/work');
  await assert.rejects(client.connectSsh('root', 'ssh-ed25519 AAAA', {}));
  assert.deepEqual(buildlet.address, address);
  const asked = ['/workdir', '/runs/S01.r/output?from=0&follow=1', '/workdir', '/connect-ssh'];
  assert.deepEqual(
    seen,
    asked.map((path) => `/api/v1/sessions/S01/machine${path} Bearer croft_0a`),
  );
  server.closeAllConnections();
  server.close();
});
