import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, readdir, rm, truncate, unlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { CroftError, isCode } from '@croft/runtime/errors';
import { NotTaken } from './pour.ts';
import { openSegmentLog, type SegmentLog } from './segment-log.ts';

async function tempDir(): Promise<AsyncDisposable & { readonly path: string }> {
  const path = await mkdtemp(join(tmpdir(), 'croft-segments-'));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

async function collect(pieces: AsyncIterable<Buffer>): Promise<Buffer> {
  const all: Buffer[] = [];
  for await (const piece of pieces) all.push(piece);
  return Buffer.concat(all);
}

const hasCode = (code: Parameters<typeof isCode>[1]) => (error: unknown) => isCode(error, code);

test('any order of appends, cuts, drops and reopenings keeps exactly the bytes of a plain buffer', async () => {
  const operation = fc.oneof(
    { weight: 6, arbitrary: fc.record({ kind: fc.constant('append' as const), bytes: fc.uint8Array({ maxLength: 40 }) }) },
    fc.record({ kind: fc.constantFrom('truncate' as const, 'drop' as const), at: fc.double({ min: 0, max: 1, noNaN: true }) }),
    fc.record({ kind: fc.constantFrom('reopen' as const, 'sync' as const) }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(operation, { maxLength: 25 }), fc.boolean(), async (operations, writesLittleAtOnce) => {
      await using dir = await tempDir();
      const options = { segmentBytes: 16, writesLittleAtOnce };
      let log = await openSegmentLog(dir.path, options);
      let model = Buffer.alloc(0);
      for (const step of operations) {
        if (step.kind === 'append') {
          await log.append(step.bytes);
          model = Buffer.concat([model, step.bytes]);
        } else if (step.kind === 'truncate') {
          const at = log.from + Math.floor(step.at * (log.length - log.from));
          await log.truncate(at);
          model = model.subarray(0, at);
        } else if (step.kind === 'drop') {
          const at = Math.floor(step.at * (log.length + 1));
          await log.dropBefore(at);
          assert.ok(log.from <= at && at - log.from < 16 + 1);
        } else if (step.kind === 'sync') await log.sync();
        else {
          const { from } = log;
          await log[Symbol.asyncDispose]();
          log = await openSegmentLog(dir.path, options);
          assert.equal(log.from, from);
        }
        assert.equal(log.length, model.length);
        assert.deepEqual(await collect(log.read({ from: log.from })), model.subarray(log.from));
        const middle = Math.floor((log.from + log.length) / 2);
        assert.deepEqual(await collect(log.read({ from: middle, to: middle + 20 })), model.subarray(middle, middle + 20));
      }
      await log[Symbol.asyncDispose]();
    }),
    { numRuns: 150 },
  );
});

test('concurrent appends are carried out in the order of the calls', async () => {
  await using dir = await tempDir();
  await using log = await openSegmentLog(dir.path, { segmentBytes: 64 });
  const parts = Array.from({ length: 50 }, (_, index) => Buffer.from(`part ${index}\n`));
  await Promise.all(parts.map((part) => log.append(part)));
  assert.deepEqual(await collect(log.read({ from: 0 })), Buffer.concat(parts));
});

test('syncs run beside appends and drops, and a file that vanished fails each of them', async () => {
  await using dir = await tempDir();
  await using log = await openSegmentLog(dir.path, { segmentBytes: 10 });
  const pieces = Array.from({ length: 100 }, (_, n) => Buffer.from(`piece ${n};`));
  let length = 0;
  await Promise.all(pieces.flatMap((piece) => [log.append(piece), log.sync(), log.dropBefore((length += piece.length) - 25)]));
  assert.deepEqual(await collect(log.read({ from: log.from })), Buffer.concat(pieces).subarray(log.from));
  await log.append(Buffer.alloc(25));
  await unlink(join(dir.path, String(log.length - (log.length % 10) - 10).padStart(16, '0')));
  await assert.rejects(log.sync());
  await assert.rejects(log.sync());
});

test('followers get what is appended later, each from its own offset, and end at finish', async () => {
  await using dir = await tempDir();
  await using log = await openSegmentLog(dir.path, { segmentBytes: 8 });
  await log.append(Buffer.from('hello '));
  const followers = [0, 3, 6].map((from) => collect(log.follow(from, {})));
  await log.append(Buffer.from('segmented '));
  await log.append(Buffer.from('world'));
  log.finish();
  const texts = (await Promise.all(followers)).map(String);
  assert.deepEqual(texts, ['hello segmented world', 'lo segmented world', 'segmented world']);
  await assert.rejects(log.append(Buffer.from('more')), hasCode('conflict'));
});

test('whoever it is poured to, from wherever and however slowly, gets every byte once and in order', async () => {
  const follower = fc.record({
    joins: fc.nat(8),
    from: fc.double({ min: 0, max: 1, noNaN: true }),
    pauses: fc.array(fc.nat(2), { minLength: 1 }),
  });
  const size = fc.oneof(fc.nat(20), fc.nat(5_000));
  await fc.assert(
    fc.asyncProperty(fc.array(size, { maxLength: 12 }), fc.array(follower, { maxLength: 4 }), async (sizes, followers) => {
      await using dir = await tempDir();
      await using log = await openSegmentLog(dir.path, { segmentBytes: 4_500 });
      const whole = Buffer.concat(sizes.map((bytes, index) => Buffer.alloc(bytes, `${index}`)));
      const reading: Promise<void>[] = [];
      const join = ({ from: share, pauses }: (typeof followers)[number]): void => {
        const from = Math.floor(share * log.length);
        const got: Buffer[] = [];
        const deal = async (turns: number, piece: Buffer): Promise<void> => {
          for (let left = turns; left > 0; left -= 1) await new Promise((done) => setImmediate(done));
          got.push(Buffer.from(piece)); // it is still what it was
        };
        const take = (piece: Buffer): Promise<void> | undefined => {
          const turns = pauses[got.length % pauses.length] ?? 0;
          return turns > 0 ? deal(turns, piece) : void got.push(Buffer.from(piece));
        };
        reading.push(log.pour(from, take, {}).then(() => assert.ok(Buffer.concat(got).equals(whole.subarray(from)))));
      };
      for (let at = 0, index = 0; index <= sizes.length; index += 1) {
        followers.filter(({ joins }) => Math.min(joins, sizes.length) === index).forEach(join);
        const end = at + (sizes[index] ?? 0);
        await log.append(whole.subarray(at, end));
        at = end;
      }
      log.finish();
      await Promise.all(reading);
    }),
    { numRuns: 60 },
  );
});

test('what was just appended is poured from memory, unless it was dropped or cut', async () => {
  await using dir = await tempDir();
  await using log = await openSegmentLog(dir.path, { segmentBytes: 8 });
  const got: string[] = [];
  const pouring = log.pour(0, (piece) => void got.push(piece.toString()), {});
  await log.append(Buffer.from('key'));
  await rm(dir.path, { recursive: true }); // where no file can be read any more
  await new Promise((done) => setImmediate(done));
  assert.deepEqual(got, ['key']);
  await assert.rejects(
    log.pour(4, () => undefined, {}),
    hasCode('invalid'),
  );
  log.finish();
  await pouring;
});

test('who does not take what is poured is told so by itself, and an abort ends it', async () => {
  await using dir = await tempDir();
  await using log = await openSegmentLog(dir.path);
  await log.append(Buffer.from('key'));
  const full = new Error('the disk is full');
  await assert.rejects(
    log.pour(0, () => Promise.reject(full), {}),
    (error) => error instanceof NotTaken && error.cause === full,
  );
  const enough = new AbortController();
  const pouring = log.pour(3, () => undefined, enough);
  enough.abort(new CroftError('cancelled', 'enough'));
  await assert.rejects(pouring, hasCode('cancelled'));
  const cut = log.pour(3, () => undefined, {});
  await log.truncate(1);
  await assert.rejects(cut, hasCode('conflict'));
});

test('a reader that reuses its buffer gets the same bytes', async () => {
  await using dir = await tempDir();
  await using log = await openSegmentLog(dir.path, { segmentBytes: 300_000 });
  const all = Buffer.from(Array.from({ length: 100_000 }, (_, index) => `line ${index}\n`).join(''));
  await log.append(all);
  log.finish();
  for (const pieces of [log.read({ from: 5, reuseBuffer: true }), log.follow(5, { reuseBuffer: true })]) {
    const copies: Buffer[] = [];
    for await (const piece of pieces) copies.push(Buffer.from(piece));
    assert.deepEqual(Buffer.concat(copies), all.subarray(5));
  }
});

test('a follower ends with the reason of its signal, and with `stopped` when the log is closed', async () => {
  await using dir = await tempDir();
  const log = await openSegmentLog(dir.path);
  const controller = new AbortController();
  const aborted = collect(log.follow(0, { signal: controller.signal }));
  const orphaned = collect(log.follow(0, {}));
  controller.abort(new CroftError('cancelled', 'enough'));
  await assert.rejects(aborted, hasCode('cancelled'));
  const check = assert.rejects(orphaned, hasCode('stopped'));
  await log[Symbol.asyncDispose]();
  await check;
});

test('dropped bytes are not found, bytes beyond the end are invalid, and neither is silently empty', async () => {
  await using dir = await tempDir();
  await using log = await openSegmentLog(dir.path, { segmentBytes: 4 });
  await log.append(Buffer.from('0123456789'));
  await log.dropBefore(9);
  assert.equal(log.from, 8);
  assert.deepEqual(await readdir(dir.path), ['0000000000000008']);
  await assert.rejects(collect(log.read({ from: 7 })), hasCode('not-found'));
  await assert.rejects(collect(log.follow(3, {})), hasCode('not-found'));
  await assert.rejects(collect(log.read({ from: 11 })), hasCode('invalid'));
  await assert.rejects(log.truncate(7), hasCode('invalid'));
});

test('a log that was dropped to its very end is still that long after reopening', async () => {
  await using dir = await tempDir();
  {
    await using log = await openSegmentLog(dir.path, { segmentBytes: 4 });
    await log.append(Buffer.from('01234567'));
    await log.dropBefore(8);
  }
  await using again = await openSegmentLog(dir.path, { segmentBytes: 4 });
  assert.deepEqual([again.from, again.length], [8, 8]);
  await again.append(Buffer.from('89'));
  assert.equal(String(await collect(again.read({ from: 8 }))), '89');
});

test('a reader in the middle of a segment finishes it although it is dropped', async () => {
  await using dir = await tempDir();
  await using log = await openSegmentLog(dir.path, { segmentBytes: 512 * 1024 });
  await log.append(Buffer.alloc(1024 * 1024, 'x'));
  const reader = log.read({ from: 0 });
  await reader.next();
  await log.dropBefore(1024 * 1024);
  assert.equal((await reader.next()).value?.length, 256 * 1024);
  await assert.rejects(reader.next(), hasCode('not-found'));
});

test('after a power failure that shortened a middle file, only the unbroken head is kept', async () => {
  await using dir = await tempDir();
  {
    await using log = await openSegmentLog(dir.path, { segmentBytes: 4 });
    await log.append(Buffer.from('0123456789ab'));
  }
  await truncate(join(dir.path, '0000000000000004'), 2);
  await using log = await openSegmentLog(dir.path, { segmentBytes: 4 });
  assert.equal(String(await collect(log.read({ from: 0 }))), '012345');
});

test('opening with another segment size is refused instead of misread', async () => {
  await using dir = await tempDir();
  {
    await using log = await openSegmentLog(dir.path, { segmentBytes: 8 });
    await log.append(Buffer.from('0123456789'));
  }
  await assert.rejects(openSegmentLog(dir.path, { segmentBytes: 16 }), hasCode('conflict'));
});

test('what was appended before kill -9 is there at the next opening', async () => {
  await using dir = await tempDir();
  const script = `
    import { openSegmentLog } from ${JSON.stringify(new URL('./segment-log.ts', import.meta.url).href)};
    const log = await openSegmentLog(${JSON.stringify(join(dir.path, 'log'))}, { segmentBytes: 1000 });
    for (let line = 0; ; line++) {
      await log.append(Buffer.from(String(line).padStart(9, '0') + '\\n'));
      process.stdout.write(log.length + '\\n');
    }`;
  await writeFile(join(dir.path, 'writer.ts'), script);
  const child = spawn(process.execPath, [join(dir.path, 'writer.ts')], { stdio: ['ignore', 'pipe', 'inherit'] });
  let told = 0;
  for await (const chunk of child.stdout) {
    told = Math.max(told, Number(String(chunk).split('\n').at(-2) ?? 0));
    if (told > 50_000) break;
  }
  child.kill('SIGKILL');
  await once(child, 'exit');
  await using log = await openSegmentLog(join(dir.path, 'log'), { segmentBytes: 1000 });
  assert.ok(log.length >= told);
  const lines = String(await collect(log.read({ from: 0 }))).split('\n');
  for (const [index, line] of lines.slice(0, -1).entries()) assert.equal(line, String(index).padStart(9, '0'));
});

test('a write that finds the disk full is `exhausted`, changes nothing and can be repeated', async (context) => {
  if (process.getuid?.() !== 0 || process.platform !== 'linux') return context.skip('needs root on Linux to mount a small tmpfs');
  await using dir = await tempDir();
  await run('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'tmpfs', dir.path]);
  try {
    await using log = await openSegmentLog(join(dir.path, 'log'), { segmentBytes: 64 * 1024 });
    const ballast = join(dir.path, 'ballast');
    await writeFile(ballast, Buffer.alloc(128 * 1024));
    await log.append(Buffer.alloc(40_000, 'a'));
    await assert.rejects(log.append(Buffer.alloc(150_000, 'b')), hasCode('exhausted'));
    assert.equal(log.length, 40_000);
    await rm(ballast);
    await log.append(Buffer.alloc(150_000, 'b'));
    assert.deepEqual(await collect(log.read({ from: 0 })), Buffer.concat([Buffer.alloc(40_000, 'a'), Buffer.alloc(150_000, 'b')]));
    await log.sync();
    await using shell = await openSegmentLog(join(dir.path, 'shell'), { writesLittleAtOnce: true });
    const key = Buffer.alloc(3_000, 'k');
    let written = 0;
    for (; written < 100; written += 1) if (!(await wasWritten(shell.append(key)))) break;
    assert.ok(written > 0 && written < 100, `${written} pieces fit`);
    assert.equal(shell.length, written * key.length);
    await log.dropBefore(64 * 1024);
    await shell.append(key);
    assert.deepEqual(await collect(shell.read({ from: 0 })), Buffer.alloc((written + 1) * key.length, 'k'));
  } finally {
    await run('umount', [dir.path]);
  }
});

/** Not where the disk is full. */
async function wasWritten(appending: Promise<void>): Promise<boolean> {
  try {
    await appending;
    return true;
  } catch (error) {
    assert.ok(isCode(error, 'exhausted'), String(error));
    return false;
  }
}

test('a log of several segments is read in pieces of bounded size', async () => {
  await using dir = await tempDir();
  await using log = await openSegmentLog(dir.path, { segmentBytes: 1 << 20 });
  for (let index = 0; index < 8; index++) await log.append(Buffer.alloc(700_000, index));
  const sizes = await pieceSizes(log);
  assert.equal(
    sizes.reduce((sum, size) => sum + size, 0),
    5_600_000,
  );
  assert.ok(Math.max(...sizes) <= 256 * 1024);
  assert.equal((await readFile(join(dir.path, '0000000000000000'))).length, 1 << 20);
});

async function pieceSizes(log: SegmentLog): Promise<number[]> {
  const sizes: number[] = [];
  for await (const piece of log.read({ from: 0 })) sizes.push(piece.length);
  return sizes;
}

async function run(program: string, args: string[]): Promise<void> {
  const [code] = await once(spawn(program, args, { stdio: 'inherit' }), 'exit');
  assert.equal(code, 0, `${program} ${args.join(' ')}`);
}
