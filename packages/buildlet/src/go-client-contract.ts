/** What each call of Go's client comes to on every machine that it can be pointed at: so the one in memory is as the real ones are. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { SECOND, systemClock } from '@croft/runtime/clock';
import { CroftError, errorText, isCode, type ErrorCode } from '@croft/runtime/errors';
import { packTarGz, type TarEntry } from '@croft/streams/tar-pack';
import type { FakeCommand } from './fake.ts';
import type { ExecOptions, ExecOutcome, GoClient } from './go-client.ts';

export interface ClientStage extends AsyncDisposable {
  /** Of a machine with an empty work directory. */
  readonly client: GoClient;
}

const waits = { signal: systemClock.deadline(100 * SECOND) };
const withCode =
  (code: ErrorCode, text = /^/) =>
  (error: unknown) =>
    (isCode(error, code) && text.test(errorText(error))) || assert.fail(`not "${code}": ${errorText(error)}`);

export function goClientContract(name: string, open: () => Promise<ClientStage>, { skip }: { skip?: string | undefined } = {}): void {
  describe(`Go’s client on ${name}`, { skip: skip ?? false }, () => {
    let stage: ClientStage;
    before(async () => void (stage = await open()));
    after(() => stage[Symbol.asyncDispose]());
    aboutCommands(() => stage.client);
    aboutFiles(() => stage.client);
  });
}

function aboutCommands(at: () => GoClient): void {
  test('outcomes are values', async () => {
    assert.deepEqual(await shell(at(), 'echo hi'), ['ok', 'hi\n']);
    assert.deepEqual(await shell(at(), 'echo out; exit 3'), ['exit status 3', 'out\n']);
    assert.deepEqual(await shell(at(), 'kill -KILL $$'), ['signal: killed', '']);
    const workDir = await at().workDir(waits);
    await at().put('bin/other', { mode: 0o644, content: '' }, waits);
    const missing = await at().exec('bin/none', {}, waits);
    assert.deepEqual(missing.end, { kind: 'not-started', reason: `fork/exec ${workDir}/bin/none: no such file or directory` });
    assert.match((await at().exec('no/such', {}, waits)).state, /^chdir .*\/no: no such file or directory$/);
    const [nowhere] = await shell(at(), 'exit 0', { dir: 'no/such' });
    assert.match(nowhere, /^chdir .*no\/such: no such file or directory$/);
  });

  test('failures are thrown, and a refusal breaks nothing', async () => {
    await assert.rejects(at().exec('', {}, waits), withCode('invalid', /requires 'cmd' parameter/));
    assert.equal(at().isBroken, false);
    const cancel = new AbortController();
    const stop = { onStart: () => cancel.abort(new CroftError('cancelled', 'nobody wants it')) };
    await assert.rejects(shell(at(), 'sleep 600', stop, cancel.signal), withCode('cancelled', /nobody wants it/));
    await assert.rejects(shell(at(), 'sleep 600', { timeoutMs: 200 }), withCode('timeout', /waiting for command to complete/));
    assert.ok(at().isBroken, 'as Go has it');
  });

  test('variables, directory and debug line', async () => {
    await at().put('sub/a.txt', { mode: 0o644, content: 'A' }, waits);
    assert.deepEqual(await shell(at(), 'echo "$GREETING"', { extraEnv: ['GREETING=first', 'GREETING=hello'] }), ['ok', 'hello\n']);
    assert.match((await shell(at(), 'pwd', { dir: `${await at().workDir(waits)}/sub` }))[1], /^\/.*\/sub\n$/);
    assert.match(
      (await shell(at(), 'echo x', { debug: true }))[1],
      /^:: Running \/bin\/sh with args \["\/bin\/sh" "-c" "echo x"\].*\n\nx\n$/,
    );
  });

  test('path: absent leaves it, empty clears it, elements are joined', async () => {
    const path = (given?: readonly string[]): Promise<[string, string]> =>
      shell(at(), 'echo "$PATH"', { extraEnv: ['PATH=/bin:/usr/bin'], path: given });
    assert.deepEqual(await path(), ['ok', '/bin:/usr/bin\n']);
    assert.deepEqual(await path([]), ['ok', '\n']);
    assert.deepEqual(await path(['/x', '$PATH']), ['ok', '/x:/bin:/usr/bin\n']);
    assert.deepEqual(await path(['$WORKDIR/bin']), ['ok', `${await at().workDir(waits)}/bin\n`]);
  });
}

