/** What the tests of what machines are given share: the Nodes of this computer that are older than the pinned one. */
import { execFile } from 'node:child_process';
import { realpath } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';

/** Below it, something of what the sources use is missing. */
const completeMajor = 24;

/** The oldest Node from 20 on in PATH and in the usual places; undefined where all of them are newer. */
export async function findOlderNode(): Promise<string | undefined> {
  const dirs = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/bin', '/usr/local/bin'];
  const programs = await Promise.all(dirs.map((dir) => realpath(join(dir, 'node')).catch(() => undefined)));
  const found = await Promise.all([...new Set(programs)].map(async (program) => ({ program, major: await majorOf(program) })));
  return found.filter(({ major }) => major >= 20 && major < completeMajor).toSorted((a, b) => a.major - b.major)[0]?.program;
}

async function majorOf(program: string | undefined): Promise<number> {
  if (program === undefined) return 0;
  const { stdout } = await promisify(execFile)(program, ['--version']).catch(() => ({ stdout: '' }));
  return Number(/^v(\d+)\./.exec(stdout)?.[1] ?? 0);
}
