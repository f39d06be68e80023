/**
 * Standard input for one machine as it comes; for several from a file of ours, since it comes only once (GRP-7). The file has no name, so that
 * however we end nothing of it stays.
 */
import { mkdtemp, open, rm, type FileHandle } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Cli } from '@croft/cli/program';

const pieceBytes = 64 * 1024;

export interface Reusable extends AsyncDisposable {
  /** It can be read more than once. */
  readonly isRepeatable: boolean;
  read(): AsyncIterable<Uint8Array>;
}

export async function openReusable({ stdin: input, stderr }: Pick<Cli, 'stdin' | 'stderr'>, times: number): Promise<Reusable> {
  if (input.isTerminal) await stderr.write('# reading standard input; Ctrl-D ends it\n');
  if (times === 1) return { isRepeatable: false, read: () => input, async [Symbol.asyncDispose]() {} };
  await using stack = new AsyncDisposableStack();
  const file = stack.use(await openNameless());
  for await (const piece of input) for (let at = 0; at < piece.length;) at += (await file.write(piece, at)).bytesWritten;
  const owned = stack.move();
  return { isRepeatable: true, read: () => fromStart(file), [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

async function openNameless(): Promise<FileHandle> {
  const dir = await mkdtemp(join(tmpdir(), 'gomote-'));
  try {
    return await open(join(dir, 'input'), 'wx+', 0o600);
  } finally {
    await rm(dir, { recursive: true });
  }
}

async function* fromStart(file: FileHandle): AsyncGenerator<Uint8Array> {
  for (let at = 0; ;) {
    const { buffer, bytesRead } = await file.read(Buffer.allocUnsafe(pieceBytes), 0, pieceBytes, at);
    if (bytesRead === 0) return;
    at += bytesRead;
    yield buffer.subarray(0, bytesRead);
  }
}
