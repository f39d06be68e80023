import assert from 'node:assert/strict';
import { duplexPair, type Duplex } from 'node:stream';
import { test } from 'node:test';
import { isCode } from '@croft/runtime/errors';
import { FakeClock } from '@croft/runtime/testing';
import { createLineDecoder, type ControlMessage, type Peer } from './revdial-line.ts';
import { openListener, type Listener } from './revdial-listener.ts';

interface Stage extends AsyncDisposable {
  readonly clock: FakeClock;
  readonly listener: Listener;
  /** The dialer's end of the control line. */
  readonly far: Duplex;
  readonly heard: ControlMessage[];
  /** Paths dialled, in order. */
  readonly dialled: string[];
  /** How the dials under way end. */
  answer(path: string, result: Duplex | Error): void;
  status: unknown;
  ready(...paths: string[]): Promise<void>;
}

function openStage(peer: Peer): Stage {
  const clock = new FakeClock();
  const [near, far] = duplexPair();
  const answers = new Map<string, PromiseWithResolvers<Duplex>>();
  const heard: ControlMessage[] = [];
  const decode = createLineDecoder();
  far.on('data', (bytes: Buffer) => heard.push(...decode(bytes)));
  const stage = {
    clock,
    far,
    heard,
    dialled: [] as string[],
    status: undefined as unknown,
    answer(path: string, result: Duplex | Error): void {
      const { resolve, reject } = answers.get(path) ?? assert.fail(`nobody dials ${path}`);
      if (result instanceof Error) reject(result);
      else resolve(result);
    },
    async ready(...paths: string[]): Promise<void> {
      for (const connPath of paths) far.write(`${JSON.stringify({ command: 'conn-ready', connPath })}\n`);
      await clock.advance(0);
    },
  };
  const listener = openListener(near, {
    peer,
    clock,
    status: () => stage.status,
    dial(path, { signal }) {
      stage.dialled.push(path);
      const wanted = Promise.withResolvers<Duplex>();
      signal.addEventListener('abort', () => wanted.reject(signal.reason), { once: true });
      answers.set(path, wanted);
      return wanted.promise;
    },
  });
  return Object.assign(stage, { listener, [Symbol.asyncDispose]: () => listener[Symbol.asyncDispose]() });
}

const socket = (): Duplex => duplexPair()[0];

test('connections are fetched at the paths told, several at a time, and yielded as they come', async () => {
  await using stage = openStage('go');
  await stage.ready('/a', '/b');
  assert.deepEqual(stage.dialled, ['/a', '/b']);
  const [a, b] = [socket(), socket()];
  stage.answer('/b', b);
  assert.equal(await stage.listener.accept(), b);
  stage.answer('/a', a);
  assert.equal(await stage.listener.accept(), a);
});

test('at most 8 are fetched and not accepted; the others wait and are fetched then', async () => {
  await using stage = openStage('go');
  const paths = Array.from({ length: 20 }, (_, index) => `/${index}`);
  await stage.ready(...paths);
  assert.equal(stage.dialled.length, 8);
  for (const path of paths.slice(0, 8)) stage.answer(path, socket());
  await stage.clock.advance(0);
  assert.equal(stage.dialled.length, 8, 'nobody has accepted one yet');
  await stage.listener.accept();
  assert.deepEqual(stage.dialled, paths.slice(0, 9));
});

test('a flood of requests is answered instead of remembered', async () => {
  await using stage = openStage('go');
  await stage.ready(...Array.from({ length: 8 + 256 + 3 }, (_, index) => `/${index}`));
  assert.deepEqual(
    stage.heard.map((message) => message.command === 'pickup-failed' && message.connPath),
    ['/264', '/265', '/266'],
  );
});

test('a failure is told with its path', async () => {
  await using stage = openStage('go');
  await stage.ready('/a');
  stage.answer('/a', new Error('no route'));
  await stage.clock.advance(0);
  assert.deepEqual(stage.heard, [{ command: 'pickup-failed', connPath: '/a', err: 'no route' }]);
});

test('fetching one takes 30 s at most', async () => {
  await using stage = openStage('go');
  await stage.ready('/a');
  await stage.clock.advance(30_000);
  assert.equal(stage.heard[0]?.command, 'pickup-failed');
});

test('a Go coordinator hears nothing, and is gone after 90 s of silence', async () => {
  await using stage = openStage('go');
  stage.status = { boot: 'a' };
  await stage.clock.advance(60_000);
  stage.far.write('{"command":"keep-alive"}\n');
  await stage.clock.advance(89_000);
  assert.deepEqual(stage.heard, []);
  const accepting = assert.rejects(stage.listener.accept(), /was silent for 90 s/);
  await stage.clock.advance(2_000);
  await accepting;
});

test('a Croft hears a keep-alive every 5 s, and is gone after 15 s of silence', async () => {
  await using stage = openStage('croft');
  await stage.clock.advance(10_000);
  assert.deepEqual(
    stage.heard.map(({ command }) => command),
    ['keep-alive', 'keep-alive', 'keep-alive'],
  );
  await stage.clock.advance(5_000);
  assert.ok(isCode(await stage.listener.done, 'unavailable'));
});

test('a Croft hears the status at once and when it has changed, but no status that does not fit into a line', async () => {
  await using stage = openStage('croft');
  const statuses = (): unknown[] => stage.heard.flatMap((message) => (message.command === 'status' ? [message.status] : []));
  stage.status = { freeBytes: 1 };
  await stage.clock.advance(5_000);
  stage.far.write('{"command":"keep-alive"}\n');
  await stage.clock.advance(5_000);
  assert.deepEqual(statuses(), [{ freeBytes: 1 }]);
  stage.status = { freeBytes: 2 };
  stage.listener.tell();
  stage.listener.tell();
  await stage.clock.advance(0);
  assert.deepEqual(statuses(), [{ freeBytes: 1 }, { freeBytes: 2 }]);
  stage.status = { text: 'x'.repeat(5_000) };
  stage.listener.tell();
  await stage.clock.advance(0);
  assert.equal(statuses().length, 2);
});

test('when the line ends, who waits is told, and connections that nobody accepted are closed', async () => {
  await using stage = openStage('go');
  await stage.ready('/a', '/b');
  const [a, b] = [socket(), socket()];
  stage.answer('/a', a);
  await stage.clock.advance(0);
  stage.far.end();
  await stage.clock.advance(0);
  assert.ok(a.destroyed);
  stage.answer('/b', b);
  await stage.clock.advance(0);
  assert.ok(b.destroyed);
  await assert.rejects(stage.listener.accept(), /ended by the other side/);
});

test('garbage ends the line', async () => {
  await using stage = openStage('go');
  stage.far.write('HTTP/1.1 200 OK\r\n');
  assert.ok(isCode(await stage.listener.done, 'invalid'));
});
