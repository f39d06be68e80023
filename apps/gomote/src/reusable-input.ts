/** Standard input for one machine as it comes; for several from a file of ours, since it comes only once (GRP-7). */
import { createReadStream } from 'node:fs';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Cli } from '@croft/cli/program';

export interface Reusable extends AsyncDisposable {
  /** It can be read more than once. */
  readonly isRepeatable: boolean;
  read(): AsyncIterable<Uint8Array>;
}

export async function openReusable({ stdin: input, stderr }: Pick<Cli, 'stdin' | 'stderr'>, times: number): Promise<Reusable> {
  if (input.isTerminal) await stderr.write('# reading standard input; Ctrl-D ends it\n');
  if (times === 1) return { isRepeatable: false, read: () => input, async [Symbol.asyncDispose]() {} };
  const dir = await mkdtemp(join(tmpdir(), 'gomote-'));
  const path = join(dir, 'input');
  const remove = (): Promise<void> => rm(dir, { recursive: true, force: true });
  try {
    await using file = await open(path, 'wx', 0o600);
    for await (const piece of input) for (let at = 0; at < piece.length;) at += (await file.write(piece, at)).bytesWritten;
  } catch (error) {
    await remove();
    throw error;
  }
  return { isRepeatable: true, read: () => createReadStream(path), [Symbol.asyncDispose]: remove };
}
