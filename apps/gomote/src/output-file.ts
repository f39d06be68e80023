/** Output of a command in a file of ours, from its beginning; a further round begins it anew. */
import { open } from 'node:fs/promises';
import type { Sink } from './follow-run.ts';

export interface OutputFile extends AsyncDisposable {
  readonly path: string;
  readonly sink: Sink;
  /** Forgets what was written. */
  restart(): Promise<void>;
}

export async function outputFile(path: string): Promise<OutputFile> {
  const file = await open(path, 'w', 0o600);
  let at = 0;
  return {
    path,
    async sink(bytes) {
      for (let done = 0; done < bytes.length;) done += (await file.write(bytes, done, bytes.length - done, at + done)).bytesWritten;
      at += bytes.length;
    },
    async restart() {
      at = 0;
      await file.truncate(0);
    },
    [Symbol.asyncDispose]: () => file.close(),
  };
}
