/** Uploads: the form they come in, what is kept of them for how long, and what is not fetched for anybody. */
import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import fc from 'fast-check';
import { MINUTE } from '@croft/runtime/clock';
import { CroftError } from '@croft/runtime/errors';
import { systemRandom } from '@croft/runtime/random';
import { FakeClock } from '@croft/runtime/testing';
import { isPublic } from './fetch-public.ts';
import { boundaryOf, partsOf, wholeOf } from './multipart.ts';
import { openTransfers, type Transfers, type TransferLimits } from './transfers.ts';

async function* cutInto(bytes: Buffer, sizes: readonly number[]): AsyncGenerator<Buffer> {
  let at = 0;
  for (const size of sizes) {
    if (at >= bytes.length) return;
    yield bytes.subarray(at, at + size);
    at += size;
  }
  if (at < bytes.length) yield bytes.subarray(at);
}

async function read(body: Buffer, boundary: string, sizes: readonly number[] = []): Promise<[string, Buffer][]> {
  const parts: [string, Buffer][] = [];
  for await (const { name, body: content } of partsOf(cutInto(body, sizes), boundary))
    parts.push([name, Buffer.concat(await Array.fromAsync(content))]);
  return parts;
}

function formOf(parts: readonly [string, Buffer][], boundary: string): Buffer {
  const pieces = parts.map(([name, content]) => [
    Buffer.from(`--${boundary}\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n`),
    content,
    Buffer.from('\r\n'),
  ]);
  return Buffer.concat([...pieces.flat(), Buffer.from(`--${boundary}--\r\n`)]);
}

describe('forms', () => {
  test('are read part by part however they are cut, and whatever looks like their end', async () => {
    const boundary = 'b0';
    const tricky = fc
      .array(fc.constantFrom('\r', '\n', '-', '--', 'b0', '\r\n--b', '\r\n', 'x'), { maxLength: 12 })
      .map((all) => Buffer.from(all.join('')));
    const content = tricky.filter((bytes) => !Buffer.concat([Buffer.from('\r\n'), bytes, Buffer.from('\r\n')]).includes('\r\n--b0'));
    const parts = fc.array(fc.tuple(fc.constantFrom('key', 'file', ''), content), { maxLength: 4 });
    await fc.assert(
      fc.asyncProperty(parts, fc.array(fc.integer({ min: 1, max: 9 }), { maxLength: 60 }), async (given, sizes) => {
        assert.deepEqual(await read(formOf(given, boundary), boundary, sizes), given);
      }),
      { numRuns: 300 },
    );
  });

  test('that are none, or cut, are refused and nothing else', async () => {
    const whole = formOf([['file', Buffer.from('content')]], 'b');
    for (let length = 0; length < whole.length - 4; length += 1)
      await assert.rejects(
        read(whole.subarray(0, length), 'b'),
        (error) => error instanceof CroftError && ['invalid', 'too-large'].includes(error.code),
      );
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 3_000 }), async (bytes) => {
        await read(Buffer.from(bytes), 'b').catch((error: unknown) => assert.ok(error instanceof CroftError && error.code !== 'internal'));
      }),
      { numRuns: 200 },
    );
    const endless = formOf([['x'.repeat(20_000), Buffer.alloc(0)]], 'b');
    await assert.rejects(read(endless, 'b'), { code: 'too-large' });
    const [part] = [{ name: 'key', body: cutInto(Buffer.alloc(2_000), []) }];
    await assert.rejects(wholeOf(part, 1_024), { code: 'too-large' });
  });

  test('name their boundary', () => {
    assert.equal(boundaryOf('multipart/form-data; boundary=abc'), 'abc');
    assert.equal(boundaryOf('Multipart/Form-Data; charset=utf-8; boundary="a b:c"'), 'a b:c');
    for (const wrong of ['', 'multipart/form-data', 'text/plain; boundary=x', `multipart/form-data; boundary=${'x'.repeat(100)} `])
      assert.throws(() => boundaryOf(wrong), { code: 'invalid' }, wrong);
  });
});

interface Shelf {
  readonly transfers: Transfers;
  readonly clock: FakeClock;
  readonly dir: string;
}

