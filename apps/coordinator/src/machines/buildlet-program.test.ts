import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { promisify } from 'node:util';
import { isCode } from '@croft/runtime/errors';
import { createBuildletProgram } from './buildlet-program.ts';

async function freshDir(context: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'croft-program-'));
  context.after(() => rm(dir, { recursive: true }));
  return dir;
}

test('the program runs where none of our packages can be found', async (context) => {
  const dir = await freshDir(context);
  const file = await createBuildletProgram(join(dir, 'buildlet.mjs'))();
  const { stdout, stderr } = await promisify(execFile)(process.execPath, [file, '-version'], { cwd: dir });
  assert.match(stdout, /^buildlet version /);
  assert.equal(stderr, '');
});

test('the program stays small, since each machine holds all of it in memory', async (context) => {
  const file = await createBuildletProgram(join(await freshDir(context), 'buildlet.mjs'))();
  const { size } = await stat(file);
  assert.ok(size < 600_000, `${size} bytes; \`import { z } from 'zod'\` alone brings 550,000, \`import * as z\` only what is used`);
});

test('machines that start together get one program, made once', async (context) => {
  const program = createBuildletProgram(join(await freshDir(context), 'buildlet.mjs'));
  const [one, other] = await Promise.all([program(), program()]);
  assert.equal(one, other);
  const { ino } = await stat(one);
  assert.equal((await stat(await program())).ino, ino);
});

test('after a failure the next machine tries again', async (context) => {
  const dir = join(await freshDir(context), 'programs');
  await writeFile(dir, 'a file is in the way');
  const program = createBuildletProgram(join(dir, 'buildlet.mjs'));
  await assert.rejects(program(), (error) => isCode(error, 'internal'));
  await rm(dir);
  assert.ok((await stat(await program())).isFile());
});
