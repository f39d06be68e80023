import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Feed } from '@croft/buildlet/client';
import { SECOND, systemClock } from '@croft/runtime/clock';
import { CroftError, isCode } from '@croft/runtime/errors';
import { FakeClock } from '@croft/runtime/testing';
import { createRunInput } from './run-input.ts';
import { fakeRun, type Fate } from './testing-run.ts';

test('whatever is cut, input arrives once, whole and in the order in which it was typed, and then its end', () =>
  fc.assert(
    fc.asyncProperty(
      fc.array(fc.string({ unit: 'grapheme-ascii', maxLength: 5 }), { maxLength: 30 }),
      fc.array(fc.constantFrom<Fate>('whole', 'lost', 'unanswered'), { maxLength: 40 }),
      fc.constantFrom('keys', 'bulk'),
      async (texts, fates, of) => {
        const run = fakeRun({ fates });
        const input = createRunInput(run, {}, { of });
        const takens: number[] = [];
        let typed = '';
        const waiting = texts.map(async (text, at) => {
          if (at % 3 === 0) await Promise.resolve();
          typed += text;
          takens.push(await input.write(Buffer.from(text)));
        });
        await Promise.all(waiting);
        assert.equal(run.typed(), typed);
        assert.deepEqual(
          takens,
          takens.toSorted((a, b) => a - b),
        );
        await input.end().catch((error: unknown) => assert.ok(isCode(error, 'conflict'), 'its end had come, and the answer was lost'));
        assert.ok(run.isInputOver());
      },
    ),
  ));

test('keys go out one by one in one request, until nobody types any more', async () => {
  const clock = new FakeClock();
  const run = { ...fakeRun(), clock };
  const input = createRunInput(run, {}, { taken: 0 });
  const taken: Promise<number>[] = [];
  for (const key of ['l', 's', '\n']) {
    taken.push(input.write(Buffer.from(key)));
    await clock.advance(900);
    assert.ok(run.typed().endsWith(key), 'it is not held back');
  }
  await clock.advance(1_100);
  assert.deepEqual(await Promise.all(taken), [3, 3, 3]);
  const last = input.write(Buffer.from('q'));
  await clock.advance(2_000);
  assert.equal(await last, 4);
  assert.equal(run.asked.filter((what) => what === 'input').length, 2);
});

test('where nobody waits to hear what was taken one request stays open however long nobody types, until all rest', async () => {
  const clock = new FakeClock();
  const run = { ...fakeRun(), clock };
  const input = createRunInput(run, {}, { taken: 0 });
  for (const key of ['l', 's', '\n']) {
    input.give(Buffer.from(key));
    await clock.advance(60 * SECOND);
    assert.ok(run.typed().endsWith(key));
  }
  assert.deepEqual(run.asked, ['input', 'piece', 'piece', 'piece']);
  input.rest();
  await clock.advance(0);
  assert.deepEqual(run.asked.slice(4), ['end of input']);
  input.give(Buffer.from('q'));
  assert.equal(await input.write(new Uint8Array()), 4);
});

test('who asks how much was taken does not wait until nobody types', async () => {
  const run = { ...fakeRun(), clock: new FakeClock() };
  const input = createRunInput(run, {});
  const typed = input.write(Buffer.from('ls'));
  assert.equal(await input.write(new Uint8Array()), 2);
  assert.equal(await typed, 2);
});

test('nobody asks how much a fresh run has taken', async () => {
  const run = fakeRun();
  await createRunInput(run, {}, { taken: 0 }).write(Buffer.from('a'));
  assert.deepEqual(run.asked, ['input', 'piece', 'end of input']);
});

test('who comes later to a run that has taken input goes on behind it, and nothing asks how much that was', async () => {
  const run = fakeRun();
  await createRunInput(run, {}).write(Buffer.from('from before'));
  const input = createRunInput(run, {});
  assert.equal(await input.write(new Uint8Array()), 11);
  assert.equal(await input.write(Buffer.from('!')), 12);
  assert.equal(run.typed(), 'from before!');
});

