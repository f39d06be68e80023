/** Over real sockets: a page on another origin, a rebound DNS name and another local user each fail to start a command. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { request, type IncomingMessage } from 'node:http';
import { json, text } from 'node:stream/consumers';
import { describe, test } from 'node:test';
import { createPeerUid } from '@croft/web/peer-uid';
import { testDetail } from '../pages/testing-views.ts';
import { openTestApp, type TestApp } from './testing.ts';

const build = 'B0123456789abcdef';
const commands = [`/api/v1/builds/${build}/retry`, `/builds/${build}/retry`, '/api/v1/repos/croft/notify', '/api/v1/tokens'];
const linux = process.platform === 'linux';

async function openReal(): Promise<TestApp> {
  const app = await openTestApp({ peerUid: createPeerUid() });
  app.farm.state.builds.set(build, testDetail({ id: build }));
  return app;
}

interface Sent {
  readonly port: number;
  readonly path: string;
  readonly headers: Record<string, string>;
}

async function post({ port, path, headers }: Sent): Promise<{ status: number; message: string }> {
  const outgoing = request({ host: '127.0.0.1', port, path, method: 'POST', headers });
  outgoing.end();
  const [incoming] = (await once(outgoing, 'response')) as [IncomingMessage];
  const body = (await json(incoming)) as { message?: string };
  return { status: incoming.statusCode ?? 0, message: body.message ?? '' };
}

async function assertRefused(app: TestApp, headers: (port: number) => Record<string, string>, message: RegExp): Promise<void> {
  await using listener = await app.listen();
  for (const path of commands) {
    const answer = await post({ port: listener.port, path, headers: headers(listener.port) });
    assert.equal(answer.status, 403, path);
    assert.match(answer.message, message);
  }
  assert.deepEqual(app.farm.asked, []);
  assert.deepEqual(
    await app.audited(),
    commands.map((path) => `unknown: POST refused ${path}`),
  );
}

describe('somebody who may not', () => {
  test('a page on another origin fails to start a command', async () => {
    await using app = await openReal();
    await assertRefused(
      app,
      () => ({ origin: 'http://evil.example', 'sec-fetch-site': 'cross-site', 'content-type': 'text/plain' }),
      /comes from another page/,
    );
  });

  test('a page on another port of this machine fails to start a command', async () => {
    await using app = await openReal();
    await assertRefused(app, () => ({ origin: 'http://127.0.0.1:1', 'sec-fetch-site': 'same-site' }), /comes from another page/);
  });

  test('a rebound DNS name fails to start a command', async () => {
    await using app = await openReal();
    const rebound = (port: number): Record<string, string> => ({
      host: `evil.example:${port}`,
      origin: `http://evil.example:${port}`,
      'sec-fetch-site': 'same-origin',
    });
    await assertRefused(app, rebound, /not called "evil\.example/);
  });

  test(
    'another local user fails to start a command, and to read',
    { skip: linux && process.getuid?.() === 0 ? false : 'only root on Linux can become another user' },
    async () => {
      await using app = await openReal();
      await using listener = await app.listen();
      const script = `
      const say = async (path, method) => { const answer = await fetch('${listener.url}' + path, { method }); await answer.text(); return answer.status; };
      const statuses = [];
      for (const path of ${JSON.stringify(commands)}) statuses.push(await say(path, 'POST'));
      for (const path of ['/', '/farm', '/api/v1/builds', '/builds/${build}/log', '/metrics', '/api/v1/events', '/healthz']) statuses.push(await say(path, 'GET'));
      console.log(statuses.join(' '));`;
      const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
        cwd: '/',
        uid: 65_534,
        gid: 65_534,
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      const [said] = await Promise.all([text(child.stdout), once(child, 'exit')]);
      assert.equal(said, '401 401 401 401 401 401 401 401 401 401 200\n');
      assert.deepEqual(app.farm.asked, []);
      assert.equal((await app.audited()).filter((entry) => entry.startsWith('anonymous (local user 65534)')).length, 4);
    },
  );
});

test(
  'the farm’s own user starts a command without a token',
  { skip: linux ? false : 'only Linux tells who is at the other end' },
  async () => {
    await using app = await openReal();
    await using listener = await app.listen();
    assert.equal((await post({ port: listener.port, path: commands[0] ?? '', headers: {} })).status, 200);
    assert.deepEqual(app.farm.asked, [`retry ${build} local`]);
  },
);
