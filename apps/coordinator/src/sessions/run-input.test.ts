import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { CroftError, isCode } from '@croft/runtime/errors';
import { createRunInput, type SendInput } from './run-input.ts';

/** Takes input as the buildlet does: what it has already is skipped, what would leave a gap refused. */
function fakeRun(cuts: readonly boolean[] = []): { send: SendInput; text(): string; calls: number } {
  let taken = Buffer.alloc(0);
  const left = [...cuts];
  const run = {
    calls: 0,
    text: () => taken.toString(),
    async send(from: number, content: Uint8Array): Promise<number> {
      for (;;) {
        run.calls += 1;
        await Promise.resolve();
        if (from > taken.length) throw new CroftError('invalid', 'a gap');
        taken = Buffer.concat([taken, content.subarray(taken.length - from)]);
        if (left.shift() !== true) return taken.length; // else the answer is lost, and it is sent again
      }
    },
  };
  return run;
}

test('whatever is cut, input arrives once, whole and in the order in which it was typed', () =>
  fc.assert(
    fc.asyncProperty(
      fc.array(fc.string({ unit: 'grapheme-ascii', maxLength: 5 }), { maxLength: 30 }),
      fc.array(fc.boolean(), { maxLength: 40 }),
      async (texts, cuts) => {
        const run = fakeRun(cuts);
        const input = createRunInput(run.send);
        const takens: number[] = [];
        let typed = '';
        const waiting = texts.map(async (text, at) => {
          if (at % 3 === 0) await Promise.resolve();
          typed += text;
          takens.push(await input.write(Buffer.from(text)));
        });
        await Promise.all(waiting);
        assert.equal(run.text(), typed);
        assert.deepEqual(
          takens,
          takens.toSorted((a, b) => a - b),
        );
      },
    ),
  ));

test('what is typed while something is on its way goes together after it', async () => {
  const run = fakeRun();
  const input = createRunInput(run.send);
  await Promise.all(['l', 's', ' ', '-l', '\n'].map((key) => input.write(Buffer.from(key))));
  assert.equal(run.text(), 'ls -l\n');
  assert.equal(run.calls, 3, 'one question, the first key, and the rest');
});

test('who comes later to a run that has taken input goes on behind it, and nothing asks how much that was', async () => {
  const run = fakeRun();
  await run.send(0, Buffer.from('from before'));
  const input = createRunInput(run.send);
  assert.equal(await input.write(new Uint8Array()), 11);
  assert.equal(await input.write(Buffer.from('!')), 12);
  assert.equal(run.text(), 'from before!');
});

test('a refusal reaches whoever typed, and the next keys are tried again', async () => {
  let refused = true;
  const input = createRunInput(async (from, content) => {
    if (refused) throw new CroftError('conflict', 'it has ended');
    return from + content.length;
  });
  await assert.rejects(input.write(Buffer.from('a')), (error) => isCode(error, 'conflict'));
  refused = false;
  assert.equal(await input.write(Buffer.from('b')), 1);
});
