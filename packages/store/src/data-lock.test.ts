import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { isCode } from '@croft/runtime/errors';
import { lockDataDirectory } from './data-lock.ts';
import { moduleAddress, startProgram } from './test-program.ts';

function freshDirectory(): { path: string } & Disposable {
  const path = mkdtempSync(join(tmpdir(), 'croft-lock-'));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

const holder = (directory: string): string => `
  import { lockDataDirectory } from ${moduleAddress('./data-lock.ts')};
  lockDataDirectory(${JSON.stringify(directory)});
  gc();
  console.log('held');
  setInterval(() => {}, 1_000);`;

test('a directory that another process holds is refused, naming the process; kill -9 frees it', async () => {
  using place = freshDirectory();
  await using program = await startProgram(holder(place.path));
  const named = (error: unknown): boolean =>
    isCode(error, 'conflict') && error.message.includes(`process ${program.pid}`) && error.hint !== undefined;
  assert.throws(() => lockDataDirectory(place.path), named);
  assert.throws(() => lockDataDirectory(place.path), named);
  await program.kill();
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
