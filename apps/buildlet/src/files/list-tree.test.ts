/** A tree with SHA-256, as senders of changed files ask for it, through the client. docs/protocols/buildlet.md#trees */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { chmod, mkdir, readdir, rename, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { TreeEntry } from '@croft/buildlet/client';
import { systemClock } from '@croft/runtime/clock';
import { ask, startMachine, withCode, type TestMachine } from '../testing.ts';

let machine: TestMachine;
before(async () => void (machine = await startMachine()));
after(() => machine[Symbol.asyncDispose]());

const work = (...names: string[]): string => join(machine.process.workDir, ...names);
const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

/** `f 644 5 DIGEST`, by path. */
async function tree(dir: string, skip: readonly string[] = []): Promise<Record<string, string>> {
  const batches = await Array.fromAsync(machine.client.listTree(dir, { skip }, { signal: systemClock.deadline(60_000) }));
  return Object.fromEntries(batches.flat().map((entry) => [entry.path, shown(entry)]));
}

function shown(entry: TreeEntry): string {
  if (entry.kind === 'link') return `-> ${entry.target}`;
  const mode = entry.mode.toString(8);
  return entry.kind === 'file' ? `${mode} ${entry.sizeBytes} ${entry.digest}` : `${entry.kind} ${mode}`;
}

test('modes, targets of links and digests are told, for names of any bytes', async () => {
  const odd = Buffer.concat([Buffer.from(`${work('odd')}/755 -\n\t`), Buffer.of(0xff, 0xfe)]);
  await mkdir(work('odd', 'empty'), { recursive: true });
  await chmod(work('odd', 'empty'), 0o700);
  await writeFile(odd, 'x');
  await writeFile(work('odd', 'run'), 'hello');
  await chmod(work('odd', 'run'), 0o4755);
  await writeFile(work('odd', 'none'), '', { mode: 0o600 });
  await symlink('../way out\nand on', work('odd', '755 link'));
  await chmod(odd, 0o640);
  assert.deepEqual(await tree('odd'), {
    '755 -\n\t\u00ff\u00fe': `640 1 ${sha256('x')}`,
    '755 link': '-> ../way out\nand on',
    empty: 'directory 700',
    none: `600 0 ${sha256('')}`,
    run: `4755 5 ${sha256('hello')}`,
  });
});

test('what is to be skipped is neither told nor entered, and a directory that is not there is empty', async () => {
  await mkdir(work('skip', 'a', 'b'), { recursive: true });
  await writeFile(work('skip', 'a', 'b', 'f'), 'x');
  assert.deepEqual(Object.keys(await tree('skip', ['a/b'])), ['a']);
  assert.deepEqual(await tree('not/there'), {});
  await assert.rejects(tree('../out'), withCode('invalid'));
});

test('a file that has changed is never told with what was remembered, whatever it did to its times', async () => {
  await mkdir(work('changed'), { recursive: true });
  const file = work('changed', 'f');
  const old = new Date('2020-01-01T00:00:00Z');
  const digests: (string | undefined)[] = [];
  for (let n = 0; n < 20; n += 1) {
    await writeFile(file, `${n}`.padStart(4));
    await utimes(file, old, old);
    digests.push((await tree('changed'))['f']);
  }
  assert.deepEqual(
    digests,
    Array.from({ length: 20 }, (_, n) => `644 4 ${sha256(`${n}`.padStart(4))}`),
  );
  await writeFile(work('changed', 'g'), 'over');
  await rename(work('changed', 'g'), file);
  assert.equal((await tree('changed'))['f'], `644 4 ${sha256('over')}`);
});

test('a list goes on while the tree is taken away under it', async () => {
  const dirs = Array.from({ length: 60 }, (_, n) => work('fleeting', `d${n}`));
  for (const dir of dirs) {
    await mkdir(dir, { recursive: true });
    for (let n = 0; n < 20; n += 1) await writeFile(join(dir, `f${n}`), 'x');
  }
  const [entries] = await Promise.all([tree('fleeting'), rm(work('fleeting'), { recursive: true })]);
  assert.ok(Object.keys(entries).length <= 60 * 21);
  assert.ok(!(await readdir(machine.process.workDir)).includes('fleeting'));
});

test('Go’s form stays Go’s', async () => {
  await mkdir(work('go'), { recursive: true });
  await writeFile(work('go', 'f'), 'x');
  for (const digest of ['sha1', 'SHA256', 'false', '']) {
    const { body } = await ask(machine.process, { path: `/ls?dir=go&digest=${digest}` });
    assert.match(body, /^-rw-r--r--\tf\t1\t\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\n$/, digest);
  }
});
