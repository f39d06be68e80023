/** What `gomote push` sends, and where to: a directory and its name, or Go's tree where GOROOT names one (PUSH-1). */
import { existsSync } from 'node:fs';
import { realpath, stat } from 'node:fs/promises';
import { basename, dirname, join, posix, resolve } from 'node:path';
import type { Cli } from '@croft/cli/program';
import { CroftError } from '@croft/runtime/errors';

export interface PushSource {
  /** Absolute. */
  readonly root: string;
  /** Below the work directory, `.` for itself. */
  readonly dest: string;
  /** It has the rules of Go's own tree (PUSH-5 to 8). */
  readonly isGo: boolean;
}

/** @throws CroftError `invalid` for what is no directory, or a destination outside the work directory */
export async function findSource(dir: string | undefined, dest: string | undefined, { env, cwd }: Cli): Promise<PushSource> {
  const goRoot = dir === undefined ? env['GOROOT'] : undefined;
  const root = await realpath(resolve(cwd, dir ?? goRoot ?? repositoryAt(cwd))).catch(() => undefined);
  if (root === undefined || !(await stat(root)).isDirectory())
    throw new CroftError('invalid', `${dir ?? goRoot} is not a directory`, { hint: 'gomote push INSTANCE DIR' });
  return { root, dest: cleanDest(dest ?? (goRoot === undefined ? basename(root) : 'go')), isGo: await isGoTree(root) };
}

/** @throws CroftError `invalid` */
function cleanDest(dest: string): string {
  const clean = posix.normalize(dest).replace(/\/$/, '');
  if (clean !== '' && !clean.startsWith('/') && !/^\.\.(\/|$)/.test(clean)) return clean;
  throw new CroftError('invalid', `${JSON.stringify(dest)} is not below the work directory of the machine`, {
    hint: 'Name it like app or go/src.',
  });
}

async function isGoTree(root: string): Promise<boolean> {
  const marks = ['src/make.bash', 'src/cmd/dist'].map((path) => stat(join(root, path)).catch(() => undefined));
  return (await Promise.all(marks)).every((found) => found !== undefined);
}

/** The root of the working tree around a directory, or that directory. To ask git would take a process, and the time of one. */
function repositoryAt(cwd: string): string {
  for (let at = cwd; ; at = dirname(at)) {
    if (existsSync(join(at, '.git'))) return at;
    if (dirname(at) === at) return cwd;
  }
}
