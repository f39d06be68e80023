import { test } from 'node:test';
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer, request as httpRequest, type IncomingMessage, type RequestOptions } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { systemClock } from '@croft/runtime/clock';
import { missingBrowser, openBrowser } from '@croft/web/html/testing';
import { buildThat, endedBuild, getBuild, onlyBuild } from './testing-builds.ts';
import { makeRepo } from './testing-repo.ts';
import { startFarm, type TestFarm } from './testing.ts';

interface Stage extends AsyncDisposable {
  readonly farm: TestFarm;
  /** A build that has ended, so that a retry would start its command. */
  readonly id: string;
  readonly repo: string;
}

async function makeStage(): Promise<Stage> {
  await using stack = new AsyncDisposableStack();
  const repo = stack.use(await makeRepo('#!/bin/sh\n'));
  const farm = stack.use(await startFarm({ repo: repo.dir }));
  const { id } = await onlyBuild(farm);
  await endedBuild(farm, id);
  const owned = stack.move();
  return { farm, id, repo: (await getBuild(farm, id)).repo, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** Nothing of what was tried has come to anything; the same request of whoever started the farm does. */
async function assertUntouched({ farm, id, repo }: Stage): Promise<void> {
  assert.equal((await getBuild(farm, id)).attempts, 1);
  await farm.api('POST', `/api/v1/repos/${repo}/notify`);
  await farm.api('POST', `/api/v1/builds/${id}/retry`);
  await buildThat(farm, id, { what: 'was tried again', is: ({ state, attempts }) => state === 'ended' && attempts === 2 });
}

/** What would start a command: through the API, and through the page's form. */
const startsOf = ({ id, repo }: Stage): string[] => [`/api/v1/builds/${id}/retry`, `/api/v1/repos/${repo}/notify`, `/builds/${id}/retry`];

async function send(options: RequestOptions, body = ''): Promise<{ status: number; body: string }> {
  const request = httpRequest({ method: 'POST', agent: false, signal: systemClock.deadline(20_000), ...options });
  request.end(body);
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  return { status: response.statusCode ?? 0, body: await text(response) };
}

/** The local pool's first machine. */
async function buildletOf({ farm }: Stage): Promise<{ socketPath: string; password: string }> {
  const machines = join(farm.dataDir, 'machines');
  return { socketPath: join(machines, 'sockets/local-1.sock'), password: await readFile(join(machines, 'local-1/password'), 'utf8') };
}

const basic = (password: string): string => `Basic ${Buffer.from(`anybody:${password}`).toString('base64')}`;
const startRun = { path: '/runs/Bffffffffffffffff.1.evil', method: 'PUT' };
const run = JSON.stringify({ argv: ['true'], dir: '.', env: {}, limitMs: 1_000, outputLimitBytes: 1_000 });

test('a page on another origin cannot make a browser start a command', async () => {
  await using stage = await makeStage();
  const { port } = new URL(stage.farm.url);
  const foreign: Record<string, string>[] = [
    { origin: 'https://evil.example', 'content-type': 'application/json' },
    { origin: 'null', 'content-type': 'text/plain' },
    { origin: 'http://127.0.0.1:1', 'content-type': 'application/x-www-form-urlencoded' },
    { 'sec-fetch-site': 'cross-site' },
    { 'sec-fetch-site': 'same-site', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' },
    { 'content-type': 'application/x-www-form-urlencoded' },
  ];
  for (const path of startsOf(stage)) {
    for (const headers of foreign) {
      const { status, body } = await send({ host: '127.0.0.1', port, path, headers }, 'why=x');
      assert.equal(status, 403, `${path} with ${JSON.stringify(headers)}: ${body}`);
      assert.match(body, /page|form/);
    }
  }
  const { socketPath, password } = await buildletOf(stage);
  const authorization = basic(password);
  for (const headers of [{ origin: 'https://evil.example' }, { 'sec-fetch-site': 'cross-site' }]) {
    const { status } = await send({ socketPath, ...startRun, headers: { authorization, 'croft-epoch': '99', ...headers } }, run);
    assert.equal(status, 403);
  }
  const { entries } = await stage.farm.api<{ entries: { who: string; what: string }[] }>('GET', '/api/v1/audit');
  assert.ok(entries.length >= startsOf(stage).length * foreign.length, 'each of them is on record');
  await assertUntouched(stage);
});

test('a name that was rebound to the farm’s address reaches nothing', async () => {
  await using stage = await makeStage();
  const { port } = new URL(stage.farm.url);
  for (const path of [...startsOf(stage), '/farm', `/builds/${stage.id}/log`]) {
    for (const host of [`evil.example:${port}`, 'evil.example', `127.0.0.1.evil.example:${port}`]) {
      const method = startsOf(stage).includes(path) ? 'POST' : 'GET';
      const headers = { host, ...(method === 'POST' ? { origin: `http://${host}`, 'sec-fetch-site': 'same-origin' } : {}) };
      const { status, body } = await send({ host: '127.0.0.1', port, path, method, headers });
      assert.equal(status, 403, `${method} ${path} as ${host}`);
      assert.match(body, /is not called/);
    }
  }
  await assertUntouched(stage);
});

test('whoever has no password starts nothing on a buildlet', async () => {
  await using stage = await makeStage();
  const { socketPath } = await buildletOf(stage);
  for (const headers of [{}, { authorization: basic('') }, { authorization: basic('guess') }]) {
    const { status } = await send({ socketPath, ...startRun, headers: { 'croft-epoch': '99', ...headers } }, run);
    assert.equal(status, 403);
  }
  await assertUntouched(stage);
});

/** Gives up being root, then tries; prints what came of each try. */
const stranger = `
  process.setgroups([]); process.setgid(65534); process.setuid(65534);
  const { request } = require('node:http');
  const [url, socketPath, password, ...paths] = process.argv.slice(1);
  const send = (target, options) => new Promise((resolve) => {
    const asked = request(...target, { method: 'POST', agent: false, ...options }, (response) => { response.resume(); resolve(response.statusCode); });
    asked.on('error', (error) => resolve(error.code)).end();
  });
  const read = (path) => { try { require('node:fs').readFileSync(path); return 'read'; } catch (error) { return error.code; } };
  (async () => {
    const http = [];
    for (const path of paths) http.push(await send([new URL(path, url)], {}));
    const socket = await send([], { socketPath, path: '/runs/x', method: 'PUT' });
    process.stdout.write(JSON.stringify({ uid: process.getuid(), http, socket, password: read(password) }));
  })();
`;

test(
  'another user of this machine starts nothing, neither through the coordinator nor through a buildlet',
  { skip: process.getuid?.() === 0 ? false : 'only root can become another user' },
  async () => {
    await using stage = await makeStage();
    const { socketPath } = await buildletOf(stage);
    const password = join(stage.farm.dataDir, 'machines/local-1/password');
    const { stdout } = await promisify(execFile)(process.execPath, [
      '-e',
      stranger,
      stage.farm.url,
      socketPath,
      password,
      ...startsOf(stage),
    ]);
    assert.deepEqual(JSON.parse(stdout), { uid: 65_534, http: startsOf(stage).map(() => 401), socket: 'EACCES', password: 'EACCES' });
    await assertUntouched(stage);
  },
);

test(
  'a real browser on a foreign page: neither its scripts nor its forms start anything',
  { skip: missingBrowser(process.env) },
  async () => {
    await using stage = await makeStage();
    await using page = await serveForeignPage(stage);
    const browser = await openBrowser();
    try {
      const tab = await browser.newPage();
      await tab.goto(page.url);
      await tab.locator('#tried').waitFor({ state: 'attached' });
      for (const path of startsOf(stage)) {
        await tab.goto(page.url);
        const [response] = await Promise.all([
          tab.waitForResponse((one) => one.url() === `${stage.farm.url}${path}`),
          tab.locator(`[data-path="${path}"]`).click(),
        ]);
        assert.equal(response.status(), 403);
      }
    } finally {
      await browser.close();
    }
    await assertUntouched(stage);
  },
);

async function serveForeignPage(stage: Stage): Promise<AsyncDisposable & { readonly url: string }> {
  const { farm } = stage;
  const forms = startsOf(stage).map(
    (path) => `<form method="post" action="${farm.url}${path}"><button data-path="${path}">${path}</button></form>`,
  );
  const script = `Promise.allSettled(${JSON.stringify(startsOf(stage))}.flatMap((path) => ['cors', 'no-cors'].map((mode) =>
    fetch('${farm.url}' + path, { method: 'POST', mode, credentials: 'include', body: 'why=x' }))))
    .then(() => document.body.insertAdjacentHTML('beforeend', '<p id="tried"></p>'))`;
  const server = createServer((_, response) =>
    response.setHeader('content-type', 'text/html').end(`<body>${forms.join('')}<script>${script}</script>`),
  );
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://localhost:${(server.address() as AddressInfo).port}/`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
