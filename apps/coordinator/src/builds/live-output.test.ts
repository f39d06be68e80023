import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import type { RunId } from '@croft/domain/names';
import type { Buildlet } from '@croft/buildlet/client';
import { SECOND } from '@croft/runtime/clock';
import { CroftError } from '@croft/runtime/errors';
import { FakeClock } from '@croft/runtime/testing';
import { pour } from '@croft/streams/gather';
import { NotTaken } from '@croft/streams/pour';
import { liveOutput, type LiveOutput } from './live-output.ts';

const id = 'B0123456789abcdef.1.test' as RunId;
const signal = new AbortController().signal;

async function read(options: LiveOutput): Promise<string> {
  let text = '';
  await liveOutput(0, (piece) => void (text += piece.toString()), options);
  return text;
}

/** Gives what is there from the offset on, and then nothing, for ever. */
function deadLines(text: string): Pick<Buildlet, 'pourOutput'> & { froms: number[] } {
  const froms: number[] = [];
  return {
    froms,
    async pourOutput(_id, from, take, waits) {
      froms.push(from);
      if (from < text.length) await take(Buffer.from(text.slice(from, from + 3)));
      if (froms.length === 3) return;
      await new Promise((_, reject) => waits.signal?.addEventListener('abort', () => reject(waits.signal?.reason as Error)));
    },
  };
}

test('a line on which nothing comes is opened again where it stood', async () => {
  const clock = new FakeClock();
  const lines = deadLines('onetwo');
  const reading = read({ id, buildlet: lines, clock, signal });
  await clock.advance(29 * SECOND);
  assert.deepEqual(lines.froms, [0]);
  await clock.advance(1 * SECOND);
  assert.deepEqual(lines.froms, [0, 3]);
  await clock.advance(30 * SECOND);
  assert.deepEqual(lines.froms, [0, 3, 6]);
  assert.equal(await reading, 'onetwo');
});

test('a line on which something comes now and then stays open', async () => {
  const clock = new FakeClock();
  let opened = 0;
  const buildlet: Pick<Buildlet, 'pourOutput'> = {
    async pourOutput(_id, _from, take) {
      opened += 1;
      for (let n = 0; n < 5; n += 1) {
        await clock.sleep(20 * SECOND);
        await take(Buffer.from('.'));
      }
    },
  };
  const reading = read({ id, buildlet, clock, signal });
  for (let n = 0; n < 5; n += 1) await clock.advance(20 * SECOND);
  assert.equal(await reading, '.....');
  assert.equal(opened, 1);
});

test('an abort of the reader ends it with its reason', async () => {
  const clock = new FakeClock();
  const stop = new AbortController();
  const reading = read({ id, buildlet: deadLines(''), clock, signal: stop.signal });
  stop.abort(new Error('stopped'));
  await assert.rejects(reading, /stopped/);
});

test('who fails to take a piece is not taken for a line that failed, however quiet it was', async () => {
  const clock = new FakeClock();
  const full = new CroftError('unavailable', 'the disk is full');
  let given = 0;
  const take = async (): Promise<void> => {
    given += 1;
    await clock.sleep(31 * SECOND);
    throw full;
  };
  const buildlet: Pick<Buildlet, 'pourOutput'> = {
    pourOutput: (_id, _from, taking) => pour(Readable.from([Buffer.from('.')]), taking, {}),
  };
  const reading = liveOutput(0, take, { id, buildlet, clock, signal });
  const failed = assert.rejects(reading, (error) => error instanceof NotTaken && error.cause === full);
  while (given === 0) await new Promise(setImmediate);
  await clock.advance(31 * SECOND);
  await failed;
  assert.equal(given, 1);
});
