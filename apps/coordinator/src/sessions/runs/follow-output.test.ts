import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { isCode } from '@croft/runtime/errors';
import { followOutput, type OutputWish, type Piece } from './follow-output.ts';
import { endOfRun } from './run-place.ts';
import { fakeRun, type Fate, type FakeRun } from './testing-run.ts';

const all = { from: 0, keptBytes: 1024 };
const never = { signal: new AbortController().signal };

async function read(run: FakeRun, wish: OutputWish = all, waits = never): Promise<string> {
  let text = '';
  await followOutput(run, wish, (piece) => void (text += piece.bytes.toString()), waits);
  return text;
}

const phases: Record<string, readonly Fate[]> = {
  'before the first byte': ['lost'],
  'after the first byte': ['whole', 'lost'],
  'in the middle': ['whole', 'whole', 'lost', 'unanswered', 'lost'],
  'with the last byte': ['whole', 'whole', 'whole', 'lost'],
};
for (const [phase, fates] of Object.entries(phases))
  test(`a line that is lost ${phase} is followed on another one`, async () => {
    const run = fakeRun({ writes: 'onetwosix', fates });
    assert.equal(await read(run), 'onetwosix');
    assert.ok(run.asked.filter((what) => what.startsWith('output')).length > 1);
  });

test('a line that is lost after the last byte is asked again how the run ended', async () => {
  const run = fakeRun({ fates: ['lost', 'unanswered'] });
  assert.deepEqual((await endOfRun(run, never))?.exit, { kind: 'exited', code: 3 });
  assert.deepEqual(run.asked, ['run', 'run', 'run']);
  assert.equal(await endOfRun(fakeRun({ isUnknown: true }), never), undefined);
});

test('a machine that is gone for good is asked until somebody says that it is', async () => {
  for (const ask of [read, endOfRun] as const) {
    const run = fakeRun({ writes: 'onetwo', fates: ask === read ? ['whole'] : [], last: 'lost' });
    const lost = new AbortController();
    const ended = assert.rejects(ask === read ? read(run, all, lost) : endOfRun(run, lost), /declared lost/);
    while (run.asked.length < 4) await new Promise((resolve) => setImmediate(resolve));
    lost.abort(new Error('declared lost'));
    await ended;
  }
});

test('a client that has gone ends the waiting, wherever that is', async () => {
  for (let at = 0; at < 4; at += 1) {
    const gone = new AbortController();
    const run = fakeRun({ writes: 'onetwosix', fates: Array<Fate>(at).fill('whole'), last: 'silent' });
    const reading = read(run, all, gone);
    setImmediate(() => gone.abort(new Error('the client is gone')));
    await assert.rejects(reading, /the client is gone/);
    assert.equal(run.asked.length, at + 1);
  }
});

test('whatever is cut, every byte is given once and in order, and no more is let go than was given', () =>
  fc.assert(
    fc.asyncProperty(
      fc.string({ unit: 'grapheme-ascii', maxLength: 60 }),
      fc.nat({ max: 20 }),
      fc.array(fc.constantFrom<Fate>('whole', 'whole', 'lost', 'unanswered'), { maxLength: 60 }),
      async (writes, keptBytes, fates) => {
        const run = fakeRun({ writes, fates });
        let text = '';
        const take = ({ from, bytes }: Piece): undefined => {
          assert.equal(from, text.length);
          assert.ok(run.letGo() <= Math.max(0, text.length - keptBytes));
          text += bytes.toString();
        };
        await followOutput(run, { from: 0, keptBytes }, take, never);
        assert.equal(text, writes);
      },
    ),
  ));

test('what is spooled stays within what is kept and a quarter of that, so that no command is stopped', async () => {
  const run = fakeRun({ writes: 'x'.repeat(3_000) });
  let given = 0;
  const take = ({ bytes }: Piece): undefined => {
    assert.ok(given - run.letGo() <= 500, `${given - run.letGo()} bytes are spooled`);
    given += bytes.length;
  };
  await followOutput(run, { from: 0, keptBytes: 400 }, take, never);
});

test('what somebody else let go of is left out, and where it goes on is told', async () => {
  const run = fakeRun({ writes: 'onetwosix', fates: ['whole', 'whole', 'whole', 'lost'] });
  const froms: number[] = [];
  const take = async ({ from }: Piece): Promise<void> => {
    froms.push(from);
    if (from === 3) await run.buildlet.ack(run.id, 7, run.epoch, {});
  };
  await followOutput(run, all, take, never);
  assert.deepEqual(froms, [0, 3, 7]);
});

test('standard error has a way of its own', async () => {
  const run = fakeRun({ writes: 'oops', fates: ['lost'] });
  assert.equal(await read(run, { ...all, from: 2, stream: 'stderr' }), 'ps');
  assert.deepEqual(run.asked.slice(0, 2), ['output from 2 of stderr', 'output from 2 of stderr']);
});

test('a run that its machine does not know any more is an error', async () => {
  await assert.rejects(read(fakeRun({ isUnknown: true })), (error) => isCode(error, 'not-found'));
});