async function openShelf(context: TestContext, limits: Partial<TransferLimits> = {}): Promise<Shelf> {
  const parent = await mkdtemp(join(tmpdir(), 'croft-transfers-'));
  context.after(() => rm(parent, { recursive: true, force: true }));
  const dir = join(parent, 'transfers');
  const clock = new FakeClock();
  const all = { maxBytes: 1_000, maxObjects: 2, lowWaterBytes: 0, ...limits };
  return { dir, clock, transfers: await openTransfers({ dir, limits: all, clock, random: systemRandom }) };
}

const bytes = (text: string): AsyncIterable<Buffer> => cutInto(Buffer.from(text), [3]);

describe('files on their way', () => {
  test('are here for half an hour, and then gone from the disk', async (context) => {
    const { transfers, clock, dir } = await openShelf(context);
    const invitation = transfers.invite('ann');
    await clock.advance(9 * MINUTE);
    await transfers.receive(invitation, bytes('hello'));
    await clock.advance(29 * MINUTE);
    const stored = transfers.read('ann', invitation.object);
    assert.equal(stored.bytes, 5);
    assert.equal(Buffer.concat(await Array.fromAsync(stored.content())).toString(), 'hello');
    await clock.advance(MINUTE);
    assert.throws(() => transfers.read('ann', invitation.object), { code: 'not-found' });
    await transfers.sweep();
    assert.deepEqual(await readdir(dir), []);
  });

  test('an invitation lasts ten minutes, and is for one file', async (context) => {
    const { transfers, clock } = await openShelf(context);
    const late = transfers.invite('ann');
    await clock.advance(10 * MINUTE);
    await assert.rejects(transfers.receive(late, bytes('x')), { code: 'forbidden' });
    const once = transfers.invite('ann');
    await transfers.receive(once, bytes('x'));
    await assert.rejects(transfers.receive(once, bytes('y')), { code: 'conflict' });
  });

  test('what is too large, cut, or too many is refused and leaves nothing', async (context) => {
    const { transfers, dir, clock } = await openShelf(context);
    const large = transfers.invite('ann');
    await assert.rejects(transfers.receive(large, bytes('x'.repeat(1_001))), { code: 'too-large' });
    async function* cut(): AsyncGenerator<Buffer> {
      yield Buffer.from('half');
      throw new CroftError('invalid', 'the form was cut');
    }
    const half = transfers.invite('ann');
    await assert.rejects(transfers.receive(half, cut()), { code: 'invalid' });
    assert.throws(() => transfers.read('ann', half.object), { code: 'not-found' });
    assert.deepEqual(await readdir(dir), []);
    await clock.advance(1);
    transfers.invite('ann');
    transfers.invite('ann');
    assert.throws(() => transfers.invite('ann'), { code: 'exhausted' });
    transfers.invite('bob');
    const { transfers: full } = await openShelf(context, { lowWaterBytes: Number.MAX_SAFE_INTEGER });
    await assert.rejects(full.receive(full.invite('ann'), bytes('x')), { code: 'exhausted' });
  });

  test('nothing of an earlier process is left', async (context) => {
    const { dir, clock } = await openShelf(context);
    await writeFile(join(dir, 'old'), 'x');
    await openTransfers({ dir, limits: { maxBytes: 1, maxObjects: 1, lowWaterBytes: 0 }, clock, random: systemRandom });
    assert.deepEqual(await readdir(dir), []);
  });
});

test('XFER-3: addresses that only some reach are told from public ones', () => {
  for (const hidden of [
    '0.0.0.0',
    '10.1.2.3',
    '100.64.0.1',
    '127.0.0.1',
    '127.255.0.1',
    '169.254.169.254',
    '172.16.0.1',
    '172.31.255.255',
    '192.168.1.1',
    '224.0.0.1',
    '255.255.255.255',
    '::',
    '::1',
    '::ffff:127.0.0.1',
    '::ffff:8.8.8.8',
    'fe80::1',
    'fc00::1',
    'fd12::1',
    'ff02::1',
    '64:ff9b::7f00:1',
    '2002:7f00:1::',
    '2001::1',
    'nonsense',
    '',
  ])
    assert.equal(isPublic(hidden), false, hidden);
  for (const open of ['8.8.8.8', '172.32.0.1', '100.128.0.1', '2606:4700::1111', '2a00:1450::1']) assert.equal(isPublic(open), true, open);
});
