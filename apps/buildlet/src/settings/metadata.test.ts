/** What clouds tell a machine about itself, from servers that answer as theirs do. buildlet.md 1.13 and 3.13. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { systemClock } from '@croft/runtime/clock';
import { isCode } from '@croft/runtime/errors';
import { FakeClock } from '@croft/runtime/testing';
import { readMetadata } from './metadata.ts';

type Answerer = (request: IncomingMessage, response: ServerResponse) => void;

async function withCloud<T>(answer: Answerer, use: (place: string) => Promise<T>): Promise<T> {
  const server = createServer(answer).listen(0, '127.0.0.1');
  await once(server, 'listening');
  try {
    return await use(`127.0.0.1:${(server.address() as AddressInfo).port}`);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

const attributes: Answerer = ({ url, headers }, response) => {
  const values: Record<string, string> = { password: 'of-gce', 'tls-cert': 'cert', 'tls-key': 'key' };
  const value = values[/^\/computeMetadata\/v1\/instance\/attributes\/([a-z-]+)$/.exec(url ?? '')?.[1] ?? ''];
  response.writeHead(headers['metadata-flavor'] !== 'Google' ? 403 : value === undefined ? 404 : 200).end(value ?? 'not found');
};

test('a machine of GCE asks its attributes, where GCE_METADATA_HOST says', async () => {
  await withCloud(attributes, async (place) => {
    assert.deepEqual(await readMetadata({ GCE_METADATA_HOST: place }, 'auto', systemClock), {
      password: 'of-gce',
      tlsCert: 'cert',
      tlsKey: 'key',
      cloud: 'gce',
    });
  });
});

test('what the cloud does not have is absent, what it cannot tell is a failure', async () => {
  const env = (place: string): NodeJS.ProcessEnv => ({ GCE_METADATA_HOST: place });
  await withCloud(
    (_, response) => response.writeHead(404).end('none'),
    async (place) => assert.equal((await readMetadata(env(place), 'auto', systemClock)).password, undefined),
  );
  for (const answer of [
    (_: IncomingMessage, response: ServerResponse) => response.writeHead(500).end('secret'),
    (_: IncomingMessage, response: ServerResponse) => response.writeHead(302, { Location: 'http://127.0.0.1:1/' }).end(),
    (_: IncomingMessage, response: ServerResponse) => response.end('x'.repeat(2 * 1024 * 1024)),
    ({ socket }: IncomingMessage) => void socket.destroy(),
  ]) {
    await withCloud(answer, (place) =>
      assert.rejects(
        readMetadata(env(place), 'auto', systemClock),
        (error) => isCode(error, 'unavailable') && !/secret/.test(String(error)),
      ),
    );
  }
});

test('a cloud that does not answer is waited for five seconds', async () => {
  const clock = new FakeClock();
  const asked = Promise.withResolvers<void>();
  await withCloud(
    () => asked.resolve(),
    async (place) => {
      const reading = readMetadata({ GCE_METADATA_HOST: place }, 'auto', clock);
      const failed = assert.rejects(reading, (error) => isCode(error, 'unavailable'));
      await asked.promise;
      await clock.advance(5_000);
      await failed;
    },
  );
});

test('a password that the environment has is used, and no cloud is asked', async () => {
  const env: NodeJS.ProcessEnv = { META_password: 'mine', GCE_METADATA_HOST: '127.0.0.1:1' };
  assert.deepEqual(await readMetadata(env, 'auto', systemClock), { password: 'mine', tlsCert: undefined, tlsKey: undefined, cloud: 'gce' });
});

test('a pod on GCE asks no machine that it is not', async () => {
  const env: NodeJS.ProcessEnv = { KUBERNETES_SERVICE_HOST: '10.0.0.1', GCE_METADATA_HOST: '127.0.0.1:1', META_PASSWORD: 'pod' };
  assert.deepEqual(await readMetadata(env, 'auto', systemClock), { password: 'pod', tlsCert: undefined, tlsKey: undefined, cloud: 'none' });
});

test('a machine of EC2 asks its user data, with a session where there are some', async () => {
  const data = JSON.stringify({ tls_password: 'of-ec2', tls_cert: 'cert', tls_key: 'key', buildlet_name: 'x' });
  for (const sessions of [true, false]) {
    const answer: Answerer = ({ url, method, headers }, response) => {
      if (method === 'PUT' && url === '/latest/api/token') response.writeHead(sessions ? 200 : 404).end('session');
      else if (url !== '/latest/user-data') response.writeHead(404).end();
      else response.writeHead(sessions && headers['x-aws-ec2-metadata-token'] !== 'session' ? 401 : 200).end(data);
    };
    await withCloud(answer, async (place) => {
      const found = await readMetadata({ AWS_EC2_METADATA_SERVICE_ENDPOINT: `http://${place}/` }, 'ec2', systemClock);
      assert.deepEqual(found, { password: 'of-ec2', tlsCert: 'cert', tlsKey: 'key', cloud: 'ec2' });
    });
  }
  const wrong: Answerer = ({ method }, response) => response.writeHead(method === 'PUT' ? 404 : 200).end('#!/bin/sh\necho secret');
  await withCloud(wrong, (place) =>
    assert.rejects(
      readMetadata({ AWS_EC2_METADATA_SERVICE_ENDPOINT: `http://${place}` }, 'ec2', systemClock),
      (error) => isCode(error, 'invalid') && !/secret/.test(String(error)),
    ),
  );
});
