import assert from 'node:assert/strict';
import { duplexPair, type Duplex } from 'node:stream';
import { test } from 'node:test';
import { isCode } from '@croft/runtime/errors';
import { FakeClock, seededRandom } from '@croft/runtime/testing';
import { createDialers, type Dialer, type Dialers } from './revdial-dialer.ts';
import { createLineDecoder, type ControlMessage, type Peer } from './revdial-line.ts';

interface Stage extends AsyncDisposable {
  readonly clock: FakeClock;
  readonly dialers: Dialers;
  readonly dialer: Dialer;
  /** The listener's end of the control line. */
  readonly far: Duplex;
  readonly heard: ControlMessage[];
  readonly statuses: unknown[];
  /** Paths of the `conn-ready` heard so far. */
  paths(): string[];
  /** A listener's pick-up at this path; the far end of the connection. */
  pickUp(path: string): Duplex | undefined;
}

function openStage(peer: Peer, path = '/revdial'): Stage {
  const clock = new FakeClock();
  const dialers = createDialers({ clock, random: seededRandom(1), path });
  const [near, far] = duplexPair();
  const statuses: unknown[] = [];
  const dialer = dialers.open(near, { peer, onStatus: (status) => statuses.push(status) });
  const heard: ControlMessage[] = [];
  const decode = createLineDecoder();
  far.on('data', (bytes: Buffer) => heard.push(...decode(bytes)));
  return {
    clock,
    dialers,
    dialer,
    far,
    heard,
    statuses,
    paths: () => heard.flatMap((message) => (message.command === 'conn-ready' ? [message.connPath] : [])),
    pickUp(at) {
      const pickUp = dialers.claim(new URL(at, 'http://host').searchParams);
      if (!pickUp) return undefined;
      const [ours, theirs] = duplexPair();
      pickUp.deliver(ours);
      return theirs;
    },
    [Symbol.asyncDispose]: () => dialers[Symbol.asyncDispose](),
  };
}

const say = (stage: Stage, message: object): void => void stage.far.write(`${JSON.stringify(message)}\n`);

test('a Go listener hears a keep-alive at once and within 30 s of the last message (2.4)', async () => {
  await using stage = openStage('go');
  const { clock, heard } = stage;
  await clock.advance(29_500);
  assert.equal(heard.length, 1);
  await clock.advance(500);
  assert.equal(heard.length, 2);
  await clock.advance(10_000);
  const dial = assert.rejects(stage.dialer.dial({}), (error) => isCode(error, 'timeout'));
  await clock.advance(29_500);
  assert.deepEqual(heard.map(({ command }) => command).slice(2), ['conn-ready']);
  await clock.advance(500);
  assert.deepEqual(heard.map(({ command }) => command).slice(2), ['conn-ready', 'keep-alive']);
  await dial;
  await clock.advance(3_600_000);
  assert.equal(stage.dialers.size, 1, 'a silent Go listener is no lost one');
});

test('a Croft is spoken to every 5 s, and its line is lost after 15 s of silence', async () => {
  await using stage = openStage('croft');
  await stage.clock.advance(10_000);
  assert.equal(stage.heard.length, 3);
  say(stage, { command: 'keep-alive' });
  await stage.clock.advance(14_500);
  assert.equal(stage.dialers.size, 1);
  await stage.clock.advance(1_000);
  assert.equal(stage.dialers.size, 0);
  assert.match(String(await stage.dialer.done), /was silent for 15 s/);
});

test('each pick-up reaches the dial that asked for it, in whatever order they come', async () => {
  await using stage = openStage('croft');
  const dials = [stage.dialer.dial({}), stage.dialer.dial({})];
  await stage.clock.advance(0);
  const [first = '', second = ''] = stage.paths();
  assert.match(first, /^\/revdial\?revdial\.dialer=[0-9a-f]{32}&conn=1$/);
  stage.pickUp(second)?.write('second');
  stage.pickUp(first)?.write('first');
  const texts = await Promise.all(dials.map(async (dial) => String((await (await dial).iterator().next()).value)));
  assert.deepEqual(texts, ['first', 'second']);
});

test('a mount path with a query keeps it', async () => {
  await using stage = openStage('go', '/in?site=a');
  stage.dialer.dial({}).catch(() => undefined);
  await stage.clock.advance(0);
  assert.match(stage.paths()[0] ?? '', /^\/in\?site=a&revdial\.dialer=[0-9a-f]{32}&conn=1$/);
});

test('a connection that comes after its dial was cancelled is closed, and the dialer goes on', async () => {
  await using stage = openStage('go');
  const leave = new AbortController();
  const dial = stage.dialer.dial({ signal: leave.signal });
  await stage.clock.advance(0);
  leave.abort(new Error('enough'));
  await assert.rejects(dial, /enough/);
  const late = stage.pickUp(stage.paths()[0] ?? '');
  assert.ok(late);
  await stage.clock.advance(0);
  assert.ok(await ended(late));
  const next = stage.dialer.dial({});
  await stage.clock.advance(0);
  stage.pickUp(stage.paths()[1] ?? '');
  assert.ok(await next);
});

