import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createReadStream, existsSync, mkdtempDisposableSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { systemClock } from '@croft/runtime/clock';
import { rememberLogin } from './connect.ts';
import { writeOwnFile } from './own-file.ts';

const source = join(import.meta.dirname, 'own-file.ts');

/** A program that is killed while it writes: its draft is a pipe, which holds less than it has to say. @returns the draft */
async function dieOver(path: string): Promise<string> {
  const script = `import(${JSON.stringify(source)}).then(({ writeOwnFile }) => writeOwnFile(${JSON.stringify(path)}, 'x'.repeat(1e6)))`;
  const shell = 'mkfifo "$1.$$.new" && echo && exec "$2" -e "$3"';
  const child = spawn('sh', ['-c', shell, 'sh', path, process.execPath, script], { signal: systemClock.deadline(30_000) });
  await once(child.stdout, 'data');
  const draft = `${path}.${child.pid}.new`;
  const reader = createReadStream(draft);
  await once(reader, 'readable');
  child.kill('SIGKILL');
  await once(child, 'exit');
  reader.destroy();
  assert.ok(existsSync(draft), 'it was killed before it had cleaned up');
  return draft;
}

test('the draft of one that was killed over a file goes with the next writing there, that of a living one stays', async () => {
  using dir = mkdtempDisposableSync(join(tmpdir(), 'croft-own-file-'));
  const path = join(dir.path, 'kept', 'a.json');
  await writeOwnFile(path, 'before');
  await dieOver(path);
  const living = `${path}.${process.ppid}.new`;
  writeFileSync(living, 'half');
  assert.equal(readFileSync(path, 'utf8'), 'before');
  await writeOwnFile(join(dir.path, 'kept', 'b.json'), 'after');
  assert.deepEqual(readdirSync(join(dir.path, 'kept')).toSorted(), ['a.json', `a.json.${process.ppid}.new`, 'b.json']);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.equal(statSync(join(dir.path, 'kept')).mode & 0o777, 0o700);
});

test('a token that a killed login has left behind goes with the next login', async () => {
  using dir = mkdtempDisposableSync(join(tmpdir(), 'croft-own-file-'));
  const env = { XDG_CONFIG_HOME: dir.path };
  const path = await rememberLogin({ server: 'https://a.example', token: 'croft_1' }, env);
  await dieOver(path);
  await rememberLogin({ server: 'https://b.example' }, env);
  assert.deepEqual(readdirSync(join(dir.path, 'croft')), ['login.json']);
  assert.deepEqual(JSON.parse(readFileSync(path, 'utf8')), { server: 'https://b.example' });
});

test('a file that cannot have its name leaves no draft', async () => {
  using dir = mkdtempDisposableSync(join(tmpdir(), 'croft-own-file-'));
  await writeOwnFile(join(dir.path, 'taken', 'x'), '');
  await assert.rejects(writeOwnFile(join(dir.path, 'taken'), 'y'), { code: 'EISDIR' });
  assert.deepEqual(readdirSync(dir.path), ['taken']);
});
