import assert from 'node:assert/strict';
import { mkdtemp, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { openDisk } from './disk.ts';

test('below the low-water mark nothing new starts, and the reason has the figures', async () => {
  const path = tmpdir();
  const ample = await openDisk({ path, lowWater: () => 0 });
  assert.deepEqual([ample.hold(), ample.state().ok], [undefined, true]);
  const low = await openDisk({ path, lowWater: () => 2 ** 60 });
  assert.equal(low.state().ok, false);
  assert.match(low.hold() ?? '', /^no new builds: [0-9.]+ GB free on .*, 1152921504\.6 GB wanted; free some space$/);
  assert.equal(await low.look(), false, 'nothing has changed');
});

test('a disk that cannot be looked at holds work and is looked at again', async () => {
  const path = await mkdtemp(join(tmpdir(), 'croft-disk-'));
  const disk = await openDisk({ path, lowWater: () => 0 });
  await rename(path, `${path}.away`);
  assert.equal(await disk.look(), true);
  assert.match(disk.hold() ?? '', /cannot be read: .*ENOENT/);
  await rename(`${path}.away`, path);
  assert.equal(await disk.look(), true);
  assert.equal(disk.hold(), undefined);
  await rm(path, { recursive: true });
});
