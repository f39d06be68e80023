import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import type { BuildId } from '@croft/domain/names';
import { systemClock } from '@croft/runtime/clock';
import { isCode } from '@croft/runtime/errors';
import type { LogReader } from '../capabilities.ts';
import { createAttemptLogs, type AttemptLogs } from './attempt-logs.ts';

const build = 'B0123456789abcdef' as BuildId;
const attempt = 1;
const of = { build, attempt };

interface Stage extends AsyncDisposable {
  readonly dir: string;
  readonly logs: AttemptLogs;
}

async function openStage(): Promise<Stage> {
  const dir = await mkdtemp(join(tmpdir(), 'croft-logs-'));
  const logs = createAttemptLogs(dir, { clock: systemClock, onStored() {} });
  return { dir, logs, [Symbol.asyncDispose]: () => rm(dir, { recursive: true }) };
}

type Log = NonNullable<Awaited<ReturnType<AttemptLogs['resume']>>>;

async function resume({ logs }: Stage, bytes: number): Promise<Log> {
  const log = await logs.resume(of, bytes);
  assert.ok(log, 'its bytes are there');
  return log;
}

const signal = systemClock.deadline(20_000);
const notEnded = async (): Promise<undefined> => undefined;
const textOf = async (chunks: AsyncIterable<Buffer>): Promise<string> => Buffer.concat(await Array.fromAsync(chunks)).toString();

test('what was not noted as durable is dropped and may come again; the hash is that of all bytes', async () => {
  await using stage = await openStage();
  {
    await using log = await resume(stage, 0);
    await log.append(Buffer.from('kept\nlost'));
    assert.deepEqual(await log.sync(), { bytes: 9, lines: 1 });
  }
  await using log = await resume(stage, 5);
  await log.append(Buffer.from('again\n'));
  const { bytes, lines, sha1 } = await log.complete();
  assert.deepEqual([bytes, lines, sha1], [11, 2, createHash('sha1').update('kept\nagain\n').digest('hex')]);
});

test('a log of which promised bytes are gone is not resumed', async () => {
  await using stage = await openStage();
  assert.equal(await stage.logs.resume(of, 1), undefined);
});

test('a log has one writer at a time', async () => {
  await using stage = await openStage();
  {
    await using _first = await resume(stage, 0);
    await assert.rejects(stage.logs.resume(of, 0), (error) => isCode(error, 'internal'));
  }
  await using _second = await resume(stage, 0);
});

test('a reader who follows from before the first driver to the end sees each byte once, whoever drives', async () => {
  await using stage = await openStage();
  const { logs } = stage;
  let stored: LogReader | undefined;
  const follower = logs.follower(build, attempt, { durableBytes: 0, ended: async () => stored });
  const following = textOf(follower.follow(0, { signal }));
  const seen = logs.follower(build, attempt, { durableBytes: 0, ended: notEnded }).follow(0, { signal })[Symbol.asyncIterator]();
  {
    await using first = await resume(stage, 0);
    await first.append(Buffer.from('one shown'));
    assert.equal(String((await seen.next()).value), 'one shown');
    await first.sync();
  }
  {
    await using second = await resume(stage, 4);
    await second.append(Buffer.from('shown two'));
    assert.equal(String((await seen.next()).value), ' two', 'nothing is shown twice');
    await second.complete();
    stored = await logs.reader(build, attempt, async () => []);
    assert.equal((await seen.next()).done, true);
  }
  assert.equal(await following, 'one shown two');
});

test('a reader who comes when the attempt has just ended comes to the end as well', async () => {
  await using stage = await openStage();
  {
    await using log = await resume(stage, 0);
    await log.append(Buffer.from('all'));
    await log.complete();
  }
  const follower = stage.logs.follower(build, attempt, {
    durableBytes: 0,
    ended: async () => stage.logs.reader(build, attempt, async () => []),
  });
  assert.equal(await textOf(follower.follow(0, { signal })), 'all');
  assert.equal(await textOf(follower.follow(4, { signal })), '', 'also one who saw what was dropped then');
});

test('while nobody drives the attempt, what is durable is read and not a byte more', async () => {
  await using stage = await openStage();
  {
    await using log = await resume(stage, 0);
    await log.append(Buffer.from('durable, not'));
  }
  const follower = stage.logs.follower(build, attempt, { durableBytes: 7, ended: notEnded });
  assert.equal(follower.length, 7);
  assert.equal(await textOf(follower.read({ from: 0 })), 'durable');
  assert.equal(await textOf(follower.read({ from: 2, to: 4 })), 'ra');
  assert.equal(await textOf(follower.read({ from: 7 })), '');
});

test('a line begins at the same byte while the log is live and when it is stored, also beyond the first 16 MiB', async () => {
  await using stage = await openStage();
  const text = Buffer.from(Array.from({ length: 400_000 }, (_, n) => `line ${n} ${'x'.repeat(n % 97)}\n`).join(''));
  assert.ok(text.length > 17 * 2 ** 20);
  const starts = [0];
  for (let at = text.indexOf(10); at >= 0; at = text.indexOf(10, at + 1)) starts.push(at + 1);
  await using log = await resume(stage, 0);
  await log.append(text);
  const live = stage.logs.follower(build, attempt, { durableBytes: 0, ended: notEnded });
  const { segments } = await log.complete();
  const stored = await stage.logs.reader(build, attempt, async () => segments);
  assert.ok(segments.length > 1);
  await fc.assert(
    fc.asyncProperty(fc.nat({ max: 400_002 }), async (line) => {
      const start = Math.min(starts[line] ?? text.length, text.length);
      assert.deepEqual([await live.offsetOfLine(line), await stored.offsetOfLine(line)], [start, start]);
    }),
    { numRuns: 30 },
  );
});

test('a log that is removed leaves no directory, and others stay', async () => {
  await using stage = await openStage();
  const { logs, dir } = stage;
  for (const number of [1, 2]) await (await logs.resume({ build, attempt: number }, 0))?.[Symbol.asyncDispose]();
  await logs.remove(build, 1);
  await assert.rejects(logs.reader(build, 1, async () => []).then(), (error) => isCode(error, 'not-found'));
  await logs.reader(build, 2, async () => []);
  await logs.remove(build, 2);
  await logs.remove(build, 2);
  await assert.rejects(stat(join(dir, build.slice(1, 3), build)), /ENOENT/);
});
