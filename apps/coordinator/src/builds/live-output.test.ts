import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RunId } from '@croft/domain/names';
import { SECOND, type Waits } from '@croft/runtime/clock';
import { FakeClock } from '@croft/runtime/testing';
import { liveOutput } from './live-output.ts';

const id = 'B0123456789abcdef.1.test' as RunId;
const signal = new AbortController().signal;

/** Gives what is there from the offset on, and then nothing, for ever. */
function deadLines(text: string): { output: (id: RunId, from: number, waits: Waits) => AsyncGenerator<Buffer>; froms: number[] } {
  const froms: number[] = [];
  return {
    froms,
    async *output(_id, from, waits) {
      froms.push(from);
      if (from < text.length) yield Buffer.from(text.slice(from, from + 3));
      if (froms.length === 3) return;
      await new Promise((_, reject) => waits.signal?.addEventListener('abort', () => reject(waits.signal?.reason as Error)));
    },
  };
}

test('a line on which nothing comes is opened again where it stood', async () => {
  const clock = new FakeClock();
  const lines = deadLines('onetwo');
  const reading = Array.fromAsync(liveOutput(0, { id, buildlet: lines, clock, signal }));
  await clock.advance(29 * SECOND);
  assert.deepEqual(lines.froms, [0]);
  await clock.advance(1 * SECOND);
  assert.deepEqual(lines.froms, [0, 3]);
  await clock.advance(30 * SECOND);
  assert.deepEqual(lines.froms, [0, 3, 6]);
  assert.equal(Buffer.concat(await reading).toString(), 'onetwo');
});

test('a line on which something comes now and then stays open', async () => {
  const clock = new FakeClock();
  let opened = 0;
  const buildlet = {
    async *output() {
      opened += 1;
      for (let n = 0; n < 5; n += 1) {
        await clock.sleep(20 * SECOND);
        yield Buffer.from('.');
      }
    },
  };
  const reading = Array.fromAsync(liveOutput(0, { id, buildlet, clock, signal }));
  for (let n = 0; n < 5; n += 1) await clock.advance(20 * SECOND);
  assert.equal(Buffer.concat(await reading).toString(), '.....');
  assert.equal(opened, 1);
});

test('an abort of the reader ends it with its reason', async () => {
  const clock = new FakeClock();
  const stop = new AbortController();
  const reading = Array.fromAsync(liveOutput(0, { id, buildlet: deadLines(''), clock, signal: stop.signal }));
  stop.abort(new Error('stopped'));
  await assert.rejects(reading, /stopped/);
});
