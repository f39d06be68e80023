/** What Go's programs ask of a buildlet in the course of a build, played by the client that does all that theirs does. Told as in `story.ts`. */
import type { ExecOptions, GoClient } from '@croft/buildlet/go-client';
import { isCode } from '@croft/runtime/errors';
import { source } from './story.ts';

/** Every variable that a step tells of is set by it. */
const standing = ['GREETING=hi', 'PATH=/usr/bin:/bin'];

export async function playGoStory(client: GoClient): Promise<Record<string, unknown>> {
  const told: Record<string, unknown> = {};
  told['status'] = (await client.status({})).Version >= 23;
  const workDir = await client.workDir({});
  told['work directory'] = workDir.startsWith('/');
  await playFiles(client, told);
  await playCommands(client, told, workDir);
  const text = await client.forward({ method: 'GET', path: '/debug/x?n=3', headers: {} }, {});
  told['debug'] = (await Array.fromAsync(text as AsyncIterable<Buffer>)).join('');
  await client.removeAll(['src/file', 'put'], {});
  told['left'] = await listOf(client, 'src');
  await client.close();
  return told;
}

async function playFiles(client: GoClient, told: Record<string, unknown>): Promise<void> {
  await client.put('put/script', { mode: 0o755, content: '#!/bin/sh\necho ran\n' }, {});
  await client.putTar('src', pieces(), {});
  told['list'] = [...(await listOf(client, 'put')), ...(await listOf(client, 'src'))];
  const archive = await Array.fromAsync(client.getTar('src', {}), (piece) => Buffer.from(piece));
  told['archive'] = Buffer.concat(archive).readUInt16BE() === 0x1f8b;
}

async function playCommands(client: GoClient, told: Record<string, unknown>, workDir: string): Promise<void> {
  const run = async (command: string, options: ExecOptions): Promise<unknown> => {
    let output = '';
    try {
      const { state, end } = await client.exec(
        command,
        { extraEnv: standing, output: (piece) => void (output += piece.toString()), ...options },
        {},
      );
      return { state: state.replaceAll(workDir, 'WORK'), end: end.kind, output: output.replaceAll(workDir, 'WORK') };
    } catch (error) {
      return isCode(error, 'invalid') ? 'refused' : String(error);
    }
  };
  const shell = (script: string, more: ExecOptions = {}): Promise<unknown> =>
    run('/bin/sh', { args: ['-c', script], systemLevel: true, ...more });
  told['passes'] = await run('put/script', {});
  told['fails'] = await shell('echo out; echo err >&2; exit 3');
  told['is killed'] = await shell('kill -KILL $$');
  told['is not there'] = await run('put/none', {});
  told['is not known'] = await run('no-such-program', { systemLevel: true });
  told['environment'] = await shell('echo "$GREETING $PATH"; pwd', { path: ['$WORKDIR/bin', '$PATH'], dir: 'src' });
  told['no path'] = await shell('echo "[$PATH]"', { path: [] });
}

/** Without times. */
async function listOf(client: GoClient, dir: string): Promise<string[]> {
  const entries = await Array.fromAsync(client.listDir(dir, { recursive: true, digest: true }, {}));
  return entries.map(({ perm, name, sizeBytes = '', digest = '' }) => [perm, name, sizeBytes, digest].join('\t'));
}

async function* pieces(): AsyncGenerator<Buffer> {
  yield source;
}
