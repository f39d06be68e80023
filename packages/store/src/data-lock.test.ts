import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { isCode } from '@croft/runtime/errors';
import { lockDataDirectory } from './data-lock.ts';

function freshDirectory(): { path: string } & Disposable {
  const path = mkdtempSync(join(tmpdir(), 'croft-lock-'));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

async function holdInAnotherProcess(directory: string): Promise<ChildProcess> {
  const program = `
    import { lockDataDirectory } from ${JSON.stringify(new URL('./data-lock.ts', import.meta.url).href)};
    lockDataDirectory(${JSON.stringify(directory)});
    process.stdout.write('held');
    setInterval(() => {}, 1_000);`;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', program], { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(child.stdout, 'data');
  return child;
}

test('a directory that another process holds is refused, naming the process; kill -9 frees it', async () => {
  using place = freshDirectory();
  const child = await holdInAnotherProcess(place.path);
  const named = (error: unknown): boolean =>
    isCode(error, 'conflict') && error.message.includes(`process ${child.pid}`) && error.hint !== undefined;
  assert.throws(() => lockDataDirectory(place.path), named);
  assert.throws(() => lockDataDirectory(place.path), named);
  child.kill('SIGKILL');
  await once(child, 'exit');
  using _lock = lockDataDirectory(place.path);
});

test('the same process cannot hold it twice, and disposal gives it back', () => {
  using place = freshDirectory();
  const directory = join(place.path, 'data');
  const lock = lockDataDirectory(directory);
  assert.equal(statSync(directory).mode & 0o077, 0);
  assert.throws(
    () => lockDataDirectory(directory),
    (error) => isCode(error, 'conflict'),
  );
  lock[Symbol.dispose]();
  lock[Symbol.dispose]();
  using _again = lockDataDirectory(directory);
});

test('a path that cannot be a directory is reported with what to do', () => {
  using place = freshDirectory();
  const file = join(place.path, 'file');
  writeFileSync(file, '');
  assert.throws(
    () => lockDataDirectory(join(file, 'data')),
    (error) => isCode(error, 'unavailable') && error.hint !== undefined,
  );
});
