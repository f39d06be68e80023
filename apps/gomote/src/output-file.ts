/** Output of a command in a file of ours, from its beginning; a further round begins it anew. Nothing is made before the first byte comes. */
import { mkdtemp, open, type FileHandle } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Cli } from '@croft/cli/program';
import type { Sink } from './follow-run.ts';

/** Where a file is to lie, asked when there is something to put there. */
export type Place = () => Promise<string>;

export interface OutputFile extends AsyncDisposable {
  readonly sink: Sink;
  /** Forgets what was written. */
  restart(): Promise<void>;
  /** It is whole; an empty one too is there now. @returns its path */
  finish(): Promise<string>;
}

/** A fresh directory, the same for whoever asks. */
export function freshPlace({ env }: Pick<Cli, 'env'>): Place {
  let made: Promise<string> | undefined;
  return () => (made ??= mkdtemp(join(env['TMPDIR'] ?? tmpdir(), 'gomote-')));
}

/** Pieces may come at once, in the order of their calls. When it is disposed and not whole, it is told where what has come lies. */
export function outputFile(place: Place, name: string, { stderr }: Pick<Cli, 'stderr'>): OutputFile {
  let opening: Promise<{ readonly file: FileHandle; readonly path: string }> | undefined;
  let end = 0;
  let isWhole = false;
  const openOnce = (): NonNullable<typeof opening> => (opening ??= openIn(place, name));
  return {
    async sink(bytes) {
      const from = end;
      end += bytes.length;
      const { file } = await openOnce();
      for (let done = 0; done < bytes.length;) done += (await file.write(bytes, done, bytes.length - done, from + done)).bytesWritten;
    },
    async restart() {
      end = 0;
      await (await opening)?.file.truncate(0);
    },
    async finish() {
      const { path } = await openOnce();
      isWhole = true;
      return path;
    },
    async [Symbol.asyncDispose]() {
      const opened = await opening?.catch(() => undefined); // whoever wrote was told
      await opened?.file.close();
      if (opened && !isWhole) await stderr.write(`# output so far in ${opened.path}\n`);
    },
  };
}

async function openIn(place: Place, name: string): Promise<{ readonly file: FileHandle; readonly path: string }> {
  const path = join(await place(), name);
  return { file: await open(path, 'w', 0o600), path };
}
