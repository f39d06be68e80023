/** When a line counts as lost, and how soon the next one is dialled; time in our hands. DESIGN's liveness numbers. */
import assert from 'node:assert/strict';
import { duplexPair, type Duplex } from 'node:stream';
import { test } from 'node:test';
import { Secret } from '@croft/runtime/config';
import { CroftError, isCode } from '@croft/runtime/errors';
import { silentLog } from '@croft/runtime/log';
import type { Random } from '@croft/runtime/random';
import { createBell } from '@croft/runtime/tasks';
import { FakeClock } from '@croft/runtime/testing';
import type { ReverseSettings } from '../settings/coordinator.ts';
import { keepLine, type LineDeps } from './keep-line.ts';

const croft = 'HTTP/1.1 101 Switching Protocols\r\nCroft-Revdial: 1\r\n\r\n';
const go = 'HTTP/0.0 101 Switching Protocols\r\n\r\n';
const wrongKey = 'HTTP/1.1 412 Precondition Failed\r\nContent-Length: 0\r\n\r\n';

const settings: ReverseSettings = {
  hostType: 'host-test',
  coordinator: { host: 'farm.example', port: 443 },
  hostName: 'worker-1',
  key: new Secret('key'),
  insecureDev: false,
  reconnect: true,
  proxies: {},
};

interface Stage extends AsyncDisposable {
  readonly clock: FakeClock;
  /** When each connection was dialled, ms. */
  readonly dialledAt: number[];
  /** The coordinator's ends. */
  readonly ends: Duplex[];
  readonly ended: Promise<void>;
  heard: number;
}

/** Each dial is answered with the next text; without one it cannot be reached. */
function openStage(
  answers: (count: number) => string | undefined,
  { fraction = 1, isEnding = () => false, ...rest }: Partial<LineDeps & { fraction: number; reconnect: boolean }> = {},
): Stage {
  const clock = new FakeClock();
  const stop = new AbortController();
  const random: Random = { fraction: () => fraction, hex: (bytes) => '0'.repeat(2 * bytes) };
  const stage = { clock, dialledAt: [] as number[], ends: [] as Duplex[], heard: 0 };
  const dial = async (): Promise<Duplex> => {
    stage.dialledAt.push(clock.monotonic());
    const answer = answers(stage.dialledAt.length);
    if (answer === undefined) throw new CroftError('unavailable', 'nobody listens');
    const [near, far] = duplexPair();
    stage.ends.push(far);
    far.on('error', () => {}).once('data', () => void far.resume().write(answer));
    return near;
  };
  const deps: LineDeps = {
    clock,
    random,
    log: silentLog,
    boot: 'boot',
    signOfLifeMs: 5_000,
    news: createBell(),
    dial,
    serve: () => {},
    heard: () => void (stage.heard += 1),
    opened: () => {},
    status: async () => ({}),
    isEnding,
  };
  const ended = keepLine({ ...settings, reconnect: rest.reconnect ?? true }, deps, { signal: stop.signal });
  ended.catch(() => {});
  return Object.assign(stage, {
    ended,
    async [Symbol.asyncDispose]() {
      stop.abort(new CroftError('stopped', 'the test is over'));
      await ended.catch(() => {});
    },
  });
}

const pauses = (times: readonly number[]): number[] => times.slice(1).map((at, index) => at - (times[index] ?? 0));

test('a coordinator that cannot be reached is dialled again soon, then every five seconds at the latest', async () => {
  await using stage = openStage(() => undefined);
  await stage.clock.advance(25_000);
  assert.deepEqual(pauses(stage.dialledAt).slice(0, 7), [200, 400, 800, 1_600, 3_200, 5_000, 5_000]);
  assert.equal(stage.heard, 0);
});

test('the pauses are drawn by chance, so that thousands do not come at once', async () => {
  await using stage = openStage(() => undefined, { fraction: 0.5 });
  await stage.clock.advance(3_000);
  assert.deepEqual(pauses(stage.dialledAt).slice(0, 5), [100, 200, 400, 800]);
});

test('one that refuses this machine is asked more and more rarely, up to a minute', async () => {
  await using stage = openStage(() => wrongKey);
  await stage.clock.advance(300_000);
  assert.deepEqual(pauses(stage.dialledAt).slice(5, 12), [6_400, 12_800, 25_600, 51_200, 60_000, 60_000, 60_000]);
});

test('a Croft that says nothing is lost after fifteen seconds, Go’s coordinator after ninety', async () => {
  for (const [answer, lostMs] of [
    [croft, 15_000],
    [go, 90_000],
  ] as const) {
    await using stage = openStage(() => answer);
    await stage.clock.advance(lostMs - 1_001);
    assert.equal(stage.dialledAt.length, 1);
    await stage.clock.advance(1_500);
    assert.equal(stage.dialledAt.length, 2);
  }
});

test('a line that speaks is kept, counts as a sign of life, and one that stood is dialled again at once', async () => {
  await using stage = openStage(() => croft);
  for (let seconds = 0; seconds < 60; seconds += 5) {
    stage.ends[0]?.write('{"command":"keep-alive"}\n');
    await stage.clock.advance(5_000);
  }
  assert.equal(stage.dialledAt.length, 1);
  assert.ok(stage.heard >= 12);
  stage.ends[0]?.end();
  await stage.clock.advance(200);
  assert.deepEqual(stage.dialledAt, [0, 60_200]);
});

test('no answer to the registration is a lost try after half a minute', async () => {
  await using stage = openStage((count) => (count === 1 ? '' : croft));
  await stage.clock.advance(29_999);
  assert.equal(stage.dialledAt.length, 1);
  await stage.clock.advance(201);
  assert.equal(stage.dialledAt.length, 2);
});

test('once it is about to end, or was told not to, it dials no more', async () => {
  let ending = false;
  await using halted = openStage(() => croft, { isEnding: () => ending });
  await halted.clock.advance(0);
  ending = true;
  halted.ends[0]?.end();
  await halted.ended;
  await using once = openStage(() => croft, { reconnect: false });
  await once.clock.advance(0);
  once.ends[0]?.end();
  await once.ended;
  await using never = openStage(() => wrongKey, { reconnect: false });
  await assert.rejects(never.ended, (error) => isCode(error, 'unavailable') && error.fields['status'] === 412);
});
