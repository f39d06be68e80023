/** A small disk of its own for tests that fill one. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';

/** Runs `use` in a file system of this size, mounted for it. */
export async function onSmallDisk(context: TestContext, megabytes: number, use: (dir: string) => Promise<void>): Promise<void> {
  if (process.getuid?.() !== 0 || process.platform !== 'linux') return context.skip('needs root on Linux to mount a small disk');
  const dir = await mkdtemp(join(tmpdir(), 'croft-small-'));
  try {
    await run('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m,mode=700`, 'tmpfs', dir]);
    try {
      await chmod(dir, 0o700);
      await use(dir);
    } finally {
      await run('umount', [dir]);
    }
  } finally {
    await rm(dir, { recursive: true });
  }
}

/** To its end. */
export async function run(program: string, args: readonly string[]): Promise<void> {
  const [code] = await once(spawn(program, args, { stdio: 'inherit' }), 'exit');
  assert.equal(code, 0, `${program} ${args.join(' ')}`);
}
