/** Which paths commits change, each against its first parent; a root commit changes all that it has. Renamed files have both names. */
import type { Revision } from '@croft/domain/names';
import type { Waits } from '@croft/runtime/clock';
import { isCode } from '@croft/runtime/errors';
import type { Git } from './git-command.ts';

export interface ChangedCommit {
  readonly revision: Revision;
  readonly parents: readonly Revision[];
}

/** Of commits that change more than can be listed together, the one that does is left out. */
const maxBytes = 32 * 1024 * 1024;

/** Those that are left out changed too much to be listed. */
export async function changedPaths(
  { git, dir }: { readonly git: Pick<Git, 'run'>; readonly dir: string },
  commits: readonly ChangedCommit[],
  waits: Waits,
): Promise<Map<Revision, readonly string[]>> {
  if (commits.length === 0) return new Map();
  const input = commits.map(({ revision, parents }) => [revision, ...parents.slice(0, 1)].join(' ')).join('\n');
  const args = [`--git-dir=${dir}`, 'diff-tree', '--stdin', '--root', '--always', '-r', '-z', '--no-renames', '--raw', '--abbrev=4'];
  try {
    return parseRaw(await git.run({ args, input: `${input}\n`, maxBytes, ...waits }));
  } catch (error) {
    if (!isCode(error, 'exhausted')) throw error;
    if (commits.length === 1) return new Map();
    const half = Math.ceil(commits.length / 2);
    const parts = [commits.slice(0, half), commits.slice(half)];
    return new Map([
      ...(await changedPaths({ git, dir }, parts[0] ?? [], waits)),
      ...(await changedPaths({ git, dir }, parts[1] ?? [], waits)),
    ]);
  }
}

/** `REVISION NUL (:MODES NUL PATH NUL)*` for each; a path may look like a revision, a line of modes cannot. */
function parseRaw(output: Buffer): Map<Revision, readonly string[]> {
  const found = new Map<Revision, string[]>();
  const fields = output.toString('utf8').split('\0');
  let paths: string[] = [];
  for (let at = 0; at < fields.length - 1; at += 1) {
    const field = fields[at] ?? '';
    if (field.startsWith(':')) paths.push(fields[(at += 1)] ?? '');
    else found.set(field as Revision, (paths = []));
  }
  return found;
}
