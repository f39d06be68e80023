/** `gomote` as people install it from a farm, and as they run it from a clone. */
import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { FarmProcess } from './farm-process.ts';
import { runProgram } from './programs.ts';
import type { Bench } from './row.ts';

/** @returns its standard output */
export type Gomote = (...args: string[]) => Promise<string>;

const sources = fileURLToPath(new URL('../../apps/gomote/src/main.ts', import.meta.url));

export async function installGomote({ url }: FarmProcess, { dir, signal }: Bench): Promise<{ installed: Gomote; fromSources: Gomote }> {
  const file = join(dir, 'gomote');
  const answer = await fetch(`${url}/dist/gomote/gomote`, { signal });
  await writeFile(file, Buffer.from(await answer.arrayBuffer()));
  await chmod(file, 0o755);
  const env = { HOME: dir, CROFT_SERVER: url };
  const running =
    (program: string): Gomote =>
    (...args) =>
      runProgram([process.execPath, program, ...args], { signal, env });
  return { installed: running(file), fromSources: running(sources) };
}