test('a refusal reaches whoever typed, and the next keys are tried again', async () => {
  const run = fakeRun();
  const input = createRunInput(run, {}, { taken: 5 });
  await assert.rejects(input.write(Buffer.from('a')), (error) => isCode(error, 'invalid'));
  assert.equal(await input.write(Buffer.from('b')), 1);
});

test('a machine that is gone for good, or a client that is, ends all that waits', async () => {
  for (const last of ['lost', 'silent'] as const) {
    const input = createRunInput(fakeRun({ last }), { signal: systemClock.deadline(20) });
    const waiting = [input.write(Buffer.from('a')), input.write(Buffer.from('b')), input.end()];
    await Promise.all(waiting.map((one) => assert.rejects(one, { name: 'TimeoutError' })));
  }
});

test('bulk goes in few requests, each added to while it is on its way', async () => {
  const run = fakeRun();
  const input = createRunInput(run, {}, { taken: 0, of: 'bulk' });
  const piece = Buffer.alloc(256 * 1024, 'x');
  for (let given = 0; given < 40; given += 1) {
    void input.write(piece);
    await input.room();
  }
  await input.end();
  assert.equal(run.typed().length, 40 * piece.length);
  assert.ok(run.asked.filter((what) => what === 'input').length <= 5, run.asked.join());
});

test('the memory of what was taken is given back, unless some of it may still be on its way', async () => {
  const isFreed = async (isLate: boolean): Promise<boolean> => {
    const run = fakeRun();
    const writeStdin: typeof run.buildlet.writeStdin = async (...asked) => {
      const { content } = asked[1];
      if (isLate && 'next' in content) return content.next()?.reduce((bytes, { length }) => bytes + length, 0) ?? 0; // and not all has gone out
      return run.buildlet.writeStdin(...asked);
    };
    const input = createRunInput({ ...run, buildlet: { ...run.buildlet, writeStdin } }, {}, { taken: 0, of: 'bulk', owns: true });
    const piece = Buffer.allocUnsafeSlow(512 * 1024);
    await input.write(piece);
    return piece.length === 0;
  };
  assert.deepEqual(await Promise.all([false, true].map(isFreed)), [true, false]);
});

test('what a request that was cut had sent does not count for the one that follows it', async () => {
  const run = fakeRun();
  const piece = Buffer.allocUnsafeSlow(512 * 1024);
  let asked = 0;
  const writeStdin: typeof run.buildlet.writeStdin = async (_id, { content }) => {
    const feed = content as Feed;
    feed.next(); // of the second one this stays on its way
    if ((asked += 1) > 1) {
      for (let turns = 0; turns < 10; turns += 1) await new Promise(setImmediate);
      return piece.length;
    }
    setImmediate(feed.sent);
    throw new CroftError('unavailable', 'the line was cut');
  };
  const input = createRunInput({ ...run, buildlet: { ...run.buildlet, writeStdin } }, {}, { taken: 0, of: 'bulk', owns: true });
  await input.write(piece);
  assert.deepEqual([asked, piece.length], [2, 512 * 1024]);
});

test('who has much waits while as much as one request carries waits', async () => {
  const gone = new AbortController();
  const input = createRunInput(fakeRun({ last: 'silent' }), gone, { taken: 0 });
  const megabyte = Buffer.alloc(1024 * 1024);
  const given = [input.write(megabyte), input.write(megabyte.subarray(1_000))];
  await input.room();
  given.push(input.write(megabyte.subarray(0, 1_000)));
  let hasRoom = false;
  const room = input.room()?.then(() => (hasRoom = true));
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(hasRoom, false);
  gone.abort(new Error('gone'));
  await room;
  await Promise.all(given.map((one) => assert.rejects(one, /gone/)));
});
