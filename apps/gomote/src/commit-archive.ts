/** The exact tree of a commit of the repository here, as an archive. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { parseRevision } from '@croft/domain/names';
import { openMirror } from '@croft/forge/git';
import type { Cli } from '@croft/cli/program';
import { CroftError } from '@croft/runtime/errors';
import { gitEnvironment } from './push/ignored.ts';
import type { Reusable } from './reusable-input.ts';

const gzipLevel = 1;

export function isCommit(text: string): boolean {
  return /^[0-9a-f]{7,40}$/.test(text);
}

/** @throws CroftError `not-found` when the repository here does not have it */
export async function archiveOfCommit(commit: string, { cwd, env, clock, interruption }: Cli): Promise<Reusable> {
  const git = async (...args: string[]): Promise<string> =>
    (await promisify(execFile)('git', ['-C', cwd, ...args], { env: gitEnvironment(env) })).stdout.trim();
  let root: string;
  let id: string;
  try {
    root = await git('rev-parse', '--show-toplevel');
    id = await git('rev-parse', '--verify', '--quiet', `${commit}^{commit}`);
  } catch (error) {
    throw new CroftError('not-found', `there is no commit ${commit} in the repository here`, {
      cause: error,
      hint: 'Fetch it, or go into a clone that has it.',
    });
  }
  const revision = parseRevision(id);
  await using stack = new AsyncDisposableStack();
  const { signal } = stack.use(interruption()); // until the directory is gone
  const dir = await mkdtemp(join(tmpdir(), 'gomote-'));
  stack.defer(() => rm(dir, { recursive: true, force: true }));
  const mirror = stack.use(await openMirror({ dir: join(dir, 'mirror.git'), url: root, gitHome: dir, clock, path: env['PATH'] ?? '' }));
  await mirror.fetch({ signal });
  const owned = stack.move();
  return {
    isRepeatable: true,
    read: () => mirror.sourceTar(revision, {}, { submodules: false, lfs: false, gzipLevel }),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
