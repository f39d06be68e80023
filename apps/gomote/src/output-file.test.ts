/** Files that outputs of commands are kept in. */
import assert from 'node:assert/strict';
import { mkdtempDisposableSync, readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import type { Output } from '@croft/cli/terminal';
import { outputFile, type OutputFile } from './output-file.ts';

interface Stage {
  readonly dir: string;
  readonly file: OutputFile;
  said: string;
}

function stage(context: TestContext): Stage {
  const dir = mkdtempDisposableSync(join(tmpdir(), 'gomote-output-'));
  context.after(() => dir.remove());
  const stderr: Output = {
    isTerminal: false,
    columns: 100,
    paint: (_, text) => text,
    write: async (text) => void (made.said += String(text)),
  };
  const made: Stage = { dir: dir.path, said: '', file: outputFile(async () => dir.path, 'out', { stderr }) };
  return made;
}

test('both streams of a command may write at once, and nothing of either is lost', async (context) => {
  const { dir, file } = stage(context);
  const pieces = Array.from({ length: 40 }, (_, at) => Buffer.alloc(10_000 + at, at));
  await Promise.all(pieces.map((piece) => file.sink(piece)));
  await file.finish();
  await file[Symbol.asyncDispose]();
  assert.deepEqual(readFileSync(join(dir, 'out')), Buffer.concat(pieces));
});

test('a further round begins anew, and without a byte the file is empty', async (context) => {
  const { file } = stage(context);
  await file.sink(Buffer.from('first round'));
  await file.restart();
  await file.sink(Buffer.from('2nd'));
  const path = await file.finish();
  assert.equal(readFileSync(path, 'utf8'), '2nd');
  await file.restart();
  assert.equal(readFileSync(await file.finish(), 'utf8'), '');
  await file[Symbol.asyncDispose]();
});

test('what broke off before its first byte leaves nothing, and later what has come, told where', async (context) => {
  const never = stage(context);
  await never.file[Symbol.asyncDispose]();
  assert.deepEqual([readdirSync(never.dir), never.said], [[], '']);
  const half = stage(context);
  await half.file.sink(Buffer.from('half'));
  await half.file[Symbol.asyncDispose]();
  assert.equal(readFileSync(join(half.dir, 'out'), 'utf8'), 'half');
  assert.equal(half.said, `# output so far in ${join(half.dir, 'out')}\n`);
});
