/** Source code to send about: one large file, and many small ones, of what the dependencies of this repository hold. */
import { createWriteStream } from 'node:fs';
import { glob, mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { finished } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import { CroftError } from '@croft/runtime/errors';
import type { Bench } from './row.ts';

export interface SourceTree {
  readonly name: 'one large file' | 'small files';
  readonly dir: string;
  readonly bytes: number;
  readonly files: number;
}

const dependencies = fileURLToPath(new URL('../../node_modules/', import.meta.url));
const sources = '**/*.{js,mjs,cjs,ts,mts,cts,json,md}';
const largeBytes = 256 * 1024 * 1024;
const smallFiles = 12_337;
const smallBytes = 64 * 1024;

/** The sources are used several times where they do not suffice: deflate looks back 32 KiB only. */
export async function makeSourceTrees({ dir, signal }: Bench): Promise<SourceTree[]> {
  const names = await Array.fromAsync(glob(sources, { cwd: dependencies }));
  if (names.length === 0) throw new CroftError('unavailable', 'there are no dependencies to send about', { hint: 'Run npm ci.' });
  names.sort();
  const large = join(dir, 'trees/large');
  const small = join(dir, 'trees/small');
  await mkdir(large, { recursive: true });
  const sink = createWriteStream(join(large, 'source.txt'));
  let bytes = 0;
  let written = 0;
  let files = 0;
  for (let round = 0; written < largeBytes || files < smallFiles; round += 1) {
    for (const name of names) {
      signal.throwIfAborted();
      const { size } = await stat(join(dependencies, name));
      const content = await readFile(join(dependencies, name));
      const part = content.subarray(0, largeBytes - written);
      written += part.length;
      if (part.length > 0 && !sink.write(part)) await new Promise((resolve) => void sink.once('drain', resolve));
      if (size > smallBytes || files === smallFiles) continue;
      await mkdir(join(small, String(round), dirname(name)), { recursive: true });
      await writeFile(join(small, String(round), name), content);
      files += 1;
      bytes += size;
    }
  }
  sink.end();
  await finished(sink);
  return [
    { name: 'one large file', dir: large, bytes: largeBytes, files: 1 },
    { name: 'small files', dir: small, bytes, files },
  ];
}
