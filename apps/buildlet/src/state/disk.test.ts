import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { FakeClock } from '@croft/runtime/testing';
import { createDisk } from './disk.ts';

test('what was seen last is told at once, and looked at anew beside it', async () => {
  const clock = new FakeClock();
  const disk = createDisk([tmpdir()], 0, clock);
  const first = await disk.seen();
  await clock.advance(501);
  assert.equal(await disk.seen(), first);
  const next = await disk.check();
  assert.notEqual(next, first);
  assert.equal(await disk.seen(), next);
});

test('a disk that cannot be looked at fails whoever asks, and again while it lasts', async () => {
  const clock = new FakeClock();
  const dir = await mkdtemp(join(tmpdir(), 'croft-disk-'));
  const disk = createDisk([dir], 0, clock);
  const first = await disk.seen();
  await rm(dir, { recursive: true });
  await clock.advance(501);
  assert.equal(await disk.seen(), first);
  await assert.rejects(disk.check(), { code: 'ENOENT' });
  await assert.rejects(disk.seen(), { code: 'ENOENT' });
});
