import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtempDisposable, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { withCode } from '../testing.ts';
import { lockStateDir } from './lock.ts';

const freshDir = (): ReturnType<typeof mkdtempDisposable> => mkdtempDisposable(join(tmpdir(), 'croft-lock-'));
const holding = `const { lockStateDir } = await import(${JSON.stringify(new URL('lock.ts', import.meta.url).href)});
await lockStateDir(process.argv[1]); console.log('held'); setInterval(() => {}, 60_000);`;

/** A process that holds the lock, once it does. */
async function hold(dir: string, before: readonly string[] = []): Promise<AsyncDisposable> {
  const [program, ...args] = [...before, process.execPath, '--input-type=module', '--eval', holding, dir];
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(child.stdout, 'data');
  return {
    async [Symbol.asyncDispose]() {
      const exited = once(child, 'exit');
      child.kill('SIGKILL');
      await exited;
    },
  };
}

test('one at a time holds a directory, by whatever path', async () => {
  await using dir = await freshDir();
  const link = `${dir.path}-link`;
  await symlink(dir.path, link);
  await using stack = new AsyncDisposableStack();
  stack.defer(() => import('node:fs/promises').then(({ rm }) => rm(link)));
  {
    await using _first = await lockStateDir(dir.path);
    for (const path of [dir.path, link]) await assert.rejects(lockStateDir(path), withCode('conflict'));
  }
  await using _second = await lockStateDir(link);
});

test('kill -9 of the holder frees it', async () => {
  await using dir = await freshDir();
  for (let turn = 0; turn < 2; turn += 1) {
    await using _other = await hold(dir.path);
    await assert.rejects(lockStateDir(dir.path), withCode('conflict'));
  }
  await using _mine = await lockStateDir(dir.path);
});

test('of many that start at once one gets it, though a dead one left its socket', async () => {
  await using dir = await freshDir();
  await (await hold(dir.path))[Symbol.asyncDispose]();
  const tries = await Promise.allSettled(Array.from({ length: 10 }, () => lockStateDir(dir.path)));
  const got = tries.filter((one) => one.status === 'fulfilled');
  assert.equal(got.length, 1);
  await got[0]?.value[Symbol.asyncDispose]();
});

test('a directory with a long path can be held', async () => {
  await using dir = await freshDir();
  const deep = join(dir.path, 'd'.repeat(200));
  await mkdir(deep);
  await using _mine = await lockStateDir(deep);
  await assert.rejects(lockStateDir(deep), withCode('conflict'));
});

test('a buildlet in another network namespace is seen', { skip: process.getuid?.() !== 0 && 'needs root' }, async () => {
  await using dir = await freshDir();
  await using _other = await hold(dir.path, ['unshare', '--net']);
  await assert.rejects(lockStateDir(dir.path), withCode('conflict'));
});
