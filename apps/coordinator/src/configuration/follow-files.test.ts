import assert from 'node:assert/strict';
import { mkdtempSync, renameSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { SECOND, systemClock } from '@croft/runtime/clock';
import { CroftError } from '@croft/runtime/errors';
import { createTaskGroup } from '@croft/runtime/tasks';
import { FakeClock } from '@croft/runtime/testing';
import { followFiles } from './follow-files.ts';

interface Stage extends AsyncDisposable {
  readonly clock: FakeClock;
  path(name: string): string;
  /** Written at this time of the clock, unless another one is given. */
  write(name: string, text: string, at?: number): void;
  /** How often it was read so far. */
  reads: number;
  follow(...names: string[]): void;
  /** Lets time pass until it was read so often. */
  untilRead(times: number): Promise<void>;
}

function openStage(): Stage {
  const clock = new FakeClock();
  const dir = mkdtempSync(join(tmpdir(), 'croft-follow-'));
  const tasks = createTaskGroup((_, error) => assert.fail(String(error)));
  const path = (name: string): string => join(dir, name);
  const stage: Stage = {
    clock,
    path,
    reads: 0,
    write(name, text, at = clock.now()) {
      writeFileSync(path(name), text);
      utimesSync(path(name), at / 1_000, at / 1_000);
    },
    follow(...names) {
      const files = names.map(path);
      const read = async (): Promise<{ files: string[]; readAt: number }> => {
        stage.reads += 1;
        return { files, readAt: clock.now() };
      };
      tasks.start('follow', (waits) => followFiles({ files, readAt: clock.now() }, { clock, read }, waits));
    },
    async untilRead(times) {
      const deadline = systemClock.deadline(10 * SECOND);
      while (stage.reads < times) {
        if (deadline.aborted) throw new CroftError('timeout', `it was read ${stage.reads} times`);
        await clock.advance(100);
        await systemClock.sleep(1);
      }
    },
    async [Symbol.asyncDispose]() {
      await tasks[Symbol.asyncDispose]();
      rmSync(dir, { recursive: true });
    },
  };
  return stage;
}

/** Lets it look so often, which takes real turns of the file system. */
async function looks({ clock }: Stage, times: number): Promise<void> {
  for (let n = 0; n < times * 10; n += 1) {
    await clock.advance(100);
    await systemClock.sleep(1);
  }
}

test('each change is read once: of a file, of one that is put in its place, of one that was missing', async () => {
  await using stage = openStage();
  stage.write('a', 'one', stage.clock.now() - SECOND);
  stage.follow('a', 'missing');
  await looks(stage, 3);
  assert.equal(stage.reads, 0);
  await stage.clock.advance(SECOND);
  stage.write('a', 'another');
  await stage.untilRead(1);
  stage.write('new', 'another');
  renameSync(stage.path('new'), stage.path('a'));
  await stage.untilRead(2);
  stage.write('missing', '');
  await stage.untilRead(3);
  rmSync(stage.path('a'));
  await stage.untilRead(4);
  await looks(stage, 5);
  assert.equal(stage.reads, 4);
});

test('a file that was written between the reading and the first look is read again', async () => {
  await using stage = openStage();
  stage.write('a', 'one', stage.clock.now() + 10);
  stage.follow('a');
  await stage.untilRead(1);
});

test('a time far in the future is no change', async () => {
  await using stage = openStage();
  stage.write('a', 'one', stage.clock.now() + 1e9);
  stage.follow('a');
  await looks(stage, 5);
  assert.equal(stage.reads, 0);
});

test('while a file goes on changing it is not read', async () => {
  await using stage = openStage();
  stage.write('a', '', stage.clock.now() - SECOND);
  stage.follow('a');
  await looks(stage, 1);
  for (let n = 0; n < 40; n += 1) {
    stage.write('a', 'x'.repeat(n));
    await stage.clock.advance(100);
    await systemClock.sleep(1);
  }
  assert.equal(stage.reads, 0);
  await stage.untilRead(1);
});
