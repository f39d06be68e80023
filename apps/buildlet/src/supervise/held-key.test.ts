/** A key that the user of the supervisor could not read by itself. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { mkdtempDisposable, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { isCode } from '@croft/runtime/errors';
import { until } from '../testing.ts';
import { holdKey } from './held-key.ts';
import { fakeBuildlet, openTestFarm, testFlags } from './testing.ts';

test('it is read once, held, and given to each buildlet in a pipe', async () => {
  await using place = await mkdtempDisposable(join(tmpdir(), 'croft-held-'));
  const dir = place.path;
  await writeFile(join(dir, 'key'), 'of-the-machine\n', { mode: 0o600 });
  await using farm = await openTestFarm();
  const telling = `const { readFileSync } = await import('node:fs');
    tell('has ' + process.argv[3] + ' ' + readFileSync(4, 'utf8') + ' pid ' + process.pid);
    process.send?.('ready');`;
  farm.offer('v1', fakeBuildlet('v1', telling));
  const input = openSync(join(dir, 'key'), 'r');
  const main = fileURLToPath(new URL('main.ts', import.meta.url));
  const child = spawn(process.execPath, [main, ...testFlags(farm, dir), '--key-file', 'fd:0'], { stdio: [input, 'ignore', 'ignore'] });
  closeSync(input);
  try {
    const told = async (): Promise<string[]> =>
      [...(await readFile(join(dir, 'told'), 'utf8').catch(() => '')).matchAll(/^v1 has --key-file=fd:4 of-the-machine pid (\d+)$/gm)].map(
        ([, pid]) => pid ?? '',
      );
    const first = await until('the first was told', async () => (await told())[0]);
    process.kill(Number(first), 'SIGKILL');
    await until('the second was told', async () => (await told()).length > 1);
  } finally {
    child.kill('SIGTERM');
    await once(child, 'exit');
  }
});

test('a key in a file is left to the buildlet, and a descriptor that is not there is told', () => {
  for (const args of [[], ['--key-file', '/etc/key'], ['-key-file=/etc/key', '-x'], ['--key-file']])
    assert.deepEqual(holdKey(args), { args, key: undefined });
  assert.throws(
    () => holdKey(['--key-file=fd:987']),
    (error) => isCode(error, 'invalid') && /read the key from fd:987/.test(error.message),
  );
});