async function ended(socket: Duplex): Promise<boolean> {
  for await (const _ of socket);
  return true;
}

test('a connection can be picked up once; the same path again is closed', async () => {
  await using stage = openStage('go');
  const dial = stage.dialer.dial({});
  await stage.clock.advance(0);
  const [path = ''] = stage.paths();
  stage.pickUp(path);
  const socket = await dial;
  const again = stage.pickUp(path);
  assert.ok(again && (await ended(again)));
  assert.equal(socket.destroyed, false);
});

test('a pick-up that never comes ends its dial after 30 s', async () => {
  await using stage = openStage('go');
  const outcome = assert.rejects(stage.dialer.dial({}), (error) => isCode(error, 'timeout'));
  await stage.clock.advance(30_000);
  await outcome;
});

test('a failure reaches the dial that it names, and no other', async () => {
  await using stage = openStage('croft');
  const [first, second] = [stage.dialer.dial({}), stage.dialer.dial({})];
  await stage.clock.advance(0);
  const [one = '', two = ''] = stage.paths();
  say(stage, { command: 'pickup-failed', connPath: two, err: 'no route' });
  await assert.rejects(second, /could not fetch a connection: no route/);
  say(stage, { command: 'pickup-failed', connPath: two, err: 'again' });
  say(stage, { command: 'pickup-failed', connPath: `${one}0`, err: 'nobody' });
  say(stage, { command: 'pickup-failed', connPath: '/elsewhere', err: 'nobody' });
  await stage.clock.advance(0);
  stage.pickUp(one);
  assert.ok(await first);
});

test('a failure of a Go listener without a path is that of the oldest dial (2.4)', async () => {
  await using stage = openStage('go');
  const [first, second] = [stage.dialer.dial({}), stage.dialer.dial({})];
  say(stage, { command: 'pickup-failed', err: 'got 502' });
  await assert.rejects(first, /got 502/);
  await stage.clock.advance(0);
  stage.pickUp(stage.paths()[1] ?? '');
  assert.ok(await second);
});

test('a stranger with a guessed id or another line reaches no dial', async () => {
  await using stage = openStage('go');
  const dial = stage.dialer.dial({});
  await stage.clock.advance(0);
  const [path = ''] = stage.paths();
  for (const query of ['', 'revdial.dialer=', `revdial.dialer=${'0'.repeat(32)}&conn=1`, 'conn=1']) {
    assert.equal(stage.dialers.claim(new URLSearchParams(query)), undefined, query);
  }
  for (const conn of ['', '&conn=', '&conn=2', '&conn=-1', '&conn=NaN', '&conn=1.5']) {
    const other = stage.pickUp(path.replace(/&conn=.*/, conn));
    assert.ok(other && (await ended(other)), conn);
  }
  stage.pickUp(path);
  assert.ok(await dial);
});

test('when the line ends, everything that waits on it ends, and its id is forgotten', async () => {
  await using stage = openStage('croft');
  const dials = [stage.dialer.dial({}), stage.dialer.dial({})];
  await stage.clock.advance(0);
  stage.far.end();
  for (const dial of dials) await assert.rejects(dial, (error) => isCode(error, 'unavailable'));
  await assert.rejects(stage.dialer.dial({}), (error) => isCode(error, 'unavailable'));
  assert.equal(stage.pickUp(stage.paths()[0] ?? ''), undefined);
  const why = await stage.dialer.done;
  stage.dialer.close('later');
  assert.equal(await stage.dialer.done, why, 'done is told once');
});

test('a line is asked for a bounded number of connections', async () => {
  await using stage = openStage('go');
  const waiting = Array.from({ length: 256 }, () => stage.dialer.dial({}).catch(() => undefined));
  await assert.rejects(stage.dialer.dial({}), (error) => isCode(error, 'exhausted'));
  stage.dialer.close('done');
  await Promise.all(waiting);
});

test('what a Croft says of itself is told; other messages are not', async () => {
  await using stage = openStage('croft');
  say(stage, { command: 'status', status: { boot: 'a' } });
  say(stage, { command: 'conn-ready', connPath: '/x' });
  say(stage, { command: 'keep-alive' });
  await stage.clock.advance(0);
  assert.deepEqual(stage.statuses, [{ boot: 'a' }]);
});

test('an aborted dial asks for nothing', async () => {
  await using stage = openStage('go');
  await assert.rejects(stage.dialer.dial({ signal: AbortSignal.abort(new Error('enough')) }), /enough/);
  await stage.clock.advance(0);
  assert.deepEqual(stage.paths(), []);
});
