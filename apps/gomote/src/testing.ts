/** A farm with sessions for tests: real buildlets behind a plain proxy, which puts in what the coordinator would. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, request as ask, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { json } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { startTestBuildlet, type TestBuildlet } from '@croft/buildlet/testing';
import { runWith as runCliWith, type Ran, type RunOptions } from '@croft/cli/testing';
import type { SessionView } from '@croft/protocol/sessions';
import { MINUTE } from '@croft/runtime/clock';
import { systemRandom } from '@croft/runtime/random';
import { createBell, type Bell } from '@croft/runtime/tasks';
import { runCli } from './cli.ts';

export interface TestFarm extends AsyncDisposable {
  readonly url: string;
  /** A fresh home for the command line, where its groups are. */
  readonly home: string;
  /** `METHOD path` of every request for a machine, in order. */
  readonly asked: string[];
  /** Waits until such a request has come. */
  whenAsked(request: RegExp): Promise<void>;
  machine(alias: string): TestBuildlet;
  gomote(args: readonly string[], options?: RunOptions): Promise<Ran>;
  /** Cuts what is open and answers nothing for as long. */
  pause(): Promise<void>;
  resume(): Promise<void>;
  /** Ends a session as somebody else would. */
  end(alias: string): void;
}

export async function openTestFarm(): Promise<TestFarm> {
  const stack = new AsyncDisposableStack();
  const home = mkdtempSync(join(tmpdir(), 'gomote-home-'));
  stack.defer(() => rmSync(home, { recursive: true, force: true }));
  const book = createBook(async () => stack.use(await startTestBuildlet()));
  const server = createServer((request, response) => {
    handle(book, request, response).catch((error: unknown) => response.destroy(error as Error)); // the machine or the caller has gone
  });
  const listen = async (port: number): Promise<void> => void (await once(server.listen(port, '127.0.0.1'), 'listening'));
  const close = async (): Promise<void> => {
    server.closeAllConnections();
    await new Promise((closed) => server.close(closed));
  };
  await listen(0);
  stack.defer(close);
  const { port } = server.address() as AddressInfo;
  const url = `http://127.0.0.1:${port}`;
  const temp = join(home, 'temp');
  mkdirSync(temp);
  const standing = { CROFT_SERVER: url, HOME: home, TMPDIR: temp, PATH: process.env['PATH'] ?? '' };
  return {
    url,
    home,
    asked: book.asked,
    async whenAsked(request) {
      while (!book.asked.some((one) => request.test(one))) await book.bell.wait({});
    },
    machine: (alias) => book.machineOf(book.find(alias)),
    gomote: (args, { env = {}, ...options } = {}) =>
      runCliWith(runCli, args, { env: { ...standing, ...env }, cwd: home, random: systemRandom, ...options }),
    pause: close,
    resume: () => listen(port),
    end: (alias) => void book.end(book.find(alias)),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

interface Book {
  readonly asked: string[];
  /** Rung at each request for a machine. */
  readonly bell: Bell;
  all(options: { ended: boolean }): SessionView[];
  create(builder: string): Promise<SessionView>;
  find(name: string): SessionView | undefined;
  end(session: SessionView | undefined): SessionView;
  machineOf(session: SessionView | undefined): TestBuildlet;
}

function createBook(start: () => Promise<TestBuildlet>): Book {
  const sessions = new Map<string, SessionView>();
  const machines = new Map<string, TestBuildlet>();
  const must = (session: SessionView | undefined): SessionView => session ?? assert.fail('there is no such session');
  return {
    asked: [],
    bell: createBell(),
    all: ({ ended }) => [...sessions.values()].filter(({ state }) => (state === 'ended') === ended),
    async create(builder) {
      const session = viewOf(`S${systemRandom.hex(8)}`, firstFree(builder, sessions), builder);
      sessions.set(session.id, session);
      machines.set(session.id, await start());
      return session;
    },
    find: (name) => [...sessions.values()].find(({ id, alias, state }) => id === name || (alias === name && state !== 'ended')),
    end(session) {
      const ended = { ...must(session), state: 'ended' as const, endReason: 'test' };
      sessions.set(ended.id, ended);
      return ended;
    },
    machineOf: (session) => machines.get(must(session).id) ?? assert.fail('it has no machine'),
  };
}

async function handle(book: Book, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { pathname, search, searchParams } = new URL(request.url ?? '', 'http://x');
  const [, name, rest = ''] = /^\/api\/v1\/sessions\/([^/]+)(\/.*)?$/.exec(pathname) ?? [];
  if (pathname === '/api/v1/grid') return answer(response, 200, grid);
  if (name === undefined && request.method === 'GET')
    return answer(response, 200, { sessions: book.all({ ended: searchParams.has('ended') }) });
  if (name === undefined) {
    const { builder } = (await json(request)) as { builder: string };
    if (builder !== 'linux') return answer(response, 404, { code: 'not-found', message: `no builder ${builder}` });
    return answer(response, 201, await book.create(builder));
  }
  const session = book.find(name);
  if (!session) return answer(response, 404, { code: 'not-found', message: `no session ${name}` });
  if (rest === '/events') {
    const event = `event: session\ndata: ${JSON.stringify(session)}\n\n`;
    return void response.writeHead(200, { 'content-type': 'text/event-stream' }).end(event);
  }
  if (request.method === 'DELETE' && rest === '') return answer(response, 200, book.end(session));
  if (session.state !== 'active' && rest !== '') return answer(response, 409, { code: 'conflict', message: `${session.alias} has ended` });
  if (rest === '/share') {
    const { with: sharedWith } = (await json(request)) as { with: string[] };
    return answer(response, 200, { ...session, sharedWith, strangers: sharedWith.filter((one) => one !== 'bob') });
  }
  if (!rest.startsWith('/machine')) return answer(response, 200, session);
  const path = rest.slice('/machine'.length);
  book.asked.push(`${request.method} ${path}${search}`);
  book.bell.ring();
  await proxy(request, response, { path: path + search, address: book.machineOf(session).address });
}

const grid = {
  repo: 'app',
  repos: ['app'],
  branch: 'main',
  branches: [],
  page: 0,
  older: false,
  builders: ['linux', 'linux-arm'],
  rows: [],
};

function firstFree(builder: string, sessions: ReadonlyMap<string, SessionView>): string {
  const taken = [...sessions.values()].filter(({ state }) => state !== 'ended').map(({ alias }) => alias);
  for (let n = 0; ; n += 1) if (!taken.includes(`ann-${builder}-${n}`)) return `ann-${builder}-${n}`;
}

function viewOf(id: string, alias: string, builder: string): SessionView {
  return {
    id,
    alias,
    builder,
    owner: 'ann',
    hostType: 'debian',
    from: { kind: 'asked' },
    state: 'active',
    note: '',
    sharedWith: [],
    createdAt: 0,
    expiresAt: Date.UTC(2026, 0, 15, 12) + 30 * MINUTE,
    url: `/sessions/${id}`,
  };
}

function answer(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

/** With the epoch that its session has, and where commands run when nobody says so. */
async function proxy(
  request: IncomingMessage,
  response: ServerResponse,
  { path, address }: { path: string; address: TestBuildlet['address'] },
): Promise<void> {
  const { host: _, authorization: __, 'content-length': length, ...headers } = request.headers;
  const auth = `:${address.password}`;
  const starts = request.method === 'PUT' && /^\/runs\/[^/]+$/.test(path);
  const body = starts ? JSON.stringify({ dir: '.', ...((await json(request)) as object) }) : undefined;
  const sized =
    body === undefined ? (length === undefined ? {} : { 'content-length': length }) : { 'content-length': Buffer.byteLength(body) };
  const sent = ask({
    socketPath: address.socketPath,
    path,
    method: request.method,
    auth,
    headers: { ...headers, ...sized, 'croft-epoch': '1' },
  });
  const [answered] = (await Promise.all([once(sent, 'response'), body === undefined ? pipeline(request, sent) : sent.end(body)]))[0] as [
    IncomingMessage,
  ];
  response.writeHead(answered.statusCode ?? 500, answered.headers);
  response.flushHeaders();
  await pipeline(answered, response);
}
