import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { MachineId } from '@croft/domain/names';
import { silentLog, type Log } from '@croft/runtime/log';
import { systemRandom } from '@croft/runtime/random';
import { createMachineDirectories, type MachineDirectories } from './machine-directories.ts';

const id = 'docker-1' as MachineId;
const made = { user: `${process.getuid?.()}:${process.getgid?.()}`, password: 'a' };

async function openStage(log: Log = silentLog): Promise<AsyncDisposable & { root: string; directories: MachineDirectories }> {
  const root = await mkdtemp(join(tmpdir(), 'croft-directories-'));
  const directories = createMachineDirectories(root, { random: systemRandom, log });
  return {
    root,
    directories,
    async [Symbol.asyncDispose]() {
      await directories[Symbol.asyncDispose]();
      await rm(root, { recursive: true, force: true });
    },
  };
}

test('a machine’s directory is closed to others and keeps its password; what ran there leaves nothing', async () => {
  await using stage = await openStage();
  const { directories, root } = stage;
  assert.equal(await directories.prepare(id, made), 'a');
  assert.equal(await directories.prepare(id, { ...made, password: 'b' }), 'a');
  const modes = ['', 'state', 'home'].map(async (name) => (await stat(join(directories.dir(id), name))).mode & 0o777);
  assert.deepEqual(await Promise.all(modes), [0o700, 0o700, 0o700]);
  await mkdir(join(directories.dir(id), 'home', 'work'));
  await directories.clear(id);
  assert.deepEqual(await readdir(directories.dir(id)), ['password']);
  assert.deepEqual(await directories.list('docker'), [id]);
  await directories.remove(id);
  await directories.cleared();
  assert.deepEqual([await directories.list('docker'), await readdir(root)], [[], ['gone']]);
});

test('trees deeper than a path can be long, and directories that are closed, are deleted, too', async () => {
  await using stage = await openStage();
  const { directories, root } = stage;
  await directories.prepare(id, made);
  const home = join(directories.dir(id), 'home');
  const nest = `const fs = require('fs'); for (let n = 0; n < 60; n += 1) { fs.mkdirSync('${'d'.repeat(200)}'); process.chdir('${'d'.repeat(200)}'); }`;
  execFileSync(process.execPath, ['-e', nest], { cwd: home });
  await mkdir(join(home, 'closed', 'inside'), { recursive: true });
  execFileSync('chmod', ['000', join(home, 'closed')]);
  await directories.clear(id);
  await directories.cleared();
  assert.deepEqual(await readdir(join(root, 'gone')), []);
});
