/** What a command can read of the buildlet that started it: it tries. docs/security.md */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { mkdtempDisposable, readFile, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { loadFfi } from '../commands/libc.ts';
import { readGiven } from '../settings/given.ts';
import { complete, shell, startMachine } from '../testing.ts';

/** As root everything can be read: then another user it is. */
const uid = process.getuid?.() === 0 ? 65_534 : undefined;

const skip = reason();
function reason(): string | false {
  if (process.platform !== 'linux') return 'only Linux hides a process from its own user';
  if (loadFfi() === undefined) return 'this Node has no node:ffi';
  const reached = uid === undefined || spawnSync('test', ['-r', import.meta.filename], { uid, gid: uid }).status === 0;
  return reached ? false : 'another user cannot read this repository';
}

test('neither password nor memory, open files or environment of a buildlet can be read by its commands', { skip }, async (context) => {
  await using machine = await startMachine({ uid, env: { META_TLS_CERT: '', GO_BUILD_KEY_PATH: '/secret/place' } });
  const log = await machine.process.log();
  if (process.env['CROFT_TEST_BUILDLET'] && log.includes('"concealed":false'))
    return context.skip('the Node of this buildlet has no node:ffi');
  assert.match(log, /"concealed":true/);
  const { pid } = machine.process;
  const places = ['environ', 'mem', 'maps', 'fd/2', 'cwd/log', 'root/etc/passwd', 'io', 'stack'].map((name) => `/proc/${pid}/${name}`);
  const script = `id -u; for place in ${places.join(' ')}; do head -c 100000 $place 2>&1; done; ls /proc/${pid}/fd 2>&1; env; cat /proc/*/environ 2>/dev/null`;
  const { output } = await complete(machine.client, 'a', shell(script));
  const text = output.toString('latin1');
  assert.ok(text.startsWith(`${uid ?? process.getuid?.()}\n`));
  assert.equal(text.match(/Permission denied/g)?.length, places.length + 1, text.slice(0, 3_000));
  for (const secret of [machine.process.address.password, '/secret/place', 'META_']) assert.ok(!text.includes(secret), secret);
});

test('what is given in an open descriptor is read once, and leaves its number to nobody', async () => {
  await using dir = await mkdtempDisposable(join(tmpdir(), 'croft-given-'));
  const path = join(dir.path, 'key');
  await writeFile(path, ' secret\n');
  const fd = openSync(path, 'r');
  assert.equal(readGiven(`fd:${fd}`), 'secret');
  assert.throws(() => readGiven(`fd:${fd}`), /EBADF/);
  assert.throws(() => closeSync(fd), /EBADF/);
  assert.equal(readGiven(path), 'secret');
  assert.throws(() => readGiven('fd:no'), /ENOENT/);
});

test(
  'a key that only root can read reaches a buildlet of another user on its standard input',
  { skip: skip || (uid === undefined && 'needs root') },
  async () => {
    await using dir = await mkdtempDisposable(join(tmpdir(), 'croft-given-'));
    const path = join(dir.path, 'key');
    await writeFile(path, 'of-the-machine\n', { mode: 0o600 });
    assert.equal((await stat(path)).uid, 0);
    const program = `import { readGiven } from ${JSON.stringify(new URL('../settings/given.ts', import.meta.url).href)};
    let again; try { again = readGiven('/dev/stdin'); } catch (error) { again = error.code; }
    console.log(readGiven('fd:0'), again, readGiven('/dev/stdin') === '');`;
    const input = openSync(path, 'r');
    const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
      uid,
      gid: uid,
      cwd: '/',
      stdio: [input, 'pipe', 'pipe'],
    });
    closeSync(input);
    assert.equal(stdout.toString(), 'of-the-machine EACCES true\n', stderr.toString());
    assert.equal(await readFile(path, 'utf8'), 'of-the-machine\n');
  },
);