function aboutFiles(at: () => GoClient): void {
  test('files are written, listed with digests, and removed', async () => {
    await at().removeAll(['.'], waits);
    await at().put('go/VERSION', { mode: 0o755, content: 'devel' }, waits);
    await at().putTar('go', packTarGz(oneFile('src/main.go', 'package main\n')), waits);
    const entries = await Array.fromAsync(at().listDir('go', { recursive: true, digest: true }, waits));
    const sha1 = createHash('sha1').update('package main\n').digest('hex');
    assert.deepEqual(
      entries.map(({ name, perm, isDir, sizeBytes }) => [name, perm, isDir, sizeBytes]),
      [
        ['VERSION', '-rwxr-xr-x', false, 5],
        ['src/', 'drwxr-xr-x', true, undefined],
        ['src/main.go', '-rw-r--r--', false, 13],
      ],
    );
    assert.deepEqual([entries[2]?.digest, entries[2]?.mtimeAt], [sha1, 1_600_000_000_000]);
    assert.deepEqual(await namesIn(at(), 'go', { recursive: true, skip: ['src'] }), ['VERSION']);
    assert.deepEqual(await namesIn(at(), 'go', {}), ['VERSION', 'src/']);
    await at().removeAll(['go/src', 'go/none'], waits);
    assert.deepEqual(await namesIn(at(), 'go', { recursive: true }), ['VERSION']);
  });

  test('an archive that was fetched is one that can be sent', async () => {
    await at().putTar('from', packTarGz(oneFile('deep/er/a.txt', 'A')), waits);
    const pieces = Array.fromAsync(at().getTar('from', waits), (piece) => Buffer.from(piece));
    const archive = Buffer.concat(await pieces);
    const again = async function* (): AsyncGenerator<Buffer> {
      yield archive;
    };
    await at().putTar('to', again(), waits);
    assert.deepEqual(await namesIn(at(), 'to', { recursive: true }), ['deep/', 'deep/er/', 'deep/er/a.txt']);
  });

  test('what leaves the work directory, is not there or is no archive is refused', async () => {
    const content = 'x';
    await assert.rejects(at().put('../x', { mode: 0o644, content }, waits), withCode('invalid'));
    await assert.rejects(at().removeAll(['a', '../x'], waits), withCode('invalid'));
    await assert.rejects(at().putTar('../x', packTarGz(oneFile('a', 'a')), waits), withCode('invalid'));
    await assert.rejects(namesIn(at(), '../x', {}), withCode('invalid'));
    await assert.rejects(namesIn(at(), 'no/such', {}), withCode('internal', /Walk error: lstat/));
    const noArchive = async function* (): AsyncGenerator<Buffer> {
      yield Buffer.from('no archive');
    };
    await assert.rejects(at().putTar('x', noArchive(), waits), withCode('invalid'));
  });
}

async function shell(client: GoClient, script: string, options: ExecOptions = {}, signal = waits.signal): Promise<[string, string]> {
  let output = '';
  const take = (piece: Buffer): void => void (output += piece.toString());
  const outcome: ExecOutcome = await client.exec(
    '/bin/sh',
    { args: ['-c', script], systemLevel: true, output: take, ...options },
    { signal },
  );
  return [outcome.state, output];
}

async function namesIn(client: GoClient, dir: string, options: Parameters<GoClient['listDir']>[1]): Promise<string[]> {
  return Array.fromAsync(client.listDir(dir, options, waits), ({ name }) => name);
}

async function* oneFile(path: string, text: string): AsyncGenerator<TarEntry> {
  const content = Buffer.from(text);
  yield { kind: 'file', path: Buffer.from(path), mode: 0o644, size: content.length, mtime: 1_600_000_000, content };
}

/** The programs that the suite runs, for machines in memory. */
export const clientCommands: Readonly<Record<string, FakeCommand>> = {
  '/bin/sh': async ({ args, env, dir, signal, write }) => {
    for (const line of (args[1] ?? '').split('; ')) {
      const [word = '', argument = ''] = line.split(' ');
      if (word === 'exit') return Number(argument);
      if (word === 'kill') return 'signal: killed';
      if (word === 'pwd') await write(`/workdir/${dir}\n`);
      if (word === 'echo') await write(`${argument.replace(/^"\$(\w+)"$/, (_, name: string) => env[name] ?? '')}\n`);
      if (word === 'sleep') await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
    }
    return 0;
  },
};
