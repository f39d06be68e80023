import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { BuildDetail } from '@croft/protocol/api';
import { systemClock } from '@croft/runtime/clock';
import { silentLog } from '@croft/runtime/log';
import { eventStream } from '@croft/web/event-stream';
import type { Handler } from '@croft/web/listener';
import { progressText } from './progress.ts';
import { openTestServer, runWith, testAttempt, testBuild, testId, testNow, type TestServer } from './testing.ts';

const infra = { kind: 'infra', cause: 'buildlet-died', evidence: 'killed' } as const;
const failed = { kind: 'failed', step: 'test', text: 'exit status 3' } as const;
const running = (number: number): BuildDetail['attemptList'][number] =>
  testAttempt({ number, state: 'running', end: undefined, endedAt: undefined });

/** A farm whose build is, at each look, as the next of `stages` says; the last one stays. */
function stagedFarm(stages: readonly BuildDetail[], logs: Readonly<Record<number, readonly string[]>>): Promise<TestServer> {
  let looks = 0;
  const events =
    (pieces: readonly string[]): Handler =>
    (request, connection) =>
      eventStream(
        async function* chunks() {
          let at = 0;
          for (const piece of pieces) {
            yield { event: 'chunk', data: { from: at, b64: Buffer.from(piece, 'latin1').toString('base64') } };
            at += piece.length;
          }
          yield { event: 'end', data: { bytes: at } };
        },
        { request, connection, clock: systemClock, log: silentLog },
      );
  return openTestServer({
    [`GET /api/v1/builds/${testId}`]: () => Response.json(stages[Math.min(looks++, stages.length - 1)]),
    ...Object.fromEntries(
      Object.entries(logs).map(([number, pieces]) => [`GET /builds/${testId}/attempts/${number}/log/events`, events(pieces)]),
    ),
  });
}

const follow = (server: TestServer, ...more: string[]) => runWith(['log', '-f', testId, '--server', server.url, ...more]);

describe('croft log -f', () => {
  test('waits for the build to start, prints its bytes and says how it ended', async () => {
    const waiting = testBuild({ state: 'queued', attempts: 0, attemptList: [], end: undefined });
    const going = testBuild({ state: 'running', end: undefined, attemptList: [running(1)] });
    await using server = await stagedFarm([waiting, waiting, going, going, testBuild()], { 1: ['\xff\x00', 'ok\n'] });
    const ran = await follow(server, '--exit-status');
    assert.deepEqual(ran.bytes, Buffer.from('\xff\x00ok\n', 'latin1'));
    assert.deepEqual([ran.status, ran.stderr], [0, 'passed\n']);
  });

  test('goes on with the next attempt after an infrastructure failure', async () => {
    const first = testAttempt({ end: infra });
    const again = testBuild({ state: 'running', end: undefined, attempts: 2, attemptList: [first, running(2)] });
    const done = testBuild({ attempts: 2, end: failed, attemptList: [first, testAttempt({ number: 2, end: failed })] });
    const start = testBuild({ state: 'running', end: undefined, attemptList: [running(1)] });
    await using server = await stagedFarm([start, start, again, again, done], { 1: ['one\n'], 2: ['two\n'] });
    const ran = await follow(server, '--exit-status');
    assert.equal(ran.stdout, 'one\ntwo\n');
    assert.equal(
      ran.stderr,
      'attempt 1 ended: infrastructure (buildlet-died): killed; waiting for the next one\nfailed in test: exit status 3\n',
    );
    assert.equal(ran.status, 1);
    assert.equal((await follow(server)).status, 0, 'without --exit-status only following can fail');
  });

  test('keeps to one attempt where that is asked for', async () => {
    const first = testAttempt({ end: infra });
    await using server = await stagedFarm([testBuild({ attempts: 2, attemptList: [first, testAttempt({ number: 2 })] })], {
      1: ['one\n'],
      2: ['two\n'],
    });
    const ran = await follow(server, '--attempt', '1', '--exit-status');
    assert.deepEqual([ran.stdout, ran.status], ['one\n', 1]);
  });

  test('ends when the build is cancelled before it started', async () => {
    const cancelled = testBuild({ attempts: 0, attemptList: [], end: { kind: 'cancelled', by: 'someone', why: 'superseded' } });
    await using server = await stagedFarm([cancelled], {});
    const ran = await follow(server, '--exit-status');
    assert.deepEqual([ran.stdout, ran.stderr, ran.status], ['', 'cancelled by someone: superseded\n', 1]);
  });

  test('as JSON tells where each piece belongs', async () => {
    await using server = await stagedFarm([testBuild()], { 1: ['one', 'two'] });
    const { stdout } = await follow(server, '--json', '--from', '0');
    assert.deepEqual(
      stdout
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as unknown),
      [
        { attempt: 1, from: 0, b64: 'b25l' },
        { attempt: 1, from: 3, b64: 'dHdv' },
      ],
    );
  });

  test('shows progress on a terminal, out of the way of the output', async () => {
    const going = testBuild({ state: 'running', end: undefined, expectedEndAt: testNow + 100_000, attemptList: [running(1)] });
    await using server = await stagedFarm([going, going, testBuild()], { 1: ['half a line', '\n'] });
    const ran = await runWith(['log', '-f', testId, '--server', server.url], { terminal: true });
    assert.equal(ran.stdout, 'half a line\n');
    assert.ok(ran.stderr.endsWith('passed\n'), JSON.stringify(ran.stderr));
  });
});

test('croft log without -f prints what is there, and says when there is nothing yet', async () => {
  const answers = { [`GET /api/v1/builds/${testId}`]: () => Response.json(testBuild({ end: failed })) };
  await using server = await openTestServer({ ...answers, [`GET /builds/${testId}/attempts/1/log`]: () => new Response('so far\n') });
  assert.equal((await runWith(['log', testId, '--server', server.url])).stdout, 'so far\n');
  assert.equal((await runWith(['log', testId, '--exit-status', '--server', server.url])).status, 1);
  await using early = await stagedFarm([testBuild({ state: 'queued', attempts: 0, attemptList: [], end: undefined })], {});
  const ran = await runWith(['log', testId, '--server', early.url]);
  assert.equal(ran.status, 1);
  assert.match(ran.stderr, /has not started yet\ncroft log -f waits for it/);
});

test('the progress line says how far, and how much longer than usual', () => {
  const build = testBuild({ state: 'running', end: undefined, startedAt: testNow - 30_000, expectedEndAt: testNow + 30_000 });
  assert.equal(progressText(build, testNow), '[##########..........] 50 %  linux attempt 1, 30 s, ends in about 30 s');
  assert.equal(progressText(build, testNow + 40_000), '[####################] 99 %  linux attempt 1, 1 m 10 s, 10 s longer than usual');
  assert.equal(progressText({ ...build, expectedEndAt: undefined }, testNow), 'linux attempt 1, 30 s');
  const wait = { code: 'machines-busy', text: 'next; 1 of 1 machines busy', position: 0 } as const;
  assert.equal(progressText(testBuild({ state: 'queued', wait }), testNow), 'linux waits: next; 1 of 1 machines busy');
});
